"""
Manage who may do what in a data folder, whether or not its server runs. Each command may be repeated.

    python -m modelgate_server admin --data DIR add-user ann
    python -m modelgate_server admin --data DIR add-organization acme --admin ann
    python -m modelgate_server admin --data DIR add-member acme bob --role viewer
    python -m modelgate_server admin --data DIR add-team vision --organization acme --admin ann
    python -m modelgate_server admin --data DIR add-team-member vision bob --role viewer
    python -m modelgate_server admin --data DIR add-registry-member acme/wandb-registry-model bob --role member
    python -m modelgate_server admin --data DIR add-project-member vision/mnist-promotions bob --role viewer
    python -m modelgate_server admin --data DIR protect-alias acme/wandb-registry-model production
    python -m modelgate_server admin --data DIR protected-aliases
    python -m modelgate_server admin --data DIR revoke-user ann

Exits 0 done, 2 wrong use. add-user prints the user's API key on standard output, only once: the server stores only a
hash of it. docs/how-to/server.md says what each role may do.
"""

import argparse
import secrets
import sqlite3
import sys
from collections.abc import Callable
from functools import partial

from modelgate_server.errors import Invalid, ServerError, StartError
from modelgate_server.maintenance import add_data
from modelgate_server.store import accounts, projects, protection, registry
from modelgate_server.store.accounts import Entity, Organization, User
from modelgate_server.store.db import Database
from modelgate_server.store.projects import Project

ROLES = ("admin", "member", "viewer")
REGISTRY = "organization and name, such as acme/wandb-registry-model"
Add = Callable[..., argparse.ArgumentParser]  # adds a command and returns its parser


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="modelgate-server admin",
        description="Manage users, organizations, teams, registries and protected aliases. The server may be running.",
        epilog="example: modelgate-server admin --data .modelgate/server add-user ann",
        allow_abbrev=False,
    )
    add_data(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add = partial(commands.add_parser, allow_abbrev=False)
    _add_user_commands(add)
    _add_organization_commands(add)
    _add_team_commands(add)
    _add_registry_commands(add)
    _add_project_commands(add)
    _add_alias_commands(add)
    return parser.parse_args(argv)


def _add_user_commands(add: Add) -> None:
    user = add("add-user", help="create a user, and print the API key")
    user.add_argument("name")
    user.add_argument("--key", help="the user's API key (default: a new one)")
    user.add_argument("--server-admin", action="store_true", help="let the user create other users")
    add("revoke-user", help="revoke a user's API keys").add_argument("name")


def _add_organization_commands(add: Add) -> None:
    organization = add("add-organization", help="create an organization")
    organization.add_argument("name")
    organization.add_argument("--admin", required=True, metavar="USER", help="its admin")
    member = add("add-member", help="add a user to an organization")
    member.add_argument("organization")
    member.add_argument("user")
    member.add_argument("--role", choices=ROLES, default="member")


def _add_team_commands(add: Add) -> None:
    team = add("add-team", help="create a team in an organization")
    team.add_argument("name")
    team.add_argument("--organization", required=True)
    team.add_argument("--admin", required=True, metavar="USER", help="its admin")
    member = add("add-team-member", help="add a user to a team")
    member.add_argument("team")
    member.add_argument("user")
    member.add_argument("--role", choices=ROLES, default="member")


def _add_registry_commands(add: Add) -> None:
    member = add(
        "add-registry-member", help="give a user a role in a registry, instead of their role in its organization"
    )
    member.add_argument("registry", help=REGISTRY)
    member.add_argument("user")
    member.add_argument("--role", choices=ROLES, default="member")
    member = add(
        "remove-registry-member", help="remove a user's role in a registry; the role in its organization counts again"
    )
    member.add_argument("registry", help=REGISTRY)
    member.add_argument("user")


def _add_project_commands(add: Add) -> None:
    member = add(
        "add-project-member", help="give a member of a team a role in a project, instead of their role in the team"
    )
    member.add_argument("project", help="TEAM/PROJECT; created if it is missing")
    member.add_argument("user", help="a member of the team")
    member.add_argument("--role", choices=ROLES, default="member")


def _add_alias_commands(add: Add) -> None:
    for name, does in (
        ("protect-alias", "let only a registry's admins set an alias"),
        ("unprotect-alias", "let every member set an alias again"),
    ):
        alias = add(name, help=does)
        alias.add_argument("registry", help=REGISTRY)
        alias.add_argument("alias")
    add("protected-aliases", help="list the protected aliases of each registry")


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    if not (args.data / "server.db").is_file():
        raise StartError(f'"{args.data}" is not the data folder of a server', "start the server on it once")
    database = Database(args.data / "server.db")
    try:
        with database.write() as db:
            COMMANDS[args.command](db, args)
    except ServerError as error:
        raise StartError(str(error), "see: modelgate-server admin --help") from None
    finally:
        database.close()
    return 0


def add_user(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    key = accounts.check_key(args.key or f"local-{secrets.token_hex(20)}")
    user = accounts.find_user(db, args.name) or accounts.create_user(db, args.name, admin=args.server_admin)
    owner = accounts.find_user_by_key(db, key)
    if owner is not None and owner.id != user.id:
        raise Invalid("this key belongs to another user")
    if owner is None:
        accounts.add_key(db, user.id, key, "created by an administrator")
    if args.key is None:
        sys.stdout.write(key + "\n")


def revoke_user(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    accounts.revoke_keys(db, _require_user(db, args.name).id)


def add_organization(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    organization = accounts.find_organization(db, args.name)
    if organization is None:
        organization = accounts.create_organization(db, args.name, entity_name=f"{args.name}_wandb-org")
    accounts.set_organization_member(db, organization.id, _require_user(db, args.admin).id, "admin")


def add_member(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    organization = _require_organization(db, args.organization)
    accounts.set_organization_member(db, organization.id, _require_user(db, args.user).id, args.role)


def add_team(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    organization, user = _require_organization(db, args.organization), _require_user(db, args.admin)
    team = accounts.find_entity(db, args.name) or accounts.create_team(db, args.name, organization.id)
    if team.kind != "team" or team.organization_id != organization.id:
        raise Invalid(f'the name "{args.name}" is taken')
    accounts.set_team_member(db, team.id, user.id, "admin")


def add_team_member(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    accounts.set_team_member(db, _require_team(db, args.team).id, _require_user(db, args.user).id, args.role)


def add_registry_member(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    registry.set_member(db, _require_registry(db, args.registry), _require_user(db, args.user).id, args.role)


def remove_registry_member(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    registry.remove_member(db, _require_registry(db, args.registry), _require_user(db, args.user).id)


def add_project_member(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    team, _, name = args.project.partition("/")
    owner, user = _require_team(db, team), _require_user(db, args.user)
    project = projects.find(db, owner.id, name) or projects.create(db, owner, name, user)
    if accounts.find_team_role(db, owner.id, user.id) in (None, "admin"):
        raise Invalid(f'user "{user.username}" is not a member of the team "{team}", or is its admin')
    registry.set_member(db, project, user.id, args.role)


def protect_alias(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    protection.protect(db, _require_project(db, args.registry), args.alias)


def unprotect_alias(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    protection.unprotect(db, _require_project(db, args.registry), args.alias)


def print_protected_aliases(db: sqlite3.Connection, args: argparse.Namespace) -> None:
    for home, alias in protection.list_all(db):
        sys.stdout.write(f"{accounts.get_entity(db, home.entity_id).name}/{home.name} {alias}\n")


COMMANDS = {
    "add-user": add_user,
    "revoke-user": revoke_user,
    "add-organization": add_organization,
    "add-member": add_member,
    "add-team": add_team,
    "add-team-member": add_team_member,
    "add-registry-member": add_registry_member,
    "remove-registry-member": remove_registry_member,
    "add-project-member": add_project_member,
    "protect-alias": protect_alias,
    "unprotect-alias": unprotect_alias,
    "protected-aliases": print_protected_aliases,
}


def _require_user(db: sqlite3.Connection, name: str) -> User:
    user = accounts.find_user(db, name)
    if user is None:
        raise Invalid(f'user "{name}" not found')
    return user


def _require_organization(db: sqlite3.Connection, name: str) -> Organization:
    organization = accounts.find_organization(db, name)
    if organization is None:
        raise Invalid(f'organization "{name}" not found')
    return organization


def _require_team(db: sqlite3.Connection, name: str) -> Entity:
    team = accounts.find_entity(db, name)
    if team is None or team.kind != "team":
        raise Invalid(f'team "{name}" not found')
    return team


def _require_project(db: sqlite3.Connection, reference: str) -> Project:
    """Return a registry, or a team's project, such as the older `model-registry`."""
    project = projects.find_by_path(db, reference)
    if project is None:
        raise Invalid(f'registry "{reference}" not found: write it as acme/wandb-registry-model')
    return project


def _require_registry(db: sqlite3.Connection, reference: str) -> Project:
    project = _require_project(db, reference)
    if not project.is_registry:
        raise Invalid(f'"{reference}" is not a registry: set roles in its team instead')
    return project
