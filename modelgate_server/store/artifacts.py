"""
Store artifacts: collections, their versions, aliases, tags and lineage. manifests.py receives a version's contents.

A version is in collections through memberships: one in the sequence that it was logged to, and one in each portfolio
that it was linked into, each with its own version number. An alias belongs to a membership and is unique in its
collection.
"""

import sqlite3
from collections.abc import Collection as Collection_
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import names, projects, protection, references
from modelgate_server.store.accounts import User
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update
from modelgate_server.store.documents import parse_object
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run


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


@dataclass(frozen=True, slots=True)
class Membership:
    TABLE: ClassVar[str] = "memberships"
    id: int
    collection_id: int
    artifact_id: int
    version_index: int
    created_at: str


@dataclass(frozen=True, slots=True)
class Alias:
    TABLE: ClassVar[str] = "aliases"
    id: int
    membership_id: int
    collection_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Tag:
    TABLE: ClassVar[str] = "artifact_tags"
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class CollectionTag:
    TABLE: ClassVar[str] = "collection_tags"
    id: int
    name: str


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


# --- types and collections ----------------------------------------------------------------------------------------


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


def find_collection_by_id(db: sqlite3.Connection, collection_id: int) -> Collection | None:
    return select_one(db, Collection, "WHERE id = ?", collection_id)


def find_collection(db: sqlite3.Connection, project_id: int, name: str) -> Collection | None:
    return select_one(db, Collection, "WHERE project_id = ? AND name = ?", project_id, name)


def list_collections(db: sqlite3.Connection, project_id: int) -> list[Collection]:
    return select_all(db, Collection, "WHERE project_id = ? ORDER BY name", project_id)


@dataclass(frozen=True, slots=True)
class Shelved:
    """A collection in a list: how many versions it has, and the number of the newest."""

    id: int
    name: str
    updated_at: str
    versions: int
    latest: int | None


def list_shelved(db: sqlite3.Connection, type_id: int, *, limit: int, first: int = 0) -> list[Shelved]:
    """Return some collections of a type, by name."""
    sql = (
        "SELECT collections.id, name, updated_at, count(memberships.id), max(version_index) FROM collections"
        " LEFT JOIN memberships ON collection_id = collections.id WHERE type_id = ?"
        " GROUP BY collections.id ORDER BY name LIMIT ? OFFSET ?"
    )
    return [Shelved(*row) for row in db.execute(sql, (type_id, limit, first))]


def count_collections(db: sqlite3.Connection, project_id: int) -> dict[int, int]:
    """Count collections by the id of their type. Types without collections are left out."""
    return dict(
        db.execute("SELECT type_id, count(*) FROM collections WHERE project_id = ? GROUP BY type_id", (project_id,))
    )


def list_numbered_aliases(db: sqlite3.Connection, collection_id: int) -> list[tuple[str, int]]:
    """Return each alias with the number of its version."""
    sql = (
        "SELECT name, version_index FROM aliases JOIN memberships ON memberships.id = membership_id"
        " WHERE aliases.collection_id = ? ORDER BY aliases.id"
    )
    return db.execute(sql, (collection_id,)).fetchall()


def ensure_collection(
    db: sqlite3.Connection, project: Project, name: str, type_name: str, *, kind: str, description: str | None = None
) -> Collection:
    """Return the collection, created if it is missing. The kind and type of a name never change."""
    collection = find_collection(db, project.id, names.check_collection(name))
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


def edit_collection(
    db: sqlite3.Connection, user: User, target: Collection, *, name: str | None, description: str | None
) -> Collection:
    changes: dict[str, Any] = {"updated_at": format_now()}
    if name is not None and name != target.name:
        _require(db, user, target, list_collection_aliases(db, target.id), "rename this collection")
        if find_collection(db, target.project_id, names.check_collection(name)) is not None:
            raise Invalid(f'a collection "{name}" already exists')
        changes["name"] = name
    if description is not None:
        changes["description"] = description
    update(db, "collections", target.id, **changes)
    return get_collection(db, target.id)


def move_collection(db: sqlite3.Connection, project: Project, target: Collection, type_name: str) -> Collection:
    update(db, "collections", target.id, type_id=ensure_type(db, project, type_name).id, updated_at=format_now())
    return get_collection(db, target.id)


def delete_collections(db: sqlite3.Connection, user: User, collections: list[Collection]) -> None:
    """
    Delete collections. With a sequence, its versions are deleted, wherever they are linked; with a portfolio, only its
    links.
    """
    for home in collections:
        _require(db, user, home, list_collection_aliases(db, home.id), "delete this collection")
    logged = [home.id for home in collections if home.kind == "sequence"]
    artifact_ids = {membership.artifact_id for sequence_id in logged for membership in list_versions(db, sequence_id)}
    for artifact_id in sorted(artifact_ids):
        delete(db, user, get_artifact(db, artifact_id), with_aliases=True, together=artifact_ids)
    db.executemany("DELETE FROM collections WHERE id = ?", [(home.id,) for home in collections])


def list_collection_tags(db: sqlite3.Connection, collection_id: int) -> list[CollectionTag]:
    return select_all(db, CollectionTag, "WHERE collection_id = ? ORDER BY id", collection_id)


def tag_collection(db: sqlite3.Connection, collection_id: int, tags: list[str]) -> list[CollectionTag]:
    rows = [(collection_id, names.check_tag(tag)) for tag in tags]
    db.executemany("INSERT OR IGNORE INTO collection_tags (collection_id, name) VALUES (?, ?)", rows)
    return [tag for tag in list_collection_tags(db, collection_id) if tag.name in tags]


def untag_collection(db: sqlite3.Connection, collection_id: int, tags: list[str]) -> None:
    rows = [(collection_id, tag) for tag in tags]
    db.executemany("DELETE FROM collection_tags WHERE collection_id = ? AND name = ?", rows)


# --- versions -----------------------------------------------------------------------------------------------------


def get_artifact(db: sqlite3.Connection, artifact_id: int) -> Artifact:
    return get(db, Artifact, artifact_id)


def find_artifact(db: sqlite3.Connection, artifact_id: int) -> Artifact | None:
    return select_one(db, Artifact, "WHERE id = ?", artifact_id)


def find_by_client_id(db: sqlite3.Connection, client_id: str) -> Artifact | None:
    """Return the artifact that a client created under its own id."""
    return select_one(
        db,
        Artifact,
        "JOIN artifact_clients ON artifact_clients.artifact_id = artifacts.id WHERE client_id = ?",
        client_id,
    )


def list_versions(db: sqlite3.Connection, collection_id: int) -> list[Membership]:
    """Return a collection's versions, newest first."""
    return select_all(db, Membership, "WHERE collection_id = ? ORDER BY version_index DESC", collection_id)


def find_latest(db: sqlite3.Connection, collection_id: int) -> Membership | None:
    return select_one(db, Membership, "WHERE collection_id = ? ORDER BY version_index DESC LIMIT 1", collection_id)


def list_memberships(db: sqlite3.Connection, artifact_id: int) -> list[Membership]:
    """Return the collections that a version is in: its sequence first, then the portfolios in the order of linking."""
    return select_all(db, Membership, "WHERE artifact_id = ? ORDER BY id", artifact_id)


def find_membership(db: sqlite3.Connection, collection_id: int, artifact_id: int) -> Membership | None:
    return select_one(db, Membership, "WHERE collection_id = ? AND artifact_id = ?", collection_id, artifact_id)


def get_membership(db: sqlite3.Connection, membership_id: int) -> Membership:
    return get(db, Membership, membership_id)


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


def add_to(db: sqlite3.Connection, target: Collection, artifact_id: int) -> Membership:
    """
    Give a version the next number of a collection, and `latest`. If it is already in the collection, change nothing.
    """
    membership = find_membership(db, target.id, artifact_id)
    if membership is not None:
        return membership
    number = get_collection(db, target.id).next_version
    created = format_now()
    insert(
        db, "memberships", collection_id=target.id, artifact_id=artifact_id, version_index=number, created_at=created
    )
    update(db, "collections", target.id, next_version=number + 1, updated_at=created)
    assign(db, get_collection(db, target.id), artifact_id, LATEST)
    added = find_membership(db, target.id, artifact_id)
    if added is None:
        raise LookupError(f"the membership of artifact {artifact_id} was not written")
    return added


def remove_from(db: sqlite3.Connection, user: User, membership: Membership, action: str) -> None:
    """Remove a version from a collection, with its aliases there; `latest` moves to the newest remaining one."""
    _require(db, user, get_collection(db, membership.collection_id), list_membership_aliases(db, membership.id), action)
    _take_out(db, membership)


def _take_out(db: sqlite3.Connection, membership: Membership) -> None:
    collection, lost = get_collection(db, membership.collection_id), list_membership_aliases(db, membership.id)
    db.execute("DELETE FROM memberships WHERE id = ?", (membership.id,))
    newest = find_latest(db, collection.id)
    if newest is not None and any(alias.name == LATEST for alias in lost):
        assign(db, collection, newest.artifact_id, LATEST)


def delete(
    db: sqlite3.Connection, user: User, target: Artifact, *, with_aliases: bool, together: Collection_[int] = ()
) -> None:
    """
    Remove a version from every collection. Its number is never reused. Raise Invalid while another version has files of
    it, unless that one is deleted too (`together` has the ids of all deleted ones) or the user may not see it.
    """
    mine = [alias.name for alias in list_aliases(db, target.id) if alias.name != LATEST]
    if mine and not with_aliases:
        raise Invalid(f"the version has aliases ({', '.join(mine)}): delete them too, or first")
    for other in references.list_referring(db, target.id):
        if other not in together and _is_seen(db, user, get_artifact(db, other)):
            name, its_name = references.name_version(db, other), references.name_version(db, target.id)
            raise Invalid(f'version "{name}" has files of "{its_name}", which it would lose: delete that one first')
    for membership in list_memberships(db, target.id):
        remove_from(db, user, membership, "delete this artifact")
    _forget(db, target)


def _forget(db: sqlite3.Connection, artifact: Artifact) -> None:
    db.execute("DELETE FROM entries WHERE artifact_id = ?", (artifact.id,))
    update(db, "artifacts", artifact.id, state="DELETED", updated_at=format_now())


def expire(db: sqlite3.Connection) -> int:
    """
    Delete the versions whose time to live is over, and return how many. A version is still in use, and stays, if it is
    linked, if someone gave it an alias, or if another version has files of it.
    """
    over = (
        "WHERE ttl_seconds > 0 AND state = 'COMMITTED'"
        " AND (julianday('now') - julianday(created_at)) * 86400 > ttl_seconds ORDER BY id"
    )
    gone = [artifact for artifact in select_all(db, Artifact, over) if not _is_meant(db, artifact)]
    for artifact in gone:
        for membership in list_memberships(db, artifact.id):
            _take_out(db, membership)
        _forget(db, artifact)
    return len(gone)


def _is_meant(db: sqlite3.Connection, artifact: Artifact) -> bool:
    named = any(alias.name != LATEST for alias in list_aliases(db, artifact.id))
    return named or len(list_memberships(db, artifact.id)) > 1 or bool(references.list_referring(db, artifact.id))


def _is_seen(db: sqlite3.Connection, user: User, artifact: Artifact) -> bool:
    home = projects.get_project(db, get_collection(db, artifact.sequence_id).project_id)
    return projects.find_role(db, user, home) is not None


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


def list_entries(
    db: sqlite3.Connection, artifact_id: int, *, after: str = "", limit: int = -1, paths: list[str] | None = None
) -> list[Entry]:
    """Return the files of a version by path: those after `after`, or only the given paths."""
    if paths:
        entries = (select_one(db, Entry, "WHERE artifact_id = ? AND path = ?", artifact_id, path) for path in paths)
        return [entry for entry in entries if entry is not None]
    return select_all(db, Entry, "WHERE artifact_id = ? AND path > ? ORDER BY path LIMIT ?", artifact_id, after, limit)


def walk_entries(db: sqlite3.Connection, artifact_id: int, folder: str) -> Iterator[Entry]:
    """
    Yield the files of a version whose paths begin with `folder`, by path, so that only one is in memory at a time.
    """
    columns = "artifact_id, path, digest, md5, ref, size"
    sql = f"SELECT {columns} FROM entries WHERE artifact_id = ? AND path >= ? ORDER BY path"  # noqa: S608  our own text
    for row in db.execute(sql, (artifact_id, folder)):
        if not row[1].startswith(folder):
            return
        yield Entry(*row)


def walk_changed_entries(db: sqlite3.Connection, artifact_id: int, other_id: int) -> Iterator[Entry]:
    """
    Yield the files of a version that another does not have with the same bytes, by path, so that only one is in memory
    at a time.
    """
    columns = "artifact_id, path, digest, md5, ref, size"
    other = "SELECT digest FROM entries AS other WHERE other.artifact_id = ? AND other.path = entries.path"
    sql = f"SELECT {columns} FROM entries WHERE artifact_id = ? AND digest IS NOT ({other}) ORDER BY path"  # noqa: S608
    yield from (Entry(*row) for row in db.execute(sql, (artifact_id, other_id)))


def has_blob(db: sqlite3.Connection, collection_id: int, md5: str) -> bool:
    sql = "SELECT 1 FROM memberships JOIN entries USING (artifact_id) WHERE collection_id = ? AND md5 = ? LIMIT 1"
    return db.execute(sql, (collection_id, md5)).fetchone() is not None


# --- aliases and tags ---------------------------------------------------------------------------------------------


def list_aliases(db: sqlite3.Connection, artifact_id: int) -> list[Alias]:
    """Return a version's aliases in all collections."""
    where = "JOIN memberships ON memberships.id = membership_id WHERE artifact_id = ? ORDER BY aliases.id"
    return select_all(db, Alias, where, artifact_id)


def list_membership_aliases(db: sqlite3.Connection, membership_id: int) -> list[Alias]:
    return select_all(db, Alias, "WHERE membership_id = ? ORDER BY id", membership_id)


def list_collection_aliases(db: sqlite3.Connection, collection_id: int) -> list[Alias]:
    return select_all(db, Alias, "WHERE collection_id = ? ORDER BY id", collection_id)


def add_alias(db: sqlite3.Connection, user: User, collection_id: int, artifact_id: int, name: str) -> None:
    """Move the alias `name` to this version. Repeating it changes nothing."""
    collection = get_collection(db, collection_id)
    if not _has_alias(db, collection, artifact_id, name):
        protection.require(db, user, collection.project_id, [name], "add this alias to this artifact")
        assign(db, collection, artifact_id, name)


def remove_alias(db: sqlite3.Connection, user: User, collection_id: int, artifact_id: int, name: str) -> None:
    """Remove an alias from this version. If another version has the alias, it stays there."""
    collection = get_collection(db, collection_id)
    if _has_alias(db, collection, artifact_id, name):
        protection.require(db, user, collection.project_id, [name], "delete this alias from this artifact")
        db.execute("DELETE FROM aliases WHERE collection_id = ? AND name = ?", (collection_id, name))


def _has_alias(db: sqlite3.Connection, collection: Collection, artifact_id: int, name: str) -> bool:
    membership = find_membership(db, collection.id, artifact_id)
    return membership is not None and any(alias.name == name for alias in list_membership_aliases(db, membership.id))


def assign(db: sqlite3.Connection, collection: Collection, artifact_id: int, name: str) -> None:
    """
    Move the alias `name` without checking permissions: for the server itself, and for the owner of its data folder.
    """
    membership = find_membership(db, collection.id, artifact_id)
    if membership is None:
        raise NotFound(f'the version is not in collection "{collection.name}"')
    number = names.parse_version(names.check_alias(name))
    if number == membership.version_index:
        return  # every version has its own number as a name; it is not stored
    if number is not None:
        raise Invalid(f'"{name}" is the name of a version and cannot be an alias of v{membership.version_index}')
    db.execute("DELETE FROM aliases WHERE collection_id = ? AND name = ?", (collection.id, name))
    insert(db, "aliases", collection_id=collection.id, membership_id=membership.id, name=name)


def _require(db: sqlite3.Connection, user: User, collection: Collection, lost: list[Alias], action: str) -> None:
    """Raise Forbidden if a user who is not an admin would remove a protected alias."""
    protection.require(db, user, collection.project_id, [alias.name for alias in lost], action)


def list_tags(db: sqlite3.Connection, artifact_id: int) -> list[Tag]:
    return select_all(db, Tag, "WHERE artifact_id = ? ORDER BY id", artifact_id)


def add_tags(db: sqlite3.Connection, artifact_id: int, given: list[str]) -> None:
    rows = [(artifact_id, names.check_tag(tag)) for tag in given]
    db.executemany("INSERT OR IGNORE INTO artifact_tags (artifact_id, name) VALUES (?, ?)", rows)


def remove_tags(db: sqlite3.Connection, artifact_id: int, given: list[str]) -> None:
    rows = [(artifact_id, tag) for tag in given]
    db.executemany("DELETE FROM artifact_tags WHERE artifact_id = ? AND name = ?", rows)


# --- lineage ------------------------------------------------------------------------------------------------------


def record(db: sqlite3.Connection, run_id: int, artifact_id: int, direction: str) -> None:
    """Record that a run used (`input`) or made (`output`) a version."""
    db.execute(
        "INSERT OR IGNORE INTO run_artifacts VALUES (?, ?, ?, ?)", (run_id, artifact_id, direction, format_now())
    )


def list_users(db: sqlite3.Connection, artifact_id: int) -> list[Run]:
    return select_all(
        db,
        Run,
        "JOIN run_artifacts ON run_id = runs.id WHERE artifact_id = ? AND direction = 'input' ORDER BY runs.id",
        artifact_id,
    )


def find_creator(db: sqlite3.Connection, artifact_id: int) -> Run | None:
    return select_one(db, Run, "JOIN artifacts ON artifacts.run_id = runs.id WHERE artifacts.id = ?", artifact_id)


def list_by_run(db: sqlite3.Connection, run_id: int, direction: str) -> list[Artifact]:
    return select_all(
        db,
        Artifact,
        "JOIN run_artifacts ON artifact_id = artifacts.id"
        " WHERE run_artifacts.run_id = ? AND direction = ? AND state = 'COMMITTED' ORDER BY artifacts.id",
        run_id,
        direction,
    )
