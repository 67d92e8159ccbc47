"""Link versions into registries and other portfolios; serve registries, their contents and their members."""

from typing import Any

from ariadne import MutationType, ObjectType

from modelgate_server.api.artifact_collections import order_collections, select_collections
from modelgate_server.api.artifacts import is_visible, require_readable, require_usable
from modelgate_server.api.memberships import make_version_reader, select_versions
from modelgate_server.api.projects import require_administered
from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, paginate
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import accounts, artifact_collections, artifacts, filters, memberships, projects, registry
from modelgate_server.store.accounts import Entity
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.documents import parse_object
from modelgate_server.store.filters import Order
from modelgate_server.store.memberships import Membership
from modelgate_server.store.projects import Project

mutation = MutationType()
entity = ObjectType("Entity")
project = ObjectType("Project")
TYPES = (mutation, entity, project)

# The default role of someone who is added to a registry.
DEFAULT_ROLE = "member"


# --- linking --------------------------------------------------------------------------------------------------------


@mutation.field("linkArtifact")
def link_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    name = input.get("artifact_portfolio_name")
    if not name or not input.get("project_name"):
        raise Invalid("to link a version, name the project and the portfolio")
    target = projects.ensure(call.db, call.user, input.get("entity_name"), input["project_name"])
    aliases = [item["alias"] for item in input.get("aliases") or []]
    membership = registry.link(call.db, call.user, _find_version_to_link(call, input), target, name, aliases)
    return {"version_index": membership.version_index, "artifact_membership": membership}


def _find_version_to_link(call: Call, input: dict[str, Any]) -> Artifact:
    """Return the version that an input names, by its id or by the client's own id."""
    if input.get("artifact_id"):
        return require_usable(call, input["artifact_id"])
    artifact = artifacts.find_by_client_id(call.db, input.get("client_id") or "")
    if artifact is None or not is_visible(call, artifact):
        raise NotFound("the version to link was not found")
    return require_usable(call, encode_id("Artifact", artifact.id))


@mutation.field("unlinkArtifact")
def unlink_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    artifact = require_readable(call, input["artifact_id"])
    where = artifact_collections.find_by_id(call.db, decode_id("ArtifactCollection", input["artifact_portfolio_id"]))
    where = projects.require_writable_item(call.db, call.user, where, "the portfolio was not found")
    registry.unlink(call.db, call.user, artifact, where.id)
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
    newest_first = Order(lambda row: [row.id], backwards=True, by=order, value_of=_read_registry_field)
    return paginate(_list_registries(info.context, entity, filters), after, first, newest_first)


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
    chosen = [
        collection
        for collection in _list_collections(call, entity, project_filters, filters)
        if collection.kind in wanted
    ]
    return paginate(chosen, after, first, order_collections(call, order))


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
    homes = {
        collection.id: collection for collection in _list_collections(call, entity, project_filters, collection_filters)
    }
    versions = [membership for home in homes for membership in memberships.list_by_collection(call.db, home)]
    in_turn = Order[Membership](
        lambda row: [homes[row.collection_id].project_id, homes[row.collection_id].name, row.version_index],
        by=order,
        value_of=make_version_reader(call),
    )
    return paginate(select_versions(call, versions, filters), after, first, in_turn)


def _list_registries(call: Call, owner: Any, condition: str | None) -> list[Project]:
    """Return the registries of an organization's entity that the user may see."""
    registries = registry.list_visible(call.db, call.user, owner) if isinstance(owner, Entity) else []
    return filters.select(registries, parse_object(condition, "the filter for registries"), _read_registry_field)


def _read_registry_field(project: Project, name: str) -> Any:
    if name in ("id", "name", "description", "created_at", "updated_at", "entity_id"):
        return getattr(project, name)
    raise Invalid(f'registries cannot be filtered or ordered by "{name}"')


def _list_collections(
    call: Call, owner: Any, registry_condition: str | None, condition: str | None
) -> list[Collection]:
    homes = _list_registries(call, owner, registry_condition)
    collections = [
        collection for home in homes for collection in artifact_collections.list_by_project(call.db, home.id)
    ]
    return select_collections(call, collections, condition)


# --- who is in registries -------------------------------------------------------------------------------------------


@project.field("members")
def project_members(project: Project, info: Info) -> list[dict[str, Any]]:
    return [
        {
            "id": encode_id("User", user.id),
            "name": user.name,
            "username": user.username,
            "email": user.email,
            "role": {"name": role},
        }
        for user, role in registry.list_members(info.context.db, project)
    ]


@project.field("teamMembers")
def project_team_members(project: Project, info: Info) -> list[dict[str, Any]]:
    return [
        {"team": team, "role": {"name": role}} for team, role in registry.list_team_members(info.context.db, project)
    ]


@mutation.field("createProjectMembers")
def add_members(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    project = require_administered(call, input["project_id"])
    for user_id in _require_users(call, input.get("user_ids")):
        registry.set_member(call.db, project, user_id, DEFAULT_ROLE)
    for team_id in _require_teams(call, project, input.get("team_ids")):
        registry.set_team(call.db, project, team_id, DEFAULT_ROLE)
    return {"success": True}


@mutation.field("deleteProjectMembers")
def remove_members(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    project = require_administered(call, input["project_id"])
    for user_id in _require_users(call, input.get("user_ids")):
        registry.remove_member(call.db, project, user_id)
    for team_id in _require_teams(call, project, input.get("team_ids")):
        registry.remove_team(call.db, project, team_id)
    return {"success": True}


@mutation.field("updateProjectMember")
def set_member_role(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    project = require_administered(call, input["project_id"])
    registry.set_member(call.db, project, _require_users(call, [input["user_id"]])[0], input["user_project_role"])
    return {"success": True}


@mutation.field("updateProjectTeamMember")
def set_team_role(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    project = require_administered(call, input["project_id"])
    registry.set_team(
        call.db, project, _require_teams(call, project, [input["team_id"]])[0], input["team_project_role"]
    )
    return {"success": True}


def _require_users(call: Call, ids: list[str] | None) -> list[int]:
    numbers = [decode_id("User", text) for text in ids or []]
    if not all(accounts.find_user_by_id(call.db, number) for number in numbers):
        raise NotFound("a user to add or remove was not found")
    return numbers


def _require_teams(call: Call, home: Project, ids: list[str] | None) -> list[int]:
    """Return the ids of teams that are in the registry's organization, or that the user is in."""
    organization = accounts.get_entity(call.db, home.entity_id).organization_id
    numbers = [decode_id("Entity", text) for text in ids or []]
    for number in numbers:
        team = accounts.find_team_by_id(call.db, number)
        ours = team is not None and organization is not None and team.organization_id == organization
        if not ours and accounts.find_team_role(call.db, number, call.user.id) is None:
            raise NotFound("a team to add or remove was not found")
    return numbers
