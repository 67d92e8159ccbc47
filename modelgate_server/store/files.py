"""Store the files of a run. A name can get new content; the bytes are in the blob folder."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.store import names, references
from modelgate_server.store.db import find_next_id, format_now, select_all, select_one


@dataclass(frozen=True, slots=True)
class RunFile:
    TABLE: ClassVar[str] = "run_files"
    id: int
    run_id: int
    name: str
    md5: str
    size: int
    updated_at: str


def put(db: sqlite3.Connection, run_id: int, name: str, *, md5: str, size: int) -> None:
    """Set the content of a name. The bytes must already be durable."""
    db.execute(
        "INSERT INTO run_files (id, run_id, name, md5, size, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (run_id, name) DO UPDATE"
        " SET md5 = excluded.md5, size = excluded.size, updated_at = excluded.updated_at",
        (find_next_id(db, "run_files"), run_id, names.normalize_run_file(name), md5, size, format_now()),
    )
    references.remember(db, [md5])


def find_by_id(db: sqlite3.Connection, file_id: int) -> RunFile | None:
    return select_one(db, RunFile, "WHERE id = ?", file_id)


def find(db: sqlite3.Connection, run_id: int, name: str) -> RunFile | None:
    return select_one(db, RunFile, "WHERE run_id = ? AND name = ?", run_id, names.normalize_run_file(name))


def list_by_run(db: sqlite3.Connection, run_id: int, *, pattern: str | None = None) -> list[RunFile]:
    """Return a run's files by name; `pattern` is one of SQL's LIKE."""
    return select_all(db, RunFile, "WHERE run_id = ? AND name LIKE ? ORDER BY name", run_id, pattern or "%")


def find_named(db: sqlite3.Connection, run_id: int, wanted: Sequence[str]) -> list[RunFile]:
    run_files = (find(db, run_id, name) for name in dict.fromkeys(names.normalize_run_file(name) for name in wanted))
    return [run_file for run_file in run_files if run_file is not None]


def count(db: sqlite3.Connection, run_id: int) -> int:
    return int(db.execute("SELECT count(*) FROM run_files WHERE run_id = ?", (run_id,)).fetchone()[0])


def delete(db: sqlite3.Connection, file_id: int) -> None:
    db.execute("DELETE FROM run_files WHERE id = ?", (file_id,))
