"""Store projects, and decide who may do what in them. A registry is a project of an organization's entity."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from modelgate_server.errors import Forbidden, Invalid, NotFound, UnknownEntity
from modelgate_server.store import accounts, names
from modelgate_server.store.accounts import Entity, User
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update

REGISTRY_PREFIX = "wandb-registry-"
# W&B's terms for "everyone in the organization" and "only named members".
ORGANIZATION_ACCESS = "PRIVATE"
RESTRICTED_ACCESS = "RESTRICTED"
WRITERS = ("admin", "member")
# Who may read the files; a restricted viewer only sees what exists.
READERS = (*WRITERS, "viewer")
# From the highest to the lowest: if a user has two roles, the higher one counts.
ROLES = ("admin", "member", "viewer", "restricted_viewer")


class InProject(Protocol):
    """Something that belongs to a project."""

    @property
    def project_id(self) -> int: ...


T = TypeVar("T", bound=InProject)


@dataclass(frozen=True, slots=True)
class Project:
    TABLE: ClassVar[str] = "projects"
    id: int
    entity_id: int
    name: str
    description: str | None
    access: str
    allow_all_types: int
    views: str | None
    user_id: int | None
    created_at: str
    updated_at: str

    @property
    def is_registry(self) -> bool:
        return self.name.startswith(REGISTRY_PREFIX)


def get_project(db: sqlite3.Connection, project_id: int) -> Project:
    return get(db, Project, project_id)


def find_by_id(db: sqlite3.Connection, project_id: int) -> Project | None:
    return select_one(db, Project, "WHERE id = ?", project_id)


def find(db: sqlite3.Connection, entity_id: int, name: str) -> Project | None:
    return select_one(db, Project, "WHERE entity_id = ? AND name = ?", entity_id, name)


def find_by_path(db: sqlite3.Connection, path: str) -> Project | None:
    """Return the project `entity/project`."""
    entity, _, name = path.partition("/")
    owner = accounts.find_entity(db, entity)
    return find(db, owner.id, name) if owner else None


def list_by_entity(db: sqlite3.Connection, entity_id: int) -> list[Project]:
    return select_all(db, Project, "WHERE entity_id = ? ORDER BY id DESC", entity_id)


def find_role(db: sqlite3.Connection, user: User, project: Project) -> str | None:
    """Return a user's role in a project, None if they have no access."""
    owner = accounts.get_entity(db, project.entity_id)
    if owner.kind == "organization":
        return _find_registry_role(db, user, project, owner)
    return _find_team_role(db, user, project, find_entity_role(db, user, owner))


def _find_team_role(db: sqlite3.Connection, user: User, project: Project, in_team: str | None) -> str | None:
    """Return the role: one in a project overrides that in its team, but a team's admin is admin of all its projects."""
    if in_team in (None, "admin"):
        return in_team
    named = "SELECT role FROM project_members WHERE project_id = ? AND user_id = ?"
    row = db.execute(named, (project.id, user.id)).fetchone()
    return str(row[0]) if row else in_team


def _find_registry_role(db: sqlite3.Connection, user: User, project: Project, owner: Entity) -> str | None:
    granted = [
        str(row[0])
        for row in db.execute(
            "SELECT role FROM project_members WHERE project_id = ?1 AND user_id = ?2 UNION ALL"
            " SELECT teams.role FROM project_teams AS teams JOIN team_members USING (entity_id)"
            " WHERE project_id = ?1 AND user_id = ?2",
            (project.id, user.id),
        )
    ]
    if not granted and project.access != RESTRICTED_ACCESS and owner.organization_id is not None:
        granted = [accounts.find_organization_role(db, owner.organization_id, user.id) or ""]
    return min((name for name in granted if name in ROLES), key=ROLES.index, default=None)


def find_readable(db: sqlite3.Connection, user: User, entity_name: str | None, name: str | None) -> Project | None:
    """Return the project if it exists and the user may see it. Without an entity, look in the user's own."""
    owner = accounts.find_entity(db, entity_name) if entity_name else accounts.get_default_entity(db, user)
    project = owner and name and find(db, owner.id, name)
    return project if project and find_role(db, user, project) is not None else None


def list_readable_ids(db: sqlite3.Connection, user: User) -> list[int]:
    """Return the ids of the projects whose files a user may read."""
    mine = json.dumps([owner.id for owner in accounts.list_teams(db, user.id)])
    sql = "SELECT id FROM projects WHERE entity_id IN (SELECT value FROM json_each(?))"
    registries = select_all(db, Project, "JOIN entities ON entities.id = entity_id WHERE kind = 'organization'")
    return [project_id for (project_id,) in db.execute(sql, (mine,))] + [
        registry.id for registry in registries if find_role(db, user, registry) in READERS
    ]


def require_writable(db: sqlite3.Connection, user: User, entity_name: str | None, name: str) -> Project:
    """Return the project to write to. Raise NotFound or Forbidden."""
    owner = require_writable_entity(db, user, entity_name, name)
    missing = f'project "{owner.name}/{name}" not found'
    return require_writer(db, user, find(db, owner.id, name), missing)


def require_writer(db: sqlite3.Connection, user: User, project: Project | None, missing: str) -> Project:
    """
    Return the project. Raise NotFound with the same message, `missing`, if it does not exist or the user may not see
    it.
    """
    its_role = find_role(db, user, project) if project is not None else None
    if project is None or its_role is None:
        raise NotFound(missing)
    if its_role not in WRITERS:
        raise Forbidden(f'you may not write to project "{project.name}"')
    return project


def require_writable_item(db: sqlite3.Connection, user: User, thing: T | None, missing: str) -> T:
    """
    Return a run, sweep or collection if the user may write to its project; otherwise raise as `require_writer` does.
    """
    home = require_writer(db, user, get_project(db, thing.project_id) if thing is not None else None, missing)
    if thing is None:
        raise LookupError(f"project {home.id} is not of anything")
    return thing


def require_reader(roles: set[str]) -> None:
    if not roles & set(READERS):
        raise Forbidden("a restricted viewer may see versions, but not use or download them")


def ensure(db: sqlite3.Connection, user: User, entity_name: str | None, name: str) -> Project:
    """Return the project to write to, created if it is missing. Registries are not created this way."""
    owner = require_writable_entity(db, user, entity_name, name)
    project = find(db, owner.id, name)
    if project is not None or owner.kind == "organization":
        return require_writer(db, user, project, f'registry "{owner.name}/{name}" not found')
    return create(db, owner, name, user)


def create(
    db: sqlite3.Connection,
    owner: Entity,
    name: str,
    user: User,
    *,
    description: str | None = None,
    access: str = ORGANIZATION_ACCESS,
    allow_all_types: bool = True,
) -> Project:
    created = format_now()
    project_id = insert(
        db,
        "projects",
        entity_id=owner.id,
        name=names.check_plain(name, "project"),
        description=description,
        access=access,
        allow_all_types=int(allow_all_types),
        user_id=user.id,
        created_at=created,
        updated_at=created,
    )
    return get_project(db, project_id)


def edit(db: sqlite3.Connection, target: Project, **changes: Any) -> Project:
    """Change the given columns."""
    given = {name: value for name, value in changes.items() if value is not None}
    allowed = (ORGANIZATION_ACCESS, RESTRICTED_ACCESS) if target.is_registry else (ORGANIZATION_ACCESS,)
    if given.get("access", ORGANIZATION_ACCESS) not in allowed:
        kind = "registry" if target.is_registry else "project"
        raise Invalid(f'the access of a {kind} cannot be "{given["access"]}" here (it can be: {", ".join(allowed)})')
    update(db, "projects", target.id, updated_at=format_now(), **given)
    return get_project(db, target.id)


def rename(db: sqlite3.Connection, project: Project, name: str) -> Project:
    if name != project.name and find(db, project.entity_id, names.check_plain(name, "project")) is not None:
        raise Invalid(f'the name "{name}" is taken')
    if project.is_registry != name.startswith(REGISTRY_PREFIX):
        raise Invalid(f"a registry's name starts with \"{REGISTRY_PREFIX}\", and only a registry's")
    return edit(db, project, name=name)


def delete(db: sqlite3.Connection, project: Project) -> None:
    """Delete a project with all its contents."""
    db.execute("DELETE FROM projects WHERE id = ?", (project.id,))


def require_admin(db: sqlite3.Connection, user: User, project: Project) -> Project:
    if find_role(db, user, project) != "admin":
        raise Forbidden(f'only an admin of "{project.name}" may do this')
    return project


def require_writable_entity(db: sqlite3.Connection, user: User, entity_name: str | None, project_name: str) -> Entity:
    """Return the entity if the user may write there at all. In an organization, each registry decides for itself."""
    owner = accounts.find_entity(db, entity_name) if entity_name else accounts.get_default_entity(db, user)
    its_role = find_entity_role(db, user, owner) if owner else None
    if owner is None or (its_role is None and owner.kind != "organization"):
        name = entity_name or (owner.name if owner else "")
        message = f'entity "{name}" not found while looking for project "{project_name}"'
        raise UnknownEntity(name, message) if owner is None else NotFound(message)
    if its_role not in WRITERS and owner.kind != "organization":
        raise Forbidden(f'you may not write to entity "{owner.name}"')
    return owner


def find_entity_role(db: sqlite3.Connection, user: User, owner: Entity) -> str | None:
    """Return a user's role in a user's own entity, a team or an organization; None if they have no access."""
    if owner.kind == "user":
        return "admin" if owner.user_id == user.id else None
    if owner.kind == "team":
        return accounts.find_team_role(db, owner.id, user.id)
    return accounts.find_organization_role(db, owner.organization_id or 0, user.id)
