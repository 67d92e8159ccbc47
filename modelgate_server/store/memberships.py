"""
Find versions in collections. A version is in collections through memberships: one in the sequence that it was logged
to, and one in each portfolio that it was linked into, each with its own version number.
"""

import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.store import names
from modelgate_server.store.db import get, select_all, select_one


@dataclass(frozen=True, slots=True)
class Membership:
    TABLE: ClassVar[str] = "memberships"
    id: int
    collection_id: int
    artifact_id: int
    version_index: int
    created_at: str


def get_membership(db: sqlite3.Connection, membership_id: int) -> Membership:
    return get(db, Membership, membership_id)


def find(db: sqlite3.Connection, collection_id: int, artifact_id: int) -> Membership | None:
    return select_one(db, Membership, "WHERE collection_id = ? AND artifact_id = ?", collection_id, artifact_id)


def find_latest(db: sqlite3.Connection, collection_id: int) -> Membership | None:
    return select_one(db, Membership, "WHERE collection_id = ? ORDER BY version_index DESC LIMIT 1", collection_id)


def list_by_collection(db: sqlite3.Connection, collection_id: int) -> list[Membership]:
    """Return a collection's versions, newest first."""
    return select_all(db, Membership, "WHERE collection_id = ? ORDER BY version_index DESC", collection_id)


def list_by_artifact(db: sqlite3.Connection, artifact_id: int) -> list[Membership]:
    """Return the collections that a version is in: its sequence first, then the portfolios in the order of linking."""
    return select_all(db, Membership, "WHERE artifact_id = ? ORDER BY id", artifact_id)


def resolve(db: sqlite3.Connection, collection_id: int, name: str) -> Membership | None:
    """Return a version by alias, by number (`v3`) or by digest."""
    number = names.parse_version(name)
    if number is not None:
        return select_one(db, Membership, "WHERE collection_id = ? AND version_index = ?", collection_id, number)
    by_alias = "JOIN aliases ON membership_id = memberships.id WHERE aliases.collection_id = ? AND name = ?"
    by_digest = (
        "JOIN artifacts ON artifacts.id = artifact_id"
        " WHERE collection_id = ? AND digest = ? ORDER BY memberships.id DESC"
    )
    return select_one(db, Membership, by_alias, collection_id, name) or select_one(
        db, Membership, by_digest, collection_id, name
    )
