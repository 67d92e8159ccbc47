"""Linking: the same version, in a portfolio of a project or of a registry, under a number of its own."""

import sqlite3

from server.errors import Forbidden, Invalid
from server.store import accounts, artifacts, names, projects
from server.store.accounts import Entity
from server.store.artifacts import Artifact, Membership
from server.store.db import insert, now
from server.store.projects import Project

MODEL_REGISTRY = "wandb-registry-model"


def link(db: sqlite3.Connection, found: Artifact, target: Project, portfolio: str, aliases: list[str]) -> Membership:
    """The version's place in the portfolio, made if it is missing. Linking twice is the same as once."""
    if found.state != "COMMITTED":
        raise Invalid("only a committed version can be linked")
    source = artifacts.collection(db, found.sequence_id)
    _check_organization(db, projects.project(db, source.project_id), target)
    type_name = artifacts.artifact_type(db, source.type_id).name
    # A registry may have stopped to take a type after the collection was made.
    artifacts.ensure_type(db, target, type_name)
    collection = artifacts.ensure_collection(db, target, names.collection(portfolio), type_name, kind="portfolio")
    there = artifacts.add_to(db, collection, found.id)
    for alias in aliases:
        artifacts.add_alias(db, collection.id, found.id, alias)
    return there


def unlink(db: sqlite3.Connection, found: Artifact, portfolio_id: int) -> None:
    """Take a version out of a portfolio; twice is the same as once."""
    if artifacts.collection(db, portfolio_id).kind != "portfolio":
        raise Invalid("a version cannot be unlinked from the collection that it was logged to")
    there = artifacts.membership(db, portfolio_id, found.id)
    if there is not None:
        artifacts.remove_from(db, there)


def _check_organization(db: sqlite3.Connection, source: Project, target: Project) -> None:
    """A registry holds only what its own organisation made."""
    owner = accounts.entity(db, target.entity_id)
    if owner.kind != "organization":
        return
    if owner.organization_id not in _organizations(db, accounts.entity(db, source.entity_id)):
        raise Forbidden(f'"{source.name}" is not of the organization that owns registry "{target.name}"')


def _organizations(db: sqlite3.Connection, source: Entity) -> set[int | None]:
    if source.kind == "user" and source.user_id is not None:
        return {found.id for found in accounts.organizations_of(db, source.user_id)}
    return {source.organization_id}


def create_local(db: sqlite3.Connection, key: str) -> None:
    """What a first start makes: the user `local`, an organisation, and its registry for models."""
    user = accounts.create_user(db, accounts.LOCAL_USER, admin=True)
    accounts.add_key(db, user.id, key, "made at the first start")
    organization = accounts.create_organization(db, accounts.LOCAL_ORGANIZATION)
    accounts.set_organization_member(db, organization.id, user.id, "admin")
    owner = accounts.organization_entity(db, organization.id)
    registry = projects.create(db, owner, MODEL_REGISTRY, user, allow_all_types=False)
    insert(db, "artifact_types", project_id=registry.id, name="model", created_at=now())
    db.execute("INSERT INTO project_members VALUES (?, ?, 'admin')", (registry.id, user.id))
