"""
Store collections of versions and their types: the sequence that a version was logged to, and the portfolios of projects
and registries that it was linked into.
"""

import sqlite3
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgate_server.errors import Invalid
from modelgate_server.store import names, protection
from modelgate_server.store.accounts import User
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update
from modelgate_server.store.projects import Project


@dataclass(frozen=True, slots=True)
class ArtifactType:
    TABLE: ClassVar[str] = "artifact_types"
    id: int
    project_id: int
    name: str
    description: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Collection:
    TABLE: ClassVar[str] = "collections"
    id: int
    project_id: int
    type_id: int
    kind: str
    name: str
    description: str | None
    next_version: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Shelved:
    """A collection in a list: how many versions it has, and the number of the newest."""

    id: int
    name: str
    updated_at: str
    versions: int
    latest: int | None


def get_type(db: sqlite3.Connection, type_id: int) -> ArtifactType:
    return get(db, ArtifactType, type_id)


def find_type(db: sqlite3.Connection, project_id: int, name: str) -> ArtifactType | None:
    return select_one(db, ArtifactType, "WHERE project_id = ? AND name = ?", project_id, name)


def list_types(db: sqlite3.Connection, project_id: int) -> list[ArtifactType]:
    return select_all(db, ArtifactType, "WHERE project_id = ? ORDER BY name", project_id)


def ensure_type(db: sqlite3.Connection, project: Project, name: str) -> ArtifactType:
    """Return the type, created if it is new to the project; raise Invalid if a registry does not accept it."""
    artifact_type = find_type(db, project.id, names.check_type(name))
    if artifact_type is not None:
        return artifact_type
    if not project.allow_all_types:
        allowed = ", ".join(kind.name for kind in list_types(db, project.id)) or "none"
        raise Invalid(f'"{project.name}" does not take artifacts of type "{name}" (it takes: {allowed})')
    type_id = insert(db, "artifact_types", project_id=project.id, name=name, created_at=format_now())
    return get_type(db, type_id)


def get_collection(db: sqlite3.Connection, collection_id: int) -> Collection:
    return get(db, Collection, collection_id)


def find_by_id(db: sqlite3.Connection, collection_id: int) -> Collection | None:
    return select_one(db, Collection, "WHERE id = ?", collection_id)


def find(db: sqlite3.Connection, project_id: int, name: str) -> Collection | None:
    return select_one(db, Collection, "WHERE project_id = ? AND name = ?", project_id, name)


def list_by_project(db: sqlite3.Connection, project_id: int) -> list[Collection]:
    return select_all(db, Collection, "WHERE project_id = ? ORDER BY name", project_id)


def list_shelved(db: sqlite3.Connection, type_id: int, *, limit: int, first: int = 0) -> list[Shelved]:
    """Return some collections of a type, by name."""
    sql = (
        "SELECT collections.id, name, updated_at, count(memberships.id), max(version_index) FROM collections"
        " LEFT JOIN memberships ON collection_id = collections.id WHERE type_id = ?"
        " GROUP BY collections.id ORDER BY name LIMIT ? OFFSET ?"
    )
    return [Shelved(*row) for row in db.execute(sql, (type_id, limit, first))]


def count_by_type(db: sqlite3.Connection, project_id: int) -> dict[int, int]:
    """Count collections by the id of their type. Types without collections are left out."""
    return dict(
        db.execute("SELECT type_id, count(*) FROM collections WHERE project_id = ? GROUP BY type_id", (project_id,))
    )


def ensure(
    db: sqlite3.Connection, project: Project, name: str, type_name: str, *, kind: str, description: str | None = None
) -> Collection:
    """Return the collection, created if it is missing. The kind and type of a name never change."""
    collection = find(db, project.id, names.check_collection(name))
    if collection is None:
        created = format_now()
        collection_id = insert(
            db,
            "collections",
            project_id=project.id,
            type_id=ensure_type(db, project, type_name).id,
            kind=kind,
            name=name,
            description=description,
            created_at=created,
            updated_at=created,
        )
        return get_collection(db, collection_id)
    if collection.kind != kind:
        raise Invalid(f'"{name}" in "{project.name}" is a {collection.kind}: it cannot be used as a {kind}')
    has = get_type(db, collection.type_id).name
    if has != type_name:
        raise Invalid(f'"{name}" in "{project.name}" holds artifacts of type "{has}", not "{type_name}"')
    return collection


def edit(
    db: sqlite3.Connection, user: User, target: Collection, *, name: str | None, description: str | None
) -> Collection:
    changes: dict[str, Any] = {"updated_at": format_now()}
    if name is not None and name != target.name:
        protection.require_collection(db, user, target.project_id, target.id, "rename this collection")
        if find(db, target.project_id, names.check_collection(name)) is not None:
            raise Invalid(f'a collection "{name}" already exists')
        changes["name"] = name
    if description is not None:
        changes["description"] = description
    update(db, "collections", target.id, **changes)
    return get_collection(db, target.id)


def move(db: sqlite3.Connection, project: Project, target: Collection, type_name: str) -> Collection:
    update(db, "collections", target.id, type_id=ensure_type(db, project, type_name).id, updated_at=format_now())
    return get_collection(db, target.id)
