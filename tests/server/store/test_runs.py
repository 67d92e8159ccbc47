"""Runs whose process was killed: they are called crashed, and come back when it was only silent.

pytest tests/server/store/test_runs.py
"""

import sqlite3

import pytest

from modelgate_server.settings import RUN_SILENCE_S
from modelgate_server.store import runs
from modelgate_server.store.accounts import User
from modelgate_server.store.db import format_now, update
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run


@pytest.fixture
def silent(db: sqlite3.Connection, project: Project, user: User) -> Run:
    """A running run that was last heard of just too long ago."""
    run = runs.create(db, project, user, "r1", {})
    update(db, "runs", run.id, heartbeat_at=format_now(ago_s=RUN_SILENCE_S + 1))
    return run


def test_a_silent_run_has_crashed(db: sqlite3.Connection, silent: Run) -> None:
    runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
    assert runs.get_run(db, silent.id).state == "crashed"


def test_a_run_that_was_heard_of_goes_on(db: sqlite3.Connection, silent: Run) -> None:
    runs.record_heartbeat(db, silent, complete=False, exit_code=None, preempting=False)
    runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
    assert runs.get_run(db, silent.id).state == "running"


def test_a_finished_run_stays_finished_however_long_ago(db: sqlite3.Connection, silent: Run) -> None:
    runs.record_heartbeat(db, silent, complete=True, exit_code=0, preempting=False)
    update(db, "runs", silent.id, heartbeat_at=format_now(ago_s=10 * RUN_SILENCE_S))
    runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
    assert runs.get_run(db, silent.id).state == "finished"


def test_a_crashed_run_that_is_heard_of_again_was_only_silent(db: sqlite3.Connection, silent: Run) -> None:
    runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
    runs.record_heartbeat(db, runs.get_run(db, silent.id), complete=False, exit_code=None, preempting=False)
    assert runs.get_run(db, silent.id).state == "running"
    runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
    runs.record_heartbeat(db, runs.get_run(db, silent.id), complete=True, exit_code=0, preempting=False)
    assert runs.get_run(db, silent.id).state == "finished"
