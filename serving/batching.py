"""
The thread in which the model answers. Requests that wait for it are answered by one call of the model.

A call costs much whatever the number of its rows, so under load this answers more of them. No request waits for another
one to come, and what is wrong with one request is told to that one alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import SimpleQueue
from typing import Any, NamedTuple

from modelgate.answering import Model

ENOUGH_ROWS = 1024  # in one call; more make it no cheaper


class Work(NamedTuple):
    """A request that waits. read: gives its rows. write: makes the result of what the model answers to them."""

    model: Model
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    future: Future[Any]


class Together:
    """joined: makes one of the rows of several requests, which have the same columns and types."""

    def __init__(self, joined: Callable[[Sequence[Any]], Any]) -> None:
        self._joined = joined
        self._queue: SimpleQueue[Work] = SimpleQueue()
        threading.Thread(target=self._answer_all, name="model", daemon=True).start()

    def submit(self, model: Model, read: Callable[[], Any], write: Callable[[Any], Any]) -> Future[Any]:
        """The result of a request, once its turn has come. Cancel it, and it is passed over."""
        work = Work(model, read, write, Future())
        self._queue.put(work)
        return work.future

    # --- the thread --------------------------------------------------------------------------------------------------

    def _answer_all(self) -> None:
        while True:
            for works, rows in _alike(self._take()):
                self._answer(works, rows)

    def _take(self) -> list[tuple[Work, Any]]:
        """The next request and those that wait behind it, with their rows."""
        taken, count = [], 0
        work: Work | None = self._queue.get()
        while work:
            if work.future.set_running_or_notify_cancel():
                try:
                    rows = work.read()
                except Exception as error:
                    work.future.set_exception(error)
                else:
                    taken.append((work, rows))
                    count += len(rows)
            work = self._queue.get() if count < ENOUGH_ROWS and not self._queue.empty() else None
        return taken

    def _answer(self, works: Sequence[Work], rows: Sequence[Any]) -> None:
        try:
            answers = works[0].model.answer(rows[0] if len(rows) == 1 else self._joined(rows))
        except Exception as error:
            if len(works) == 1:
                works[0].future.set_exception(error)
                return
            for work, own in zip(works, rows, strict=True):  # of which one is wrong is found out by asking alone
                self._answer([work], [own])
            return
        first = 0
        for work, own in zip(works, rows, strict=True):
            try:
                work.future.set_result(work.write(answers[first : first + len(own)]))
            except Exception as error:
                work.future.set_exception(error)
            first += len(own)


def _alike(taken: Sequence[tuple[Work, Any]]) -> Iterator[tuple[list[Work], list[Any]]]:
    """Neighbours that one call can answer: of one model, and of tables of the same columns and types."""
    if len(taken) == 1:
        yield [taken[0][0]], [taken[0][1]]
        return
    for _, pairs in groupby(taken, lambda pair: (id(pair[0].model), _form(pair[1]))):
        works, rows = zip(*pairs, strict=True)
        yield list(works), list(rows)


def _form(rows: Any) -> Any:
    return (tuple(rows.columns), tuple(rows.dtypes)) if hasattr(rows, "columns") else None
