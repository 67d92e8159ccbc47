"""Store aliases. An alias belongs to a membership and is unique in its collection."""

import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import artifact_collections, memberships, names, protection
from modelgate_server.store.accounts import User
from modelgate_server.store.db import insert, select_all


@dataclass(frozen=True, slots=True)
class Alias:
    TABLE: ClassVar[str] = "aliases"
    id: int
    membership_id: int
    collection_id: int
    name: str


def list_by_artifact(db: sqlite3.Connection, artifact_id: int) -> list[Alias]:
    """Return a version's aliases in all collections."""
    where = "JOIN memberships ON memberships.id = membership_id WHERE artifact_id = ? ORDER BY aliases.id"
    return select_all(db, Alias, where, artifact_id)


def list_by_membership(db: sqlite3.Connection, membership_id: int) -> list[Alias]:
    return select_all(db, Alias, "WHERE membership_id = ? ORDER BY id", membership_id)


def list_by_collection(db: sqlite3.Connection, collection_id: int) -> list[Alias]:
    return select_all(db, Alias, "WHERE collection_id = ? ORDER BY id", collection_id)


def list_numbered(db: sqlite3.Connection, collection_id: int) -> list[tuple[str, int]]:
    """Return each alias with the number of its version."""
    sql = (
        "SELECT name, version_index FROM aliases JOIN memberships ON memberships.id = membership_id"
        " WHERE aliases.collection_id = ? ORDER BY aliases.id"
    )
    return db.execute(sql, (collection_id,)).fetchall()


def add(db: sqlite3.Connection, user: User, collection_id: int, artifact_id: int, name: str) -> None:
    """Move the alias `name` to this version. Repeating it changes nothing."""
    collection = artifact_collections.get_collection(db, collection_id)
    if not _has_alias(db, collection_id, artifact_id, name):
        protection.require(db, user, collection.project_id, [name], "add this alias to this artifact")
        assign(db, collection_id, artifact_id, name)


def remove(db: sqlite3.Connection, user: User, collection_id: int, artifact_id: int, name: str) -> None:
    """Remove an alias from this version. If another version has the alias, it stays there."""
    collection = artifact_collections.get_collection(db, collection_id)
    if _has_alias(db, collection_id, artifact_id, name):
        protection.require(db, user, collection.project_id, [name], "delete this alias from this artifact")
        db.execute("DELETE FROM aliases WHERE collection_id = ? AND name = ?", (collection_id, name))


def _has_alias(db: sqlite3.Connection, collection_id: int, artifact_id: int, name: str) -> bool:
    membership = memberships.find(db, collection_id, artifact_id)
    return membership is not None and any(alias.name == name for alias in list_by_membership(db, membership.id))


def assign(db: sqlite3.Connection, collection_id: int, artifact_id: int, name: str) -> None:
    """
    Move the alias `name` without checking permissions: for the server itself, and for the owner of its data folder.
    """
    membership = memberships.find(db, collection_id, artifact_id)
    if membership is None:
        collection = artifact_collections.get_collection(db, collection_id)
        raise NotFound(f'the version is not in collection "{collection.name}"')
    number = names.parse_version(names.check_alias(name))
    if number == membership.version_index:
        return  # every version has its own number as a name; it is not stored
    if number is not None:
        raise Invalid(f'"{name}" is the name of a version and cannot be an alias of v{membership.version_index}')
    db.execute("DELETE FROM aliases WHERE collection_id = ? AND name = ?", (collection_id, name))
    insert(db, "aliases", collection_id=collection_id, membership_id=membership.id, name=name)
