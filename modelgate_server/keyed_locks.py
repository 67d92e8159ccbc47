"""One lock for each key, for work that only one thread should do at a time: committing a version, reading a table."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

WAIT_S = 0.1


class KeyedLocks:
    """Locks that exist only while someone holds them or waits for them."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: Hashable, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of a key. While it waits, this calls `check` regularly, which may raise to stop waiting."""
        with self._mutex:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            while not lock.acquire(timeout=WAIT_S):
                check()
            try:
                yield
            finally:
                lock.release()
        finally:
            self._leave(key)

    def _leave(self, key: Hashable) -> None:
        with self._mutex:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1

    def __len__(self) -> int:
        return len(self._locks)
