"""Serve the current user, the features of this server, and the entities and organizations."""

from typing import Any

from ariadne import ObjectType, QueryType

from modelgate_server.api.shapes import Info, encode_id, make_single_page
from modelgate_server.store import accounts, projects
from modelgate_server.store.accounts import ApiKey, Entity, Organization, User
from modelgate_server.store.projects import Project

query = QueryType()
user = ObjectType("User")
api_key = ObjectType("ApiKey")
entity = ObjectType("Entity")
organization = ObjectType("Organization")
TYPES = (query, user, api_key, entity, organization)

# The features that the SDK asks about and this server supports. Not listed on purpose: ARTIFACT_DIGEST_ALGORITHM (all
# digests are MD5), STRUCTURED_CONSOLE_LOGS (lines stay text).
FEATURES = (
    "ARTIFACT_COLLECTIONS_FILTERING_SORTING",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILES",
    "ARTIFACT_COLLECTION_MEMBERSHIP_FILE_DOWNLOAD_HANDLER",
    "ARTIFACT_MEMBERSHIP_IN_LINK_ARTIFACT_RESPONSE",
    "ARTIFACT_REGISTRY_SEARCH",
    "ARTIFACT_TAGS",
    "ARTIFACT_V2_DOWNLOAD_HANDLER_SUPPORTS_ARTIFACT_ID",
    "CLIENT_IDS",
    "FILESTREAM_GZIP",
    "INCLUDE_ARTIFACT_TYPES_IN_REGISTRY_CREATION",
    "LARGE_FILENAMES",
    "MARK_RUN_FILES_UPLOADED",
    "PROJECT_ARTIFACT_COLLECTION_MEMBERSHIP",
    "SWEEPS_QUERY_FILTERING",
    "TOTAL_COUNT_IN_FILE_CONNECTION",
    "UPDATE_RUN_STATE",
    "USE_ARTIFACT_WITH_ENTITY_AND_PROJECT_INFORMATION",
)
# The SDK compares its own version with these, so that no version is too old or too new.
CLI_VERSIONS = {"max_cli_version": "99.0.0", "min_cli_version": "0.10.0"}


@query.field("viewer")
def resolve_viewer(_: Any, info: Info) -> User:
    call = info.context
    return call.user


@query.field("serverInfo")
def resolve_server_info(_: Any, info: Info) -> dict[str, Any]:
    unknown = {"out_of_date": False, "latest_version_string": "x", "version_on_this_instance_string": "x"}
    return {
        "features": [{"name": name, "is_enabled": True} for name in FEATURES],
        "cli_version_info": CLI_VERSIONS,
        "latest_local_version_info": unknown,
    }


@query.field("entity")
def resolve_entity(_: Any, info: Info, name: str | None = None) -> Entity | dict[str, Any]:
    call = info.context
    if not name:
        return accounts.get_default_entity(call.db, call.user)
    # For an unknown name, return an object that says that the name is available, not null: the SDK reads its fields
    # unchecked.
    return accounts.find_entity(call.db, name) or {"name": name}


@query.field("organization")
def resolve_organization(_: Any, info: Info, name: str) -> Organization | None:
    call = info.context
    organization = accounts.find_organization(call.db, name)
    if organization is None:
        owner = accounts.find_entity(call.db, name)
        if owner is None or owner.kind != "organization" or owner.organization_id is None:
            return None
        organization = accounts.get_organization(call.db, owner.organization_id)
    member = accounts.find_organization_role(call.db, organization.id, call.user.id)
    return organization if member is not None else None


@user.field("id")
def user_id(user: User, info: Info) -> str:
    return encode_id("User", user.id)


@user.field("flags")
def user_flags(user: User, info: Info) -> str:
    return "{}"  # a flag `code_saving_enabled`, true or false, would override the user's own setting


@user.field("deletedAt")
def user_deleted_at(user: User, info: Info) -> None:
    """Return None: users are not deleted, only their keys."""


@user.field("entity")
def user_entity(user: User, info: Info) -> str:
    return accounts.get_default_entity(info.context.db, user).name


@user.field("apiKeys")
def user_api_keys(user: User, info: Info) -> dict[str, Any]:
    call = info.context
    return make_single_page(accounts.list_keys(call.db, user.id) if user.id == call.user.id else [])


@user.field("teams")
def user_teams(user: User, info: Info) -> dict[str, Any]:
    """
    Return the teams that the asking user is also in. The SDK expects a user's own list to contain the personal entity.
    """
    call = info.context
    mine = {team.id for team in accounts.list_teams(call.db, call.user.id)}
    return make_single_page([team for team in accounts.list_teams(call.db, user.id) if team.id in mine])


@user.field("organizations")
def user_organizations(user: User, info: Info) -> list[Organization]:
    call = info.context
    mine = accounts.list_organizations(call.db, call.user.id)
    return [organization for organization in accounts.list_organizations(call.db, user.id) if organization in mine]


@api_key.field("id")
def api_key_id(api_key: ApiKey, info: Info) -> str:
    return encode_id("ApiKey", api_key.id)


@api_key.field("name")
def api_key_name(api_key: ApiKey, info: Info) -> str:
    return api_key.prefix


@entity.field("id")
def entity_id(entity: Entity | dict[str, Any], info: Info) -> str:
    return encode_id("Entity", entity.id) if isinstance(entity, Entity) else ""


@entity.field("available")
def entity_available(entity: Entity | dict[str, Any], info: Info) -> bool:
    return not isinstance(entity, Entity)


@entity.field("entityType")
def entity_type(entity: Entity | dict[str, Any], info: Info) -> str | None:
    return entity.kind if isinstance(entity, Entity) else None


@entity.field("isTeam")
def entity_is_team(entity: Entity | dict[str, Any], info: Info) -> bool:
    return isinstance(entity, Entity) and entity.kind == "team"


@entity.field("organization")
def entity_organization(entity: Entity | dict[str, Any], info: Info) -> Organization | None:
    """Return it only for members of the organization."""
    call = info.context
    if not isinstance(entity, Entity) or entity.organization_id is None:
        return None
    member = accounts.find_organization_role(call.db, entity.organization_id, call.user.id)
    return accounts.get_organization(call.db, entity.organization_id) if member is not None else None


@entity.field("user")
def entity_user(entity: Entity | dict[str, Any], info: Info) -> User | None:
    """Return it only for a personal entity, and only to its owner."""
    call = info.context
    return call.user if isinstance(entity, Entity) and entity.user_id == call.user.id else None


@entity.field("project")
def entity_project(entity: Entity | dict[str, Any], info: Info, name: str | None = None) -> Project | None:
    call = info.context
    return projects.find_readable(call.db, call.user, entity.name, name) if isinstance(entity, Entity) else None


@organization.field("id")
def organization_id(organization: Organization, info: Info) -> str:
    return encode_id("Organization", organization.id)


@organization.field("orgEntity")
def organization_entity(organization: Organization, info: Info) -> Entity:
    return accounts.get_organization_entity(info.context.db, organization.id)


@organization.field("coreWeaveOrganizationId")
def organization_core_weave(organization: Organization, info: Info) -> None:
    return None  # any other answer makes the SDK look for a metadata server on the network


@organization.field("featureFlags")
def organization_flags(organization: Organization, info: Info, ramp_idtype: str) -> list[Any]:
    return []


@organization.field("advancedRegistryFeatures")
def organization_registry_features(organization: Organization, info: Info) -> dict[str, bool]:
    return {"advanced_search": False}
