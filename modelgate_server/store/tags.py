"""Store the tags of versions and of collections."""

import sqlite3
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from modelgate_server.store import names
from modelgate_server.store.db import select_all


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a version. OWNER: the column with the id of what has the tag."""

    TABLE: ClassVar[str] = "artifact_tags"
    OWNER: ClassVar[str] = "artifact_id"
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class CollectionTag:
    TABLE: ClassVar[str] = "collection_tags"
    OWNER: ClassVar[str] = "collection_id"
    id: int
    name: str


T = TypeVar("T", Tag, CollectionTag)


def list_by_owner(db: sqlite3.Connection, kind: type[T], owner_id: int) -> list[T]:
    return select_all(db, kind, f"WHERE {kind.OWNER} = ? ORDER BY id", owner_id)


def add(db: sqlite3.Connection, kind: type[Tag | CollectionTag], owner_id: int, given: list[str]) -> None:
    """Add tags. Repeating it changes nothing."""
    rows = [(owner_id, names.check_tag(tag)) for tag in given]
    db.executemany(f"INSERT OR IGNORE INTO {kind.TABLE} ({kind.OWNER}, name) VALUES (?, ?)", rows)  # noqa: S608


def remove(db: sqlite3.Connection, kind: type[Tag | CollectionTag], owner_id: int, given: list[str]) -> None:
    rows = [(owner_id, tag) for tag in given]
    db.executemany(f"DELETE FROM {kind.TABLE} WHERE {kind.OWNER} = ? AND name = ?", rows)  # noqa: S608
