"""Streams: a line is stored under its number.

pytest tests/server/store/test_history.py
"""

import json
import sqlite3

import pytest

from server.errors import Invalid
from server.store import history, runs
from server.store.accounts import User
from server.store.projects import Project
from server.store.runs import Run


@pytest.fixture
def run(db: sqlite3.Connection, project: Project, user: User) -> Run:
    return runs.create(db, project, user, "r1", {})


def rows(*steps: int) -> list[str]:
    return [json.dumps({"_step": step, "loss": step / 10}) for step in steps]


def test_the_same_lines_twice_are_the_same_as_once(db: sqlite3.Connection, run: Run) -> None:
    for _ in range(2):
        history.append(db, run.id, history.HISTORY, 0, rows(0, 1, 2))
    history.append(db, run.id, history.HISTORY, 2, rows(2, 3))
    assert [row["_step"] for row in history.rows(db, run.id)] == [0, 1, 2, 3]
    assert history.count(db, run.id) == 4


def test_a_line_of_the_console_may_be_written_again(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.CONSOLE, 0, ["10 %", "b"])
    history.append(db, run.id, history.CONSOLE, 0, ["99 %"])
    assert history.console(db, run.id) == [(0, "99 %"), (1, "b")]


def test_the_last_summary_counts(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.SUMMARY, 0, ['{"a": 1}', '{"a": NaN}'])
    assert runs.run(db, run.id).summary == '{"a": NaN}'


def test_rewinding_forgets_what_came_after(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.HISTORY, 0, rows(0, 5, 9))
    history.rewind(db, run.id, 5)
    assert history.count(db, run.id) == 2


def test_keys_say_type_count_and_last_value(db: sqlite3.Connection, run: Run) -> None:
    lines = ['{"_step": 0, "loss": 0.5, "d": {"a": 1}}', '{"_step": 7, "loss": 0.1, "img": {"_type": "image-file"}}']
    history.append(db, run.id, history.HISTORY, 0, lines)
    found = history.keys(db, run.id)
    assert found["lastStep"] == 7
    assert found["keys"]["loss"] == {
        "typeCounts": [{"type": "number", "count": 2}],
        "monotonic": False,
        "previousValue": 0.1,
    }
    assert found["keys"]["d.a"]["previousValue"] == 1
    assert found["keys"]["img"]["typeCounts"] == [{"type": "image-file", "count": 1}]


def test_a_sample_has_the_ends_and_only_full_rows(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.HISTORY, 0, [*rows(*range(100)), '{"_step": 100, "other": 1}'])
    found = history.sampled(db, run.id, {"keys": ["_step", "loss"], "samples": 5})
    assert [row["_step"] for row in found] == [0, 25, 50, 74, 99]
    found = history.sampled(db, run.id, {"keys": ["_step", "loss"], "minStep": 10, "maxStep": 12})
    assert [row["_step"] for row in found] == [10, 11, 12]
    assert len(history.sample(history.lines(db, run.id), 3)) == 3


@pytest.mark.parametrize(
    ("stream", "offset", "lines"), [("x", 0, []), (history.HISTORY, -1, []), (history.HISTORY, 0, ["["])]
)
def test_what_is_no_stream_is_refused(
    db: sqlite3.Connection, run: Run, stream: str, offset: int, lines: list[str]
) -> None:
    with pytest.raises(Invalid):
        history.append(db, run.id, stream, offset, lines)
