"""Store users, their keys, and the entities that own projects: a user's own, a team, an organization."""

import hashlib
import re
import sqlite3
from dataclasses import dataclass
from typing import ClassVar

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import names
from modelgate_server.store.db import format_now, get, insert, select_all, select_one

LOCAL_USER = "local"
LOCAL_ORGANIZATION = "local-org"
# The SDK itself refuses a key with fewer characters than this after its first dash (sdk/lib/wbauth/validation.py).
MIN_KEY_CHARS = 40
KEY_PREFIX_CHARS = 10


@dataclass(frozen=True, slots=True)
class User:
    TABLE: ClassVar[str] = "users"
    id: int
    username: str
    name: str
    email: str
    admin: int
    default_entity_id: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    TABLE: ClassVar[str] = "api_keys"
    id: int
    user_id: int
    prefix: str
    description: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Entity:
    TABLE: ClassVar[str] = "entities"
    id: int
    name: str
    kind: str
    user_id: int | None
    organization_id: int | None
    created_at: str


@dataclass(frozen=True, slots=True)
class Organization:
    TABLE: ClassVar[str] = "organizations"
    id: int
    name: str
    created_at: str


# --- keys ---------------------------------------------------------------------------------------------------------


def hash_key(key: str) -> str:
    """Return the hash of a key. Keys are long and random, so a plain hash cannot be reversed by guessing."""
    return hashlib.sha256(key.encode()).hexdigest()


def check_key(key: str) -> str:
    """Return a key that the SDK can send. Raise Invalid, without repeating the key."""
    secret = key.partition("-")[2] or key
    if len(secret) < MIN_KEY_CHARS:
        raise Invalid(
            f"an API key needs at least {MIN_KEY_CHARS} characters after its first dash, this has {len(secret)}"
        )
    if not re.fullmatch(r"[\w-]+", key, re.ASCII):
        raise Invalid("an API key may only have letters, digits, _ and -")
    return key


def add_key(db: sqlite3.Connection, user_id: int, key: str, description: str | None = None) -> int:
    hashed = hash_key(key)
    return insert(
        db,
        "api_keys",
        user_id=user_id,
        hash=hashed,
        prefix=key[:KEY_PREFIX_CHARS],
        description=description,
        created_at=format_now(),
    )


def revoke_keys(db: sqlite3.Connection, user_id: int) -> None:
    db.execute("DELETE FROM api_keys WHERE user_id = ?", (user_id,))


def find_user_by_key(db: sqlite3.Connection, key: str) -> User | None:
    return select_one(db, User, "JOIN api_keys ON api_keys.user_id = users.id WHERE api_keys.hash = ?", hash_key(key))


def list_keys(db: sqlite3.Connection, user_id: int) -> list[ApiKey]:
    return select_all(db, ApiKey, "WHERE user_id = ? ORDER BY id", user_id)


# --- sessions of the pages ----------------------------------------------------------------------------------------


def end_session(db: sqlite3.Connection, hashed: str, until: int, now_s: int) -> None:
    """
    Record a session that ended early, and remove the records of sessions that have expired; times in seconds since
    1970.
    """
    db.execute("DELETE FROM ended_sessions WHERE until < ?", (now_s,))
    db.execute("INSERT OR REPLACE INTO ended_sessions VALUES (?, ?)", (hashed, until))


def is_ended(db: sqlite3.Connection, hashed: str) -> bool:
    return db.execute("SELECT 1 FROM ended_sessions WHERE hash = ?", (hashed,)).fetchone() is not None


# --- users --------------------------------------------------------------------------------------------------------


def create_user(db: sqlite3.Connection, username: str, *, email: str = "", admin: bool = False) -> User:
    """Create a user and the personal entity of the same name, which is the user's default."""
    names.check_plain(username, "username")
    if find_entity(db, username) is not None:
        raise Invalid(f'the name "{username}" is taken')
    created = format_now()
    user_id = insert(
        db,
        "users",
        username=username,
        name=username,
        email=email or f"{username}@localhost",
        admin=int(admin),
        created_at=created,
    )
    entity_id = insert(db, "entities", name=username, kind="user", user_id=user_id, created_at=created)
    db.execute("UPDATE users SET default_entity_id = ? WHERE id = ?", (entity_id, user_id))
    return get(db, User, user_id)


def get_user(db: sqlite3.Connection, user_id: int) -> User:
    return get(db, User, user_id)


def find_user_by_email(db: sqlite3.Connection, email: str) -> User | None:
    return select_one(db, User, "WHERE email = ?", email)


def find_user_by_id(db: sqlite3.Connection, user_id: int) -> User | None:
    return select_one(db, User, "WHERE id = ?", user_id)


def find_user(db: sqlite3.Connection, username: str) -> User | None:
    return select_one(db, User, "WHERE username = ?", username)


def get_default_entity(db: sqlite3.Connection, user: User) -> Entity:
    if user.default_entity_id is None:
        raise LookupError(f"user {user.id} has no default entity")
    return get(db, Entity, user.default_entity_id)


def list_teams(db: sqlite3.Connection, user_id: int) -> list[Entity]:
    """Return the entities that a user may log to, the personal one first."""
    return select_all(
        db,
        Entity,
        "LEFT JOIN team_members AS member ON member.entity_id = entities.id AND member.user_id = ?1"
        " WHERE entities.user_id = ?1 OR member.user_id = ?1 ORDER BY entities.kind = 'team', entities.name",
        user_id,
    )


# --- entities and organisations -----------------------------------------------------------------------------------


def get_entity(db: sqlite3.Connection, entity_id: int) -> Entity:
    return get(db, Entity, entity_id)


def find_entity(db: sqlite3.Connection, name: str) -> Entity | None:
    """Find an entity by its name, or an organization's entity by the organization's name, because people use both."""
    entity = select_one(db, Entity, "WHERE name = ?", name)
    if entity is None:
        organization = find_organization(db, name)
        entity = get_organization_entity(db, organization.id) if organization else None
    return entity


def create_organization(db: sqlite3.Connection, name: str, *, entity_name: str | None = None) -> Organization:
    names.check_plain(name, "organization")
    created = format_now()
    organization_id = insert(db, "organizations", name=name, created_at=created)
    insert(
        db,
        "entities",
        name=entity_name or name,
        kind="organization",
        organization_id=organization_id,
        created_at=created,
    )
    return get(db, Organization, organization_id)


def get_organization(db: sqlite3.Connection, organization_id: int) -> Organization:
    return get(db, Organization, organization_id)


def find_organization(db: sqlite3.Connection, name: str) -> Organization | None:
    return select_one(db, Organization, "WHERE name = ?", name)


def get_organization_entity(db: sqlite3.Connection, organization_id: int) -> Entity:
    entity = select_one(db, Entity, "WHERE organization_id = ? AND kind = 'organization'", organization_id)
    if entity is None:
        raise LookupError(f"organization {organization_id} has no entity")
    return entity


def list_organizations(db: sqlite3.Connection, user_id: int) -> list[Organization]:
    return select_all(
        db,
        Organization,
        "JOIN organization_members ON organization_id = organizations.id WHERE user_id = ? ORDER BY organizations.name",
        user_id,
    )


def find_organization_role(db: sqlite3.Connection, organization_id: int, user_id: int) -> str | None:
    row = db.execute(
        "SELECT role FROM organization_members WHERE organization_id = ? AND user_id = ?", (organization_id, user_id)
    ).fetchone()
    return None if row is None else str(row[0])


def set_organization_member(db: sqlite3.Connection, organization_id: int, user_id: int, role: str) -> None:
    db.execute(
        "INSERT INTO organization_members VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role",
        (organization_id, user_id, role),
    )


def find_team_role(db: sqlite3.Connection, entity_id: int, user_id: int) -> str | None:
    row = db.execute(
        "SELECT role FROM team_members WHERE entity_id = ? AND user_id = ?", (entity_id, user_id)
    ).fetchone()
    return None if row is None else str(row[0])


def find_team_by_id(db: sqlite3.Connection, entity_id: int) -> Entity | None:
    return select_one(db, Entity, "WHERE id = ? AND kind = 'team'", entity_id)


def create_team(db: sqlite3.Connection, name: str, organization_id: int | None) -> Entity:
    if find_entity(db, names.check_plain(name, "team")) is not None:
        raise Invalid(f'the name "{name}" is taken')
    return get(
        db,
        Entity,
        insert(db, "entities", name=name, kind="team", organization_id=organization_id, created_at=format_now()),
    )


def ensure_team(db: sqlite3.Connection, name: str, admin: User) -> None:
    """Create a team in the organization of the first start, with its admin, if the name is not taken."""
    if find_entity(db, name) is None:
        organization = find_organization(db, LOCAL_ORGANIZATION)
        made = create_team(db, name, organization.id if organization else None)
        set_team_member(db, made.id, admin.id, "admin")


def set_team_member(db: sqlite3.Connection, entity_id: int, user_id: int, role: str) -> None:
    """Set a member's role. Members of a team are also members of its organization."""
    db.execute(
        "INSERT INTO team_members VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role",
        (entity_id, user_id, role),
    )
    db.execute(
        "INSERT OR IGNORE INTO organization_members SELECT organization_id, ?, 'member' FROM entities"
        " WHERE id = ? AND organization_id IS NOT NULL",
        (user_id, entity_id),
    )


def remove_team_member(db: sqlite3.Connection, entity_id: int, user_id: int) -> None:
    """Remove a member. If this team was their default entity, their own entity is their default again."""
    db.execute("DELETE FROM team_members WHERE entity_id = ? AND user_id = ?", (entity_id, user_id))
    own = "SELECT id FROM entities WHERE entities.user_id = users.id"
    sql = f"UPDATE users SET default_entity_id = ({own}) WHERE id = ? AND default_entity_id = ?"  # noqa: S608  our own text
    db.execute(sql, (user_id, entity_id))


def list_team_members(db: sqlite3.Connection, entity_id: int) -> list[tuple[User, str]]:
    """Return the members of a team with their roles."""
    rows = db.execute("SELECT user_id, role FROM team_members WHERE entity_id = ? ORDER BY user_id", (entity_id,))
    return [(get_user(db, user_id), role) for user_id, role in rows.fetchall()]


def list_organization_members(db: sqlite3.Connection, organization_id: int) -> list[tuple[User, str]]:
    """Return the members of an organization with their roles."""
    sql = "SELECT user_id, role FROM organization_members WHERE organization_id = ? ORDER BY user_id"
    return [(get_user(db, user_id), role) for user_id, role in db.execute(sql, (organization_id,)).fetchall()]


def set_default_entity(db: sqlite3.Connection, user: User, name: str) -> None:
    """Set the default entity for the user's runs. It must be one that the user may log to."""
    if name not in {mine.name for mine in list_teams(db, user.id)}:
        raise NotFound(f'entity "{name}" is not one of yours')
    owner = select_one(db, Entity, "WHERE name = ?", name)
    db.execute("UPDATE users SET default_entity_id = ? WHERE id = ?", (owner.id if owner else None, user.id))
