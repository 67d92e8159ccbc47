"""
One call of the model answers all waiting requests, and each gets its own answer or its own error.

    pytest tests/service/test_batching.py
"""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import numpy as np
import pandas as pd
import pytest

from serving.batching import ENOUGH_ROWS, Batcher


class DoublingModel:
    """Doubles each row once it may, and refuses negative rows. calls: the number of rows of each call."""

    def __init__(self):
        self.calls = []
        self.may_answer, self.is_asked = threading.Event(), threading.Event()

    def answer(self, rows):
        self.is_asked.set()
        assert self.may_answer.wait(30)
        self.calls.append(len(rows))
        values = rows["x"].to_numpy() if hasattr(rows, "columns") else rows
        if (values < 0).any():
            raise ValueError("a negative row")
        return values * 2


@pytest.fixture
def model():
    return DoublingModel()


@pytest.fixture
def ask(model):
    """Submit rows behind a first request, which the model is answering; `answers` lets it continue."""
    together = Batcher(lambda parts: pd.concat(parts) if hasattr(parts[0], "columns") else np.concatenate(parts))
    futures = [together.submit(model, lambda: np.zeros(1), list)]
    assert model.is_asked.wait(30)

    def submit(rows, of=model):
        future = together.submit(of, lambda: rows() if callable(rows) else rows, list)
        futures.append(future)
        return future

    submit.first = futures[0]
    return submit


def test_what_waits_is_answered_by_one_call_and_each_gets_its_own(model, ask):
    waiting = [ask(np.arange(start, start + 3)) for start in (10, 20, 30)]
    model.may_answer.set()
    assert [future.result(30) for future in waiting] == [[20, 22, 24], [40, 42, 44], [60, 62, 64]]
    assert model.calls == [1, 9]


def test_rows_that_are_refused_or_cannot_be_answered_spoil_no_other_request(model, ask):
    def refuse():
        raise KeyError("refused")

    good, refused, bad, other = ask(np.array([1])), ask(refuse), ask(np.array([-1])), ask(np.array([2]))
    model.may_answer.set()
    assert (good.result(30), other.result(30)) == ([2], [4])
    with pytest.raises(KeyError):
        refused.result(30)
    with pytest.raises(ValueError, match="a negative row"):
        bad.result(30)


def test_a_request_that_was_given_up_is_passed_over(model, ask):
    given_up, waiting = ask(np.array([1])), ask(np.array([2]))
    assert given_up.cancel()
    model.may_answer.set()
    assert waiting.result(30) == [4]
    with pytest.raises(CancelledError):
        given_up.result(30)
    assert model.calls == [1, 1]


def test_each_request_is_answered_by_the_model_that_it_began_with(model, ask):
    other = DoublingModel()
    other.may_answer.set()
    waiting = [ask(np.array([1])), ask(np.array([2]), of=other), ask(np.array([3]))]
    model.may_answer.set()
    assert [future.result(30) for future in waiting] == [[2], [4], [6]]
    assert (model.calls, other.calls) == ([1, 1, 1], [1])


def test_tables_of_other_columns_or_types_are_not_joined(model, ask):
    tables = [pd.DataFrame({"x": [1]}), pd.DataFrame({"x": [2], "y": [0]}), pd.DataFrame({"x": [0.5], "y": [0]})]
    waiting = [ask(table) for table in tables]
    model.may_answer.set()
    assert [future.result(30) for future in waiting] == [[2], [4], [1.0]]
    assert model.calls == [1, 1, 1, 1]


def test_a_call_has_no_more_rows_than_are_enough_and_one_request(model, ask):
    waiting = [ask(np.arange(ENOUGH_ROWS - 1)) for _ in range(4)]
    model.may_answer.set()
    assert [len(future.result(30)) for future in waiting] == [ENOUGH_ROWS - 1] * 4
    assert model.calls == [1, 2 * (ENOUGH_ROWS - 1), 2 * (ENOUGH_ROWS - 1)]
