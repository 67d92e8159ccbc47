"""Serve projects. The wire sometimes calls them models."""

import base64
from typing import Any

from ariadne import MutationType, ObjectType, QueryType

from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, paginate
from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, artifact_collections, projects, registry, removal
from modelgate_server.store.accounts import Entity, User
from modelgate_server.store.filters import Order
from modelgate_server.store.projects import Project

query = QueryType()
mutation = MutationType()
project = ObjectType("Project")
TYPES = (query, mutation, project)


def require_project(call: Call, entity_name: str | None, name: str) -> Project:
    """
    Return the project to read from. Users who may not see it also get NotFound, so that they do not learn that it
    exists.
    """
    project = projects.find_readable(call.db, call.user, entity_name, name)
    if project is None:
        raise NotFound(f'project "{entity_name or ""}/{name}" not found')
    return project


@query.field("project")
@query.field("model")
def resolve_project(_: Any, info: Info, name: str | None = None, entity_name: str | None = None) -> Project | None:
    call = info.context
    return projects.find_readable(call.db, call.user, entity_name, name)


@query.field("models")
def resolve_projects(
    _: Any, info: Info, entity_name: str | None = None, after: str | None = None, first: int | None = None
) -> dict[str, Any]:
    call = info.context
    owner = (
        accounts.find_entity(call.db, entity_name) if entity_name else accounts.get_default_entity(call.db, call.user)
    )
    listed = projects.list_by_entity(call.db, owner.id) if owner else []
    mine = [project for project in listed if projects.find_role(call.db, call.user, project)]
    return paginate(mine, after, first, Order(lambda row: [row.id], backwards=True))


@mutation.field("upsertModel")
def upsert_project(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Create or edit a project, or a registry if the entity belongs to an organization."""
    call = info.context
    entity_name, name = input.get("entity_name"), input.get("name") or ""
    owner = projects.require_writable_entity(call.db, call.user, entity_name, name)
    known = projects.find(call.db, owner.id, name)
    if known is None:
        target = _create(call, owner, name, input)
    else:
        target = projects.require_writer(call.db, call.user, known, f'project "{owner.name}/{name}" not found')
        if target.is_registry:
            projects.require_admin(call.db, call.user, target)
            registry.add_types(call.db, target, _read_types(input))
    allows_all = input.get("allow_all_artifact_types_in_registry")
    changed = projects.edit(
        call.db,
        target,
        description=input.get("description"),
        views=input.get("views"),
        access=input.get("access"),
        allow_all_types=None if allows_all is None else int(allows_all),
    )
    return {"project": changed, "model": changed, "inserted": known is None}


def _create(call: Call, owner: Entity, name: str, input: dict[str, Any]) -> Project:
    if owner.kind != "organization":
        return projects.create(call.db, owner, name, call.user)
    if projects.find_entity_role(call.db, call.user, owner) is None:
        raise NotFound(f'project "{owner.name}/{name}" not found')
    takes_all = input.get("allow_all_artifact_types_in_registry") is not False
    return registry.create(call.db, owner, name, call.user, types=None if takes_all else _read_types(input))


def _read_types(input: dict[str, Any]) -> list[str]:
    return [item["name"] for item in input.get("artifact_types") or []]


@mutation.field("renameProject")
def rename_project(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    project = require_project(call, input["entity_name"], input["old_project_name"])
    renamed = projects.rename(call.db, projects.require_admin(call.db, call.user, project), input["new_project_name"])
    return {"project": renamed, "model": renamed, "inserted": False}


@mutation.field("deleteModel")
def delete_project(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    project = require_administered(call, input["id"])
    # In other collections, `latest` moves to the newest remaining version.
    removal.delete_collections(call.db, call.user, artifact_collections.list_by_project(call.db, project.id))
    projects.delete(call.db, project)
    return {"success": True}


def require_administered(call: Call, text: str) -> Project:
    """Return the project with this id if the user is its admin."""
    project = projects.find_by_id(call.db, decode_id("Project", text))
    if project is None or projects.find_role(call.db, call.user, project) is None:
        raise NotFound(f'project "{text[:80]}" not found')
    return projects.require_admin(call.db, call.user, project)


@project.field("id")
def project_id(project: Project, info: Info) -> str:
    return encode_id("Project", project.id)


@project.field("internalId")
def project_internal_id(project: Project, info: Info) -> str:
    """Return an id that the client decodes: it compares the number inside with its filters."""
    return base64.b64encode(f"ProjectInternalId:{project.id}".encode()).decode()


@project.field("entity")
def project_entity(project: Project, info: Info) -> Entity:
    return accounts.get_entity(info.context.db, project.entity_id)


@project.field("entityName")
def project_entity_name(project: Project, info: Info) -> str:
    return accounts.get_entity(info.context.db, project.entity_id).name


@project.field("isBenchmark")
def project_is_benchmark(project: Project, info: Info) -> bool:
    return False


@project.field("readOnly")
def project_read_only(project: Project, info: Info) -> bool:
    call = info.context
    return projects.find_role(call.db, call.user, project) not in projects.WRITERS


@project.field("user")
def project_user(project: Project, info: Info) -> User | None:
    return accounts.get_user(info.context.db, project.user_id) if project.user_id else None


@project.field("allowAllArtifactTypesInRegistry")
def project_allows_all_types(project: Project, info: Info) -> bool:
    return bool(project.allow_all_types)
