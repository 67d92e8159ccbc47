"""
Store registries, which are projects of an organization with their own members, and links, which put a version into a
portfolio of a project or registry under its own number.
"""

import sqlite3

from modelgate_server.errors import Forbidden, Invalid
from modelgate_server.store import (
    accounts,
    aliases,
    artifact_collections,
    artifacts,
    memberships,
    names,
    projects,
    removal,
)
from modelgate_server.store.accounts import Entity, User
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.db import format_now, insert
from modelgate_server.store.memberships import Membership
from modelgate_server.store.projects import Project

MODEL_REGISTRY = "wandb-registry-model"


def link(
    db: sqlite3.Connection, user: User, artifact: Artifact, target: Project, portfolio: str, alias_names: list[str]
) -> Membership:
    """Return the version's membership in the portfolio, created if it is missing. Linking again changes nothing."""
    if artifact.state != "COMMITTED":
        raise Invalid("only a committed version can be linked")
    source = artifact_collections.get_collection(db, artifact.sequence_id)
    _check_organization(db, projects.get_project(db, source.project_id), target)
    type_name = artifact_collections.get_type(db, source.type_id).name
    # A registry may have stopped accepting a type after the collection was created.
    artifact_collections.ensure_type(db, target, type_name)
    collection = artifact_collections.ensure(db, target, names.check_collection(portfolio), type_name, kind="portfolio")
    membership = artifacts.add_to(db, collection, artifact.id)
    for alias in alias_names:
        aliases.add(db, user, collection.id, artifact.id, alias)
    return membership


def unlink(db: sqlite3.Connection, user: User, artifact: Artifact, portfolio_id: int) -> None:
    """Remove a version from a portfolio. Repeating it changes nothing."""
    if artifact_collections.get_collection(db, portfolio_id).kind != "portfolio":
        raise Invalid("a version cannot be unlinked from the collection that it was logged to")
    membership = memberships.find(db, portfolio_id, artifact.id)
    if membership is not None:
        removal.remove_from(db, user, membership, "unlink this artifact")


def _check_organization(db: sqlite3.Connection, source: Project, target: Project) -> None:
    """Check that a registry contains only what its own organization made."""
    owner = accounts.get_entity(db, target.entity_id)
    if owner.kind != "organization":
        return
    if owner.organization_id not in _list_organizations(db, accounts.get_entity(db, source.entity_id)):
        raise Forbidden(f'"{source.name}" does not belong to the organization that owns registry "{target.name}"')


def _list_organizations(db: sqlite3.Connection, source: Entity) -> set[int | None]:
    if source.kind == "user" and source.user_id is not None:
        return {organization.id for organization in accounts.list_organizations(db, source.user_id)}
    return {source.organization_id}


# --- registries ----------------------------------------------------------------------------------------------------


def create(
    db: sqlite3.Connection,
    owner: Entity,
    name: str,
    user: User,
    *,
    types: list[str] | None = None,
) -> Project:
    """
    Return a new registry of an organization, created by one of its members. Without types, it accepts all of them.
    """
    if not name.startswith(projects.REGISTRY_PREFIX):
        raise Invalid(
            f'an organization\'s projects are registries, whose names start with "{projects.REGISTRY_PREFIX}"'
        )
    organization_id = owner.organization_id or 0
    if accounts.find_organization_role(db, organization_id, user.id) not in projects.WRITERS:
        raise Forbidden(f'you may not create registries in "{owner.name}"')
    made = projects.create(db, owner, name, user, allow_all_types=types is None)
    set_member(db, made, user.id, "admin")
    add_types(db, made, types or [])
    return made


def add_types(db: sqlite3.Connection, project: Project, types: list[str]) -> None:
    """Add types that the registry accepts. A type is never removed."""
    for name in types:
        if artifact_collections.find_type(db, project.id, names.check_type(name)) is None:
            insert(db, "artifact_types", project_id=project.id, name=name, created_at=format_now())


def list_visible(db: sqlite3.Connection, user: User, owner: Entity) -> list[Project]:
    """Return the registries of an organization's entity that a user may see."""
    return [
        project
        for project in projects.list_by_entity(db, owner.id)
        if project.is_registry and projects.find_role(db, user, project) is not None
    ]


def list_members(db: sqlite3.Connection, project: Project) -> list[tuple[User, str]]:
    """
    Return the members of a registry with their roles: the named ones and, for an open registry, everyone in the
    organization.
    """
    sql = "SELECT user_id, role FROM project_members WHERE project_id = ? ORDER BY user_id"
    named = [(accounts.get_user(db, user_id), role) for user_id, role in db.execute(sql, (project.id,)).fetchall()]
    owner = accounts.get_entity(db, project.entity_id)
    if project.access == projects.RESTRICTED_ACCESS or owner.organization_id is None:
        return named
    known = {user.id for user, _ in named}
    others = accounts.list_organization_members(db, owner.organization_id)
    return named + [(user, role) for user, role in others if user.id not in known]


def list_team_members(db: sqlite3.Connection, project: Project) -> list[tuple[Entity, str]]:
    sql = "SELECT entity_id, role FROM project_teams WHERE project_id = ? ORDER BY entity_id"
    return [(accounts.get_entity(db, entity_id), role) for entity_id, role in db.execute(sql, (project.id,)).fetchall()]


def set_member(db: sqlite3.Connection, project: Project, user_id: int, role: str) -> None:
    sql = "INSERT INTO project_members VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role"
    db.execute(sql, (project.id, user_id, _check_role(role)))


def set_team(db: sqlite3.Connection, project: Project, entity_id: int, role: str) -> None:
    sql = "INSERT INTO project_teams VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role"
    db.execute(sql, (project.id, entity_id, _check_role(role)))


def remove_member(db: sqlite3.Connection, project: Project, user_id: int) -> None:
    """Remove a member. Removing someone who is not a member changes nothing."""
    db.execute("DELETE FROM project_members WHERE project_id = ? AND user_id = ?", (project.id, user_id))


def remove_team(db: sqlite3.Connection, project: Project, entity_id: int) -> None:
    db.execute("DELETE FROM project_teams WHERE project_id = ? AND entity_id = ?", (project.id, entity_id))


def _check_role(role: str) -> str:
    if role not in projects.ROLES:
        raise Invalid(f'role "{role}" is not one of {", ".join(projects.ROLES)}')
    return role


def create_local(db: sqlite3.Connection, key: str) -> None:
    """Create what a first start needs: the user `local`, an organization, and its registry for models."""
    user = accounts.create_user(db, accounts.LOCAL_USER, admin=True)
    accounts.add_key(db, user.id, key, "created at the first start")
    organization = accounts.create_organization(db, accounts.LOCAL_ORGANIZATION)
    accounts.set_organization_member(db, organization.id, user.id, "admin")
    create(db, accounts.get_organization_entity(db, organization.id), MODEL_REGISTRY, user, types=["model"])
