"""Import the links of an export: the places of versions in portfolios, with the aliases there."""

import sqlite3
from typing import Any

from modelgate_server.errors import NotFound, ServerError
from modelgate_server.import_artifacts import set_next_number
from modelgate_server.import_source import Source
from modelgate_server.store import accounts, aliases, artifact_collections, memberships, projects, registry
from modelgate_server.store.accounts import User
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.db import update
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST


def import_links(db: sqlite3.Connection, source: Source, user: User, links: list[dict[str, Any]]) -> None:
    """
    Link the versions with their numbers first, then assign the aliases. `latest` stays on a newer version of this
    folder.
    """
    held: dict[int, Membership | None] = {}
    placed = []
    for link in sorted(links, key=lambda link: (link["collection"], link["number"])):
        db.execute("SAVEPOINT link")
        try:
            portfolio, artifact = _ensure_portfolio(db, source, user, link)
            latest = memberships.resolve(db, portfolio.id, LATEST)
            placed.append((link, _link_version(db, source, user, portfolio, artifact, link)))
            held.setdefault(portfolio.id, latest)
        except ServerError as error:
            # Otherwise a collection without a version would remain, or a number that was only reserved.
            db.execute("ROLLBACK TO link")
            where = f"{link['entity']}/{link['project']}/{link['collection']}"
            source.not_carried.append(f"the link of {link['version']} in {where}: {error}")
        db.execute("RELEASE link")
    for link, membership in placed:
        for alias in link["aliases"]:
            aliases.assign(db, membership.collection_id, membership.artifact_id, alias)
    for portfolio_id, latest in held.items():
        newest = max(membership.version_index for _, membership in placed if membership.collection_id == portfolio_id)
        if latest is not None and latest.version_index > newest:
            aliases.assign(db, portfolio_id, latest.artifact_id, LATEST)


def _ensure_portfolio(
    db: sqlite3.Connection, source: Source, user: User, link: dict[str, Any]
) -> tuple[Collection, Artifact]:
    """
    Return the target of a link, created if it is missing, and the version. A registry is never created this way.
    """
    artifact = source.find_version(db, link)
    if artifact is None:
        raise NotFound("the version does not exist here")
    entity, name = link["entity"], link["project"]
    if (entity, name) == (source.entity, source.name):
        entity, _, name = source.target.partition("/")
    elif entity == source.entity:
        entity = source.target.partition("/")[0]
    owner = accounts.find_entity(db, entity)
    target = projects.find(db, owner.id, name) if owner else None
    if target is None and owner is not None and owner.kind != "organization":
        target = projects.create(db, owner, name, user)
    if target is None:
        raise NotFound(f'there is no registry "{entity}/{name}": create it and import again')
    kind = artifact_collections.get_type(db, artifact_collections.get_collection(db, artifact.sequence_id).type_id).name
    return artifact_collections.ensure(db, target, link["collection"], kind, kind="portfolio"), artifact


def _link_version(
    db: sqlite3.Connection,
    source: Source,
    user: User,
    portfolio: Collection,
    artifact: Artifact,
    link: dict[str, Any],
) -> Membership:
    """Link a version with its old number, or with the next one if another version has that number."""
    membership = memberships.find(db, portfolio.id, artifact.id)
    if membership is not None:
        return membership
    number = int(link["number"])
    if memberships.resolve(db, portfolio.id, f"v{number}") is not None:
        number = artifact_collections.get_collection(db, portfolio.id).next_version
        source.not_carried.append(
            f"v{link['number']} of {portfolio.name} belongs to another version here: this one is v{number}"
        )
    with set_next_number(db, portfolio.id, number):
        target = projects.get_project(db, portfolio.project_id)
        membership = registry.link(db, user, artifact, target, portfolio.name, [])
    update(db, "memberships", membership.id, created_at=link["created_at"])
    return membership
