"""Serve teams and their members. No e-mail is sent: someone who is invited is in the team at once."""

from typing import Any

from ariadne import MutationType, ObjectType, QueryType

from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, make_single_page
from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.store import accounts, projects
from modelgate_server.store.accounts import Entity, User
from modelgate_server.store.db import format_now

query = QueryType()
mutation = MutationType()
entity = ObjectType("Entity")
TYPES = (query, mutation, entity)


@query.field("users")
def find_users(_: Any, info: Info, query: str | None = None) -> dict[str, Any]:
    """Find users only by their whole username or e-mail address, so that no one can list users by guessing."""
    call = info.context
    user = accounts.find_user(call.db, query or "") or accounts.find_user_by_email(call.db, query or "")
    return make_single_page([user] if user else [])


@mutation.field("updateUser")
def update_user(_: Any, info: Info, input: dict[str, Any]) -> dict[str, User]:
    call = info.context
    if input.get("default_entity"):
        accounts.set_default_entity(call.db, call.user, input["default_entity"])
    return {"user": accounts.get_user(call.db, call.user.id)}


@mutation.field("createTeam")
def create_team(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Entity]:
    """Create a team, in the organization of the user who asks if there is exactly one."""
    call = info.context
    name = input.get("team_admin_user_name")
    admin = accounts.find_user(call.db, name) if name else call.user
    if admin is None:
        raise NotFound(f'user "{name}" not found')
    if admin.id != call.user.id and not call.user.admin:
        raise Forbidden("only an administrator of the server may create a team for someone else")
    mine = accounts.list_organizations(call.db, call.user.id)
    home = mine[0].id if len(mine) == 1 else None
    if home is not None and accounts.find_organization_role(call.db, home, call.user.id) not in projects.WRITERS:
        raise Forbidden(f'you have only read access to organization "{mine[0].name}"')
    team = accounts.create_team(call.db, input["team_name"], home)
    accounts.set_team_member(call.db, team.id, admin.id, "admin")
    return {"entity": team}


@mutation.field("createInvite")
def invite(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    team = _require_administered(call, input["entity_name"])
    name = input.get("username") or input.get("email") or ""
    user = accounts.find_user(call.db, name) or accounts.find_user_by_email(call.db, name)
    if user is None:
        raise NotFound(f'user "{name}" not found')
    if accounts.find_team_role(call.db, team.id, user.id) is not None:
        raise Invalid(f'user "{name}" is already in team "{team.name}"')
    accounts.set_team_member(
        call.db, team.id, user.id, "admin" if input.get("admin") else _choose_role(call, team, user)
    )
    invited = {"id": encode_id("Member", user.id), "name": user.username, "email": user.email, "to_user": user}
    return {"invite": invited | {"created_at": format_now()}}


def _choose_role(call: Call, team: Entity, user: User) -> str:
    """
    Return the role in the team: a user with only read access to the organization has only read access to its teams.
    """
    role = accounts.find_organization_role(call.db, team.organization_id or 0, user.id)
    return "viewer" if role == "viewer" else "member"


@mutation.field("deleteInvite")
def remove_member(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    team = _require_administered(call, input.get("entity_name") or "")
    accounts.remove_team_member(call.db, team.id, decode_id("Member", input.get("id") or ""))
    return {"success": True}


def _require_administered(call: Call, name: str) -> Entity:
    """Return the team if the user is its admin."""
    team = accounts.find_entity(call.db, name)
    role = accounts.find_team_role(call.db, team.id, call.user.id) if team is not None and team.kind == "team" else None
    if team is None or role is None:
        raise NotFound(f'team "{name}" not found')
    if role != "admin":
        raise Forbidden(f'only an admin of team "{name}" may do this')
    return team


@entity.field("members")
def entity_members(entity: Any, info: Info) -> list[dict[str, Any]]:
    """
    Return the members: of a team, to its members and to those of its organization; of your own entity, yourself; of a
    name that is not taken, no one.
    """
    return [
        {
            "id": encode_id("Member", user.id),
            "role": role,
            "admin": role == "admin",
            "pending": False,
            "email": user.email,
            "username": user.username,
            "name": user.name,
            "photo_url": None,
            "account_type": "USER",
            "api_key": None,  # only hashes are stored
        }
        for user, role in (_list_members(info.context, entity) if isinstance(entity, Entity) else [])
    ]


def _list_members(call: Call, entity: Entity) -> list[tuple[User, str]]:
    if entity.user_id == call.user.id:
        return [(call.user, "admin")]
    mine = (
        accounts.find_team_role(call.db, entity.id, call.user.id),
        accounts.find_organization_role(call.db, entity.organization_id or 0, call.user.id),
    )
    return accounts.list_team_members(call.db, entity.id) if any(mine) else []


@entity.field("readOnlyAdmin")
@entity.field("privateOnly")
@entity.field("codeSavingEnabled")
@entity.field("isPaid")
def entity_has_not(entity: Any, info: Info) -> bool:
    """Return False for settings of W&B's teams that this server does not have."""
    return False


@entity.field("photoUrl")
@entity.field("readOnly")
@entity.field("limits")
def entity_says_nothing(entity: Any, info: Info) -> None:
    """Return None for what W&B's pages show and no client uses for a decision."""


@entity.field("storageBytes")
def entity_storage(entity: Any, info: Info) -> int:
    return 0


@entity.field("defaultAccess")
def entity_default_access(entity: Any, info: Info) -> str:
    return "PRIVATE"
