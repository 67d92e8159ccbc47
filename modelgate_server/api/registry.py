"""Link versions into registries and other portfolios; serve registries, their contents and their members."""

from typing import Any

from ariadne import MutationType, ObjectType

from modelgate_server.api.artifact_collections import (
    collection_order,
    select_collections,
    select_versions,
    value_of_versions,
)
from modelgate_server.api.artifacts import readable, usable, visible
from modelgate_server.api.projects import administered
from modelgate_server.api.shapes import Call, Info, node_id, number_of, page
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import accounts, artifacts, filters, projects, registry
from modelgate_server.store.accounts import Entity
from modelgate_server.store.artifacts import Artifact, Collection, Membership
from modelgate_server.store.documents import json_object
from modelgate_server.store.filters import Order
from modelgate_server.store.projects import Project

mutation = MutationType()
entity = ObjectType("Entity")
project = ObjectType("Project")
TYPES = (mutation, entity, project)

# The default role of a person who is added to a registry.
DEFAULT_ROLE = "member"


# --- linking --------------------------------------------------------------------------------------------------------


@mutation.field("linkArtifact")
def link_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    name = input.get("artifact_portfolio_name")
    if not name or not input.get("project_name"):
        raise Invalid("to link a version, name the project and the portfolio")
    target = projects.ensure(call.db, call.user, input.get("entity_name"), input["project_name"])
    aliases = [one["alias"] for one in input.get("aliases") or []]
    there = registry.link(call.db, call.user, _linked(call, input), target, name, aliases)
    return {"version_index": there.version_index, "artifact_membership": there}


def _linked(call: Call, input: dict[str, Any]) -> Artifact:
    """Return the version that an input names, by its id or by the client's own id."""
    if input.get("artifact_id"):
        return usable(call, input["artifact_id"])
    found = artifacts.of_client(call.db, input.get("client_id") or "")
    if found is None or not visible(call, found):
        raise NotFound("the version to link was not found")
    return usable(call, node_id("Artifact", found.id))


@mutation.field("unlinkArtifact")
def unlink_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    found = readable(call, input["artifact_id"])
    where = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", input["artifact_portfolio_id"]))
    where = projects.writable_thing(call.db, call.user, where, "the portfolio was not found")
    registry.unlink(call.db, call.user, found, where.id)
    return {"success": True, "artifact_id": input["artifact_id"], "client_mutation_id": None}


# --- what is in registries ------------------------------------------------------------------------------------------


@entity.field("projects")
def entity_projects(
    entity: Any,
    info: Info,
    filters: str | None = None,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    newest_first = Order(lambda row: [row.id], backwards=True, by=order, value_of=_value_of_registries)
    return page(_registries(info.context, entity, filters), after, first, newest_first)


@entity.field("artifactCollections")
def entity_collections(
    entity: Any,
    info: Info,
    project_filters: str | None = None,
    filters: str | None = None,
    collection_types: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    wanted = [kind.lower() for kind in collection_types or ["portfolio"]]
    call = info.context
    chosen = [one for one in _collections(call, entity, project_filters, filters) if one.kind in wanted]
    return page(chosen, after, first, collection_order(call, order))


@entity.field("artifactMemberships")
def entity_memberships(
    entity: Any,
    info: Info,
    project_filters: str | None = None,
    collection_filters: str | None = None,
    filters: str | None = None,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    homes = {one.id: one for one in _collections(call, entity, project_filters, collection_filters)}
    versions = [there for home in homes for there in artifacts.versions(call.db, home)]
    in_turn = Order[Membership](
        lambda row: [homes[row.collection_id].project_id, homes[row.collection_id].name, row.version_index],
        by=order,
        value_of=value_of_versions(call),
    )
    return page(select_versions(call, versions, filters), after, first, in_turn)


def _registries(call: Call, owner: Any, condition: str | None) -> list[Project]:
    """Return those of an organization's entity that the user may see."""
    found = registry.visible(call.db, call.user, owner) if isinstance(owner, Entity) else []
    return filters.select(found, json_object(condition, "the filter for registries"), _value_of_registries)


def _value_of_registries(project: Project, name: str) -> Any:
    if name in ("id", "name", "description", "created_at", "updated_at", "entity_id"):
        return getattr(project, name)
    raise Invalid(f'registries cannot be filtered or ordered by "{name}"')


def _collections(call: Call, owner: Any, registry_condition: str | None, condition: str | None) -> list[Collection]:
    homes = _registries(call, owner, registry_condition)
    found = [one for home in homes for one in artifacts.collections(call.db, home.id)]
    return select_collections(call, found, condition)


# --- who is in registries -------------------------------------------------------------------------------------------


@project.field("members")
def project_members(project: Project, info: Info) -> list[dict[str, Any]]:
    return [
        {
            "id": node_id("User", user.id),
            "name": user.name,
            "username": user.username,
            "email": user.email,
            "role": {"name": role},
        }
        for user, role in registry.members(info.context.db, project)
    ]


@project.field("teamMembers")
def project_team_members(project: Project, info: Info) -> list[dict[str, Any]]:
    return [{"team": team, "role": {"name": role}} for team, role in registry.team_members(info.context.db, project)]


@mutation.field("createProjectMembers")
def add_members(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = administered(call, input["project_id"])
    for user_id in _users(call, input.get("user_ids")):
        registry.set_member(call.db, found, user_id, DEFAULT_ROLE)
    for team_id in _teams(call, found, input.get("team_ids")):
        registry.set_team(call.db, found, team_id, DEFAULT_ROLE)
    return {"success": True}


@mutation.field("deleteProjectMembers")
def remove_members(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = administered(call, input["project_id"])
    for user_id in _users(call, input.get("user_ids")):
        registry.remove_member(call.db, found, user_id)
    for team_id in _teams(call, found, input.get("team_ids")):
        registry.remove_team(call.db, found, team_id)
    return {"success": True}


@mutation.field("updateProjectMember")
def set_member_role(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = administered(call, input["project_id"])
    registry.set_member(call.db, found, _users(call, [input["user_id"]])[0], input["user_project_role"])
    return {"success": True}


@mutation.field("updateProjectTeamMember")
def set_team_role(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = administered(call, input["project_id"])
    registry.set_team(call.db, found, _teams(call, found, [input["team_id"]])[0], input["team_project_role"])
    return {"success": True}


def _users(call: Call, ids: list[str] | None) -> list[int]:
    numbers = [number_of("User", text) for text in ids or []]
    if not all(accounts.find_user_by_id(call.db, number) for number in numbers):
        raise NotFound("a user to add or remove was not found")
    return numbers


def _teams(call: Call, home: Project, ids: list[str] | None) -> list[int]:
    """Return the teams of the registry's own organization, and the teams that the user is in."""
    organization = accounts.entity(call.db, home.entity_id).organization_id
    numbers = [number_of("Entity", text) for text in ids or []]
    for number in numbers:
        team = accounts.find_team_by_id(call.db, number)
        ours = team is not None and organization is not None and team.organization_id == organization
        if not ours and accounts.team_role(call.db, number, call.user.id) is None:
            raise NotFound("a team to add or remove was not found")
    return numbers
