"""Streams: a line is stored under its number.

pytest tests/server/store/test_history.py
"""

import itertools
import json
import sqlite3

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store import history, runs
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run


@pytest.fixture
def run(db: sqlite3.Connection, project: Project, user: User) -> Run:
    return runs.create(db, project, user, "r1", {})


def rows(*steps: int) -> list[str]:
    return [json.dumps({"_step": step, "loss": step / 10}) for step in steps]


def test_the_same_lines_twice_are_the_same_as_once(db: sqlite3.Connection, run: Run) -> None:
    for _ in range(2):
        history.append(db, run.id, history.HISTORY, 0, rows(0, 1, 2))
    history.append(db, run.id, history.HISTORY, 2, rows(2, 3))
    assert [row["_step"] for row in history.read_rows(db, run.id)] == [0, 1, 2, 3]
    assert history.count(db, run.id) == 4


def test_a_line_of_the_console_may_be_written_again(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.CONSOLE, 0, ["10 %", "b"])
    history.append(db, run.id, history.CONSOLE, 0, ["99 %"])
    assert history.read_console(db, run.id) == [(0, "99 %"), (1, "b")]


def test_the_last_summary_counts(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.SUMMARY, 0, ['{"a": 1}', '{"a": NaN}'])
    assert runs.get_run(db, run.id).summary == '{"a": NaN}'


def test_rewinding_forgets_what_came_after(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.HISTORY, 0, rows(0, 5, 9))
    history.rewind(db, run.id, 5)
    assert history.count(db, run.id) == 2


def test_keys_say_type_count_and_last_value(db: sqlite3.Connection, run: Run) -> None:
    lines = ['{"_step": 0, "loss": 0.5, "d": {"a": 1}}', '{"_step": 7, "loss": 0.1, "img": {"_type": "image-file"}}']
    history.append(db, run.id, history.HISTORY, 0, lines)
    found = history.summarize_keys(db, run.id)
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
    found = history.sample_by_spec(db, run.id, {"keys": ["_step", "loss"], "samples": 5})
    assert [row["_step"] for row in found] == [0, 25, 50, 74, 99]
    found = history.sample_by_spec(db, run.id, {"keys": ["_step", "loss"], "minStep": 10, "maxStep": 12})
    assert [row["_step"] for row in found] == [10, 11, 12]
    assert len(history.sample(history.read_lines(db, run.id), 3)) == 3


# What rows there are decides how they are looked for: in every line, in those that mention the keys, in all parsed.
@pytest.mark.parametrize(
    "only",
    [
        [{"loss": 1.0}],
        [{"loss": 1.0}, {"other": 2.0}],
        [{"loss": 1.0}, {"other": 2.0}, {"other": {"lossy": "loss"}}],
        [{"train": {"loss": 1.0}}, {"loss": 0.5}],
        [{"odd \u00e9/\n": 1.0}, {"other": 2.0}],
    ],
)
def test_a_sample_is_of_the_rows_that_have_the_key_however_they_are_found(
    db: sqlite3.Connection, run: Run, only: list[dict[str, object]]
) -> None:
    rows = [{"_step": step, **only[step % len(only)]} for step in range(300)]
    history.append(db, run.id, history.HISTORY, 0, [json.dumps(row) for row in rows])
    for key, samples in itertools.product(["loss", "train.loss", "odd \u00e9/\n", "nothing"], [1, 2, 7, 400]):
        having = [row["_step"] for row in rows if history.look_up(row, key) is not None]
        found = [
            row["_step"] for row in history.sample_by_spec(db, run.id, {"keys": ["_step", key], "samples": samples})
        ]
        assert len(found) == min(samples, len(having))
        assert set(found) <= set(having) and found == sorted(found)
        assert found[-1:] == having[-1:] and (samples == 1 or found[:1] == having[:1])


def test_a_sample_of_lines_with_gaps_has_no_line_that_is_none(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.HISTORY, 0, rows(*range(10)))
    history.append(db, run.id, history.HISTORY, 1000, rows(*range(1000, 1010)))
    found = history.sample_by_spec(db, run.id, {"keys": ["loss", "_step"], "samples": 3})
    assert [row["_step"] for row in found] == [0, 1000, 1009]


def test_keys_are_counted_over_more_rows_than_are_parsed_at_once(db: sqlite3.Connection, run: Run) -> None:
    history.append(db, run.id, history.HISTORY, 0, rows(*range(2 * history.AT_ONCE + 1)))
    assert history.summarize_keys(db, run.id)["keys"]["loss"]["typeCounts"] == [
        {"type": "number", "count": 2 * history.AT_ONCE + 1}
    ]


@pytest.mark.parametrize(
    ("stream", "offset", "lines"), [("x", 0, []), (history.HISTORY, -1, []), (history.HISTORY, 0, ["["])]
)
def test_what_is_no_stream_is_refused(
    db: sqlite3.Connection, run: Run, stream: str, offset: int, lines: list[str]
) -> None:
    with pytest.raises(Invalid):
        history.append(db, run.id, stream, offset, lines)
