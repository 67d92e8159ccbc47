"""
Limit what one request may use: time, threads, memory. Without limits, anyone with a key could block all others.

- a deadline, which also ends the work for a client that has left;
- a lane of threads for each user, and separate lanes for pages and for the health check;
- a budget of bytes that were received but not yet processed.
"""

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from modelgate_server.errors import Busy, TooLong
from modelgate_server.settings import (
    BODY_WAIT_S,
    HEALTH_THREADS,
    LARGE_BODIES,
    MAX_ANSWER_CHARS,
    MAX_BODIES_BYTES,
    PAGE_THREADS,
    REQUEST_S,
    SMALL_BODY_BYTES,
    USER_THREADS,
)

T = TypeVar("T")


def keep_what_is_loaded() -> None:
    """
    Exclude everything that is loaded so far from garbage collection: scanning it added 50 ms to the page of a large
    table.
    """
    gc.freeze()


class Deadline:
    """Everything that can take long checks the deadline regularly, including SQLite while it searches for rows."""

    def __init__(self, seconds: float = REQUEST_S) -> None:
        self._end = time.monotonic() + seconds
        self._gone = False
        self._chars = 0

    def start(self, seconds: float = REQUEST_S) -> None:
        """Restart the clock: until now, the request was waiting for a thread."""
        self._end = time.monotonic() + seconds
        self.check()

    def stop(self) -> None:
        """Record that no one is waiting for the answer any more."""
        self._gone = True

    def is_over(self) -> bool:
        return self._gone or time.monotonic() > self._end

    def check(self) -> None:
        if self.is_over():
            raise TooLong("the request took too long: ask for less at a time")

    def spend(self, chars: int) -> None:
        """Add to the size of the answer."""
        self._chars += chars
        if self._chars > MAX_ANSWER_CHARS:
            raise TooLong(f"the answer would have more than {MAX_ANSWER_CHARS} characters: ask for less at a time")


class Lanes:
    """Limits on threads. Python runs only one computing thread at a time, so a few per user are enough."""

    def __init__(self) -> None:
        self._users: dict[int, anyio.CapacityLimiter] = {}
        self._bodies: dict[int, anyio.CapacityLimiter] = {}
        # Unpacking a large body takes ten times its size, so only one at a time for all users.
        self._large = threading.Semaphore(1)

    @cached_property
    def pages(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(PAGE_THREADS)

    @cached_property
    def health(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(HEALTH_THREADS)

    def get_user_lane(self, user_id: int) -> anyio.CapacityLimiter:
        if user_id not in self._users:
            self._users[user_id] = anyio.CapacityLimiter(USER_THREADS)
        return self._users[user_id]

    @asynccontextmanager
    async def hold_large_body(self, user_id: int) -> AsyncIterator[None]:
        """Hold a slot while a user's large body arrives and is processed. Further bodies wait, and are not read."""
        if user_id not in self._bodies:
            self._bodies[user_id] = anyio.CapacityLimiter(LARGE_BODIES)
        limiter, borrower = self._bodies[user_id], object()
        with anyio.move_on_after(BODY_WAIT_S):
            await limiter.acquire_on_behalf_of(borrower)
        if borrower not in limiter.statistics().borrowers:
            raise Busy("you have too many large requests under way: try again")
        try:
            yield
        finally:
            limiter.release_on_behalf_of(borrower)

    @contextmanager
    def hold_memory(self, size: int) -> Iterator[None]:
        """Hold the right to unpack this many bytes. Only one request at a time may unpack a large body."""
        if size <= SMALL_BODY_BYTES:
            yield
            return
        with self._large:
            yield


async def run(request: Request, limiter: anyio.CapacityLimiter, work: Callable[[Deadline], T]) -> T:
    """Run `work` in a thread, until the deadline or until the client has left."""
    deadline = Deadline()

    def begin() -> T:
        deadline.start()
        return work(deadline)

    watch = asyncio.create_task(_watch(request, deadline))
    try:
        return await anyio.to_thread.run_sync(begin, limiter=limiter)
    finally:
        watch.cancel()


async def _watch(request: Request, deadline: Deadline) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    deadline.stop()


class Budget:
    """
    Bytes of bodies in memory. If there are too many, the largest body that is still arriving is dropped. So a small
    request is served even if many other clients have begun to send large ones and then stopped.
    """

    def __init__(self, limit: int = MAX_BODIES_BYTES) -> None:
        self._limit = limit
        self._total = 0
        self._arriving: set[Held] = set()

    @contextmanager
    def hold(self) -> "Iterator[Held]":
        held = Held(self)
        self._arriving.add(held)
        try:
            yield held
        finally:
            self._arriving.discard(held)
            self.give_back(held)

    def take(self, held: "Held", size: int) -> None:
        held.size += size
        self._total += size
        while self._total > self._limit:
            largest = max(self._arriving, key=lambda body: body.size)
            if largest is held:
                raise Busy("the server has too many large requests at once: try again")
            largest.evict()

    def complete(self, held: "Held") -> None:
        self._arriving.discard(held)

    def give_back(self, held: "Held") -> None:
        self._total -= held.size
        held.size = 0
        self._arriving.discard(held)


class Held:
    """The share of the budget that one request holds."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._task = asyncio.current_task()
        self.size = 0
        self.evicted = False

    def take(self, size: int) -> None:
        self._budget.take(self, size)

    def complete(self) -> None:
        """Record that the body is complete, so it can no longer be dropped."""
        self._budget.complete(self)

    def evict(self) -> None:
        self.evicted = True
        self._budget.give_back(self)
        if self._task is not None:
            self._task.cancel()


@contextmanager
def enforce_deadline(db: sqlite3.Connection, deadline: Deadline) -> Iterator[None]:
    """Let SQLite itself check the deadline every few milliseconds."""
    db.set_progress_handler(deadline.is_over, STEPS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


# Steps of SQLite's virtual machine, which does tens of millions per second.
STEPS = 100_000
