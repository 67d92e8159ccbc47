"""Remove versions: from a collection, with a collection, entirely, or because their time to live is over."""

import sqlite3
from collections.abc import Collection as Collection_

from modelgate_server.errors import Invalid
from modelgate_server.store import (
    aliases,
    artifact_collections,
    artifacts,
    memberships,
    projects,
    protection,
    references,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.db import format_now, select_all, update
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST


def remove_from(db: sqlite3.Connection, user: User, membership: Membership, action: str) -> None:
    """Remove a version from a collection, with its aliases there; `latest` moves to the newest remaining one."""
    home = artifact_collections.get_collection(db, membership.collection_id)
    lost = [alias.name for alias in aliases.list_by_membership(db, membership.id)]
    protection.require(db, user, home.project_id, lost, action)
    _take_out(db, membership)


def _take_out(db: sqlite3.Connection, membership: Membership) -> None:
    lost = aliases.list_by_membership(db, membership.id)
    db.execute("DELETE FROM memberships WHERE id = ?", (membership.id,))
    newest = memberships.find_latest(db, membership.collection_id)
    if newest is not None and any(alias.name == LATEST for alias in lost):
        aliases.assign(db, newest.collection_id, newest.artifact_id, LATEST)


def delete(
    db: sqlite3.Connection, user: User, target: Artifact, *, with_aliases: bool, together: Collection_[int] = ()
) -> None:
    """
    Remove a version from every collection. Its number is never reused. Raise Invalid while another version has files of
    it, unless that one is deleted too (`together` has the ids of all deleted ones) or the user may not see it.
    """
    mine = [alias.name for alias in aliases.list_by_artifact(db, target.id) if alias.name != LATEST]
    if mine and not with_aliases:
        raise Invalid(f"the version has aliases ({', '.join(mine)}): delete them too, or first")
    for other in references.list_referring(db, target.id):
        if other not in together and _is_seen(db, user, artifacts.get_artifact(db, other)):
            name, its_name = references.name_version(db, other), references.name_version(db, target.id)
            raise Invalid(f'version "{name}" has files of "{its_name}", which it would lose: delete that one first')
    for membership in memberships.list_by_artifact(db, target.id):
        remove_from(db, user, membership, "delete this artifact")
    _forget(db, target)


def delete_collections(db: sqlite3.Connection, user: User, collections: list[Collection]) -> None:
    """
    Delete collections. With a sequence, its versions are deleted, wherever they are linked; with a portfolio, only its
    links.
    """
    for home in collections:
        protection.require_collection(db, user, home.project_id, home.id, "delete this collection")
    logged = [home.id for home in collections if home.kind == "sequence"]
    versions = (version for sequence_id in logged for version in memberships.list_by_collection(db, sequence_id))
    artifact_ids = {version.artifact_id for version in versions}
    for artifact_id in sorted(artifact_ids):
        delete(db, user, artifacts.get_artifact(db, artifact_id), with_aliases=True, together=artifact_ids)
    db.executemany("DELETE FROM collections WHERE id = ?", [(home.id,) for home in collections])


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
        for membership in memberships.list_by_artifact(db, artifact.id):
            _take_out(db, membership)
        _forget(db, artifact)
    return len(gone)


def _forget(db: sqlite3.Connection, artifact: Artifact) -> None:
    db.execute("DELETE FROM entries WHERE artifact_id = ?", (artifact.id,))
    update(db, "artifacts", artifact.id, state="DELETED", updated_at=format_now())


def _is_meant(db: sqlite3.Connection, artifact: Artifact) -> bool:
    named = any(alias.name != LATEST for alias in aliases.list_by_artifact(db, artifact.id))
    linked = len(memberships.list_by_artifact(db, artifact.id)) > 1
    return named or linked or bool(references.list_referring(db, artifact.id))


def _is_seen(db: sqlite3.Connection, user: User, artifact: Artifact) -> bool:
    home = projects.get_project(db, artifact_collections.get_collection(db, artifact.sequence_id).project_id)
    return projects.find_role(db, user, home) is not None
