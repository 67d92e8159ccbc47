"""Store alerts, which runs send with `run.alert(...)`."""

import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.errors import Invalid
from modelgate_server.settings import KIB
from modelgate_server.store.db import format_now, insert, select_all
from modelgate_server.store.runs import Run

# Alerts per run; the oldest are removed first. A loop that sends an alert with each step would fill the disk.
MAX_KEPT = 1_000
LEVELS = ("ERROR", "WARN", "INFO")
# W&B allows 64 characters for a title; a text may be a traceback.
MAX_TITLE_CHARS, MAX_TEXT_CHARS = 1_000, 64 * KIB


@dataclass(frozen=True, slots=True)
class Alert:
    """`level` is INFO, WARN or ERROR."""

    TABLE: ClassVar[str] = "alerts"
    id: int
    run_id: int
    level: str
    title: str
    text: str
    created_at: str


def add(db: sqlite3.Connection, run: Run, level: str, title: str, text: str, wait_s: float = 0) -> bool:
    """
    Store an alert. Return False, without storing it, if the run has sent one with the same title within `wait_s`
    seconds.
    """
    if len(title) > MAX_TITLE_CHARS or len(text) > MAX_TEXT_CHARS:
        raise Invalid(f"an alert has at most {MAX_TITLE_CHARS} characters of title and {MAX_TEXT_CHARS} of text")
    since = format_now(ago_s=wait_s)
    sql = "SELECT 1 FROM alerts WHERE run_id = ? AND title = ? AND created_at > ?"
    if db.execute(sql, (run.id, title, since)).fetchone():
        return False
    insert(db, "alerts", run_id=run.id, level=level, title=title, text=text, created_at=format_now())
    kept = "SELECT id FROM alerts WHERE run_id = ? ORDER BY id DESC LIMIT ?"
    db.execute(f"DELETE FROM alerts WHERE run_id = ? AND id NOT IN ({kept})", (run.id, run.id, MAX_KEPT))  # noqa: S608
    return True


def list_by_run(db: sqlite3.Connection, run_id: int, limit: int = MAX_KEPT) -> list[Alert]:
    """Return a run's alerts, newest first."""
    return select_all(db, Alert, "WHERE run_id = ? ORDER BY id DESC LIMIT ?", run_id, limit)


def count_by_run(db: sqlite3.Connection, run_id: int) -> int:
    count: int = db.execute("SELECT count(*) FROM alerts WHERE run_id = ?", (run_id,)).fetchone()[0]
    return count


def list_by_project(db: sqlite3.Connection, project_id: int, level: str, first: int, limit: int) -> list[Alert]:
    """Return alerts, newest first, after skipping `first` of them; of one level, or of all if `level` is empty."""
    where = "JOIN runs ON runs.id = alerts.run_id WHERE runs.project_id = ? AND ? IN ('', alerts.level)"
    return select_all(db, Alert, f"{where} ORDER BY alerts.id DESC LIMIT ? OFFSET ?", project_id, level, limit, first)


def count_by_level(db: sqlite3.Connection, project_id: int) -> dict[str, int]:
    """Count the alerts of each level. A level without alerts is left out."""
    sql = "SELECT level, count(*) FROM alerts JOIN runs ON runs.id = run_id WHERE project_id = ? GROUP BY level"
    return dict(db.execute(sql, (project_id,)).fetchall())
