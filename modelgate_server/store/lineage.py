"""Store which run made a version, and which runs used it."""

import sqlite3

from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.db import format_now, select_all, select_one
from modelgate_server.store.runs import Run


def record(db: sqlite3.Connection, run_id: int, artifact_id: int, direction: str) -> None:
    """Record that a run used (`input`) or made (`output`) a version."""
    sql = "INSERT OR IGNORE INTO run_artifacts VALUES (?, ?, ?, ?)"
    db.execute(sql, (run_id, artifact_id, direction, format_now()))


def list_users(db: sqlite3.Connection, artifact_id: int) -> list[Run]:
    where = "JOIN run_artifacts ON run_id = runs.id WHERE artifact_id = ? AND direction = 'input' ORDER BY runs.id"
    return select_all(db, Run, where, artifact_id)


def find_creator(db: sqlite3.Connection, artifact_id: int) -> Run | None:
    return select_one(db, Run, "JOIN artifacts ON artifacts.run_id = runs.id WHERE artifacts.id = ?", artifact_id)


def list_by_run(db: sqlite3.Connection, run_id: int, direction: str) -> list[Artifact]:
    where = (
        "JOIN run_artifacts ON artifact_id = artifacts.id"
        " WHERE run_artifacts.run_id = ? AND direction = ? AND state = 'COMMITTED' ORDER BY artifacts.id"
    )
    return select_all(db, Artifact, where, run_id, direction)
