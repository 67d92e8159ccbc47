"""Store artifacts, which are versions. manifests.py receives a version's contents, and removal.py deletes versions."""

import sqlite3
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgate_server.store import aliases, artifact_collections, memberships
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.db import format_now, get, insert, select_one, update
from modelgate_server.store.documents import parse_object
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST


@dataclass(frozen=True, slots=True)
class Artifact:
    TABLE: ClassVar[str] = "artifacts"
    id: int
    sequence_id: int
    state: str
    version_index: int | None
    digest: str
    description: str | None
    metadata: str | None
    ttl_seconds: int | None
    history_step: int | None
    size: int
    file_count: int
    manifest_md5: str | None
    pending_aliases: str
    run_id: int | None
    user_id: int | None
    created_at: str
    updated_at: str


def get_artifact(db: sqlite3.Connection, artifact_id: int) -> Artifact:
    return get(db, Artifact, artifact_id)


def find(db: sqlite3.Connection, artifact_id: int) -> Artifact | None:
    return select_one(db, Artifact, "WHERE id = ?", artifact_id)


def find_by_number(db: sqlite3.Connection, project_id: int, sequence: str, number: int) -> Artifact | None:
    """Return a version, deleted or not: a number is never reused."""
    where = "JOIN collections ON collections.id = sequence_id WHERE project_id = ? AND name = ? AND version_index = ?"
    return select_one(db, Artifact, where, project_id, sequence, number)


def find_by_client_id(db: sqlite3.Connection, client_id: str) -> Artifact | None:
    """Return the artifact that a client created under its own id."""
    where = "JOIN artifact_clients ON artifact_clients.artifact_id = artifacts.id WHERE client_id = ?"
    return select_one(db, Artifact, where, client_id)


def add_to(db: sqlite3.Connection, target: Collection, artifact_id: int) -> Membership:
    """
    Give a version the next number of a collection, and `latest`. If it is already in the collection, change nothing.
    """
    membership = memberships.find(db, target.id, artifact_id)
    if membership is not None:
        return membership
    number = artifact_collections.get_collection(db, target.id).next_version
    created = format_now()
    insert(
        db, "memberships", collection_id=target.id, artifact_id=artifact_id, version_index=number, created_at=created
    )
    update(db, "collections", target.id, next_version=number + 1, updated_at=created)
    aliases.assign(db, target.id, artifact_id, LATEST)
    added = memberships.find(db, target.id, artifact_id)
    if added is None:
        raise LookupError(f"the membership of artifact {artifact_id} was not written")
    return added


def edit(
    db: sqlite3.Connection,
    target: Artifact,
    *,
    description: str | None = None,
    metadata: str | None = None,
    ttl_seconds: int | None = None,
) -> Artifact:
    """Change the given fields."""
    changes: dict[str, Any] = {"description": description, "metadata": metadata, "ttl_seconds": ttl_seconds}
    given = {name: value for name, value in changes.items() if value is not None}
    update(db, "artifacts", target.id, updated_at=format_now(), **given)
    return get_artifact(db, target.id)


def check_metadata(text: str | None) -> str | None:
    """Return a JSON object as text, or None."""
    if text is None or text == "null":
        return None
    parse_object(text, "an artifact's metadata")
    return text
