"""
Run the thread in which the model answers. One call of the model answers all waiting requests.

A call is expensive whatever its number of rows, so under load this answers more of them. No request waits for another
one to arrive, and an error in one request affects only that request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from itertools import groupby
from queue import SimpleQueue
from typing import Any, NamedTuple

from modelgate.answering import Model

ENOUGH_ROWS = 1024  # in one call; more do not make it cheaper


class Work(NamedTuple):
    """A waiting request. read: returns its rows. write: makes the result from the model's answers."""

    model: Model
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    future: Future[Any]


class Batcher:
    """joined: joins the rows of several requests, which have the same columns and types."""

    def __init__(self, joined: Callable[[Sequence[Any]], Any]) -> None:
        self._joined = joined
        self._queue: SimpleQueue[Work] = SimpleQueue()
        threading.Thread(target=self._answer_all, name="model", daemon=True).start()

    def submit(self, model: Model, read: Callable[[], Any], write: Callable[[Any], Any]) -> Future[Any]:
        """Return the result of a request when its turn has come. If you cancel it, it is skipped."""
        work = Work(model, read, write, Future())
        self._queue.put(work)
        return work.future

    # --- the thread --------------------------------------------------------------------------------------------------

    def _answer_all(self) -> None:
        while True:
            for works, rows in _group_alike(self._take()):
                self._answer(works, rows)

    def _take(self) -> list[tuple[Work, Any]]:
        """Return the next request and those that wait behind it, with their rows."""
        batch, count = [], 0
        work: Work | None = self._queue.get()
        while work:
            if work.future.set_running_or_notify_cancel():
                try:
                    rows = work.read()
                except Exception as error:
                    work.future.set_exception(error)
                else:
                    batch.append((work, rows))
                    count += len(rows)
            work = self._queue.get() if count < ENOUGH_ROWS and not self._queue.empty() else None
        return batch

    def _answer(self, works: Sequence[Work], rows: Sequence[Any]) -> None:
        try:
            answers = works[0].model.answer(rows[0] if len(rows) == 1 else self._joined(rows))
        except Exception as error:
            if len(works) == 1:
                works[0].future.set_exception(error)
                return
            for work, own in zip(works, rows, strict=True):  # ask one by one to find the wrong request
                self._answer([work], [own])
            return
        first = 0
        for work, own in zip(works, rows, strict=True):
            try:
                work.future.set_result(work.write(answers[first : first + len(own)]))
            except Exception as error:
                work.future.set_exception(error)
            first += len(own)


def _group_alike(batch: Sequence[tuple[Work, Any]]) -> Iterator[tuple[list[Work], list[Any]]]:
    """Yield groups of neighbours that one call can answer: the same model, and for tables the same columns and
    types.
    """
    if len(batch) == 1:
        yield [batch[0][0]], [batch[0][1]]
        return
    for _, pairs in groupby(batch, lambda pair: (id(pair[0].model), _get_form(pair[1]))):
        works, rows = zip(*pairs, strict=True)
        yield list(works), list(rows)


def _get_form(rows: Any) -> Any:
    return (tuple(rows.columns), tuple(rows.dtypes)) if hasattr(rows, "columns") else None
