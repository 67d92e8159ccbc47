"""Read the files of a version. manifests.py receives them."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.store.db import select_all, select_each, select_one


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a version: `md5` names its blob, or `ref` says where it is."""

    TABLE: ClassVar[str] = "entries"
    artifact_id: int
    path: str
    digest: str
    md5: str | None
    ref: str | None
    size: int


def find(db: sqlite3.Connection, artifact_id: int, path: str) -> Entry | None:
    return select_one(db, Entry, "WHERE artifact_id = ? AND path = ?", artifact_id, path)


def list_by_artifact(
    db: sqlite3.Connection, artifact_id: int, *, after: str = "", limit: int = -1, paths: list[str] | None = None
) -> list[Entry]:
    """Return the files of a version by path: those after `after`, or only the given paths."""
    if paths:
        return [entry for path in paths if (entry := find(db, artifact_id, path)) is not None]
    return select_all(db, Entry, "WHERE artifact_id = ? AND path > ? ORDER BY path LIMIT ?", artifact_id, after, limit)


def walk(db: sqlite3.Connection, artifact_id: int, folder: str) -> Iterator[Entry]:
    """
    Yield the files of a version whose paths begin with `folder`, by path, so that only one is in memory at a time.
    """
    for entry in select_each(db, Entry, "WHERE artifact_id = ? AND path >= ? ORDER BY path", artifact_id, folder):
        if not entry.path.startswith(folder):
            return
        yield entry


def walk_changed(db: sqlite3.Connection, artifact_id: int, other_id: int) -> Iterator[Entry]:
    """
    Yield the files of a version that another does not have with the same bytes, by path, so that only one is in memory
    at a time.
    """
    other = "SELECT digest FROM entries AS other WHERE other.artifact_id = ? AND other.path = entries.path"
    where = f"WHERE artifact_id = ? AND digest IS NOT ({other}) ORDER BY path"
    return select_each(db, Entry, where, artifact_id, other_id)


def has_blob(db: sqlite3.Connection, collection_id: int, md5: str) -> bool:
    sql = "SELECT 1 FROM memberships JOIN entries USING (artifact_id) WHERE collection_id = ? AND md5 = ? LIMIT 1"
    return db.execute(sql, (collection_id, md5)).fetchone() is not None
