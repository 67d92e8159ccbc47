"""
Protect aliases such as `production`, which only an admin of the registry may set, move or remove, in any way. An alias
is protected in all collections of its registry: https://docs.wandb.ai/models/registry/aliases

People read "Production" or "pr0duction" as `production`, so an alias that looks like a protected one needs the same
permission.
"""

import sqlite3
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from modelgate_server.errors import Forbidden, Invalid
from modelgate_server.store import names, projects
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import Project


def protect(db: sqlite3.Connection, home: Project, alias: str) -> None:
    """Protect an alias. Repeating it changes nothing. The version that has the alias keeps it."""
    if names.check_alias(alias) == names.LATEST or names.parse_version(alias) is not None:
        raise Invalid(f'"{alias}" is given by the server itself and cannot be protected')
    db.execute("INSERT OR IGNORE INTO protected_aliases VALUES (?, ?)", (home.id, alias))


def unprotect(db: sqlite3.Connection, home: Project, alias: str) -> None:
    db.execute("DELETE FROM protected_aliases WHERE project_id = ? AND name = ?", (home.id, alias))


def list_protected(db: sqlite3.Connection, project_id: int) -> list[str]:
    sql = "SELECT name FROM protected_aliases WHERE project_id = ? ORDER BY name"
    return [name for (name,) in db.execute(sql, (project_id,))]


def list_all(db: sqlite3.Connection) -> list[tuple[Project, str]]:
    rows = db.execute("SELECT project_id, name FROM protected_aliases ORDER BY project_id, name").fetchall()
    return [(projects.get_project(db, project_id), name) for project_id, name in rows]


def match_protected(db: sqlite3.Connection, project_id: int, aliases: Iterable[str]) -> dict[str, str]:
    """Return those of some aliases that are protected, or look like a protected one, each with the protected one."""
    guarded = {normalize(name): name for name in list_protected(db, project_id)}
    return {alias: guarded[normalize(alias)] for alias in aliases if normalize(alias) in guarded} if guarded else {}


def require(db: sqlite3.Connection, user: User, project_id: int, aliases: Iterable[str], action: str) -> None:
    """Raise Forbidden if the change affects a protected alias and the user is not an admin of its registry."""
    touched = sorted(match_protected(db, project_id, aliases).values())
    if not touched:
        return
    home = projects.get_project(db, project_id)
    role = projects.find_role(db, user, home)
    if role != "admin":
        # The message of W&B's server is not published: the first half is what the SDK puts before it
        # (sdk/artifacts/artifact.py, _add_aliases). Users without access to the registry do not learn its name.
        where = f'"{home.name}"' if role else "a registry"
        raise Forbidden(
            f'you do not have permission to {action}: the alias "{touched[0]}" is protected in {where}, and only an'
            " admin there may set, move or remove it"
        )


def require_collection(db: sqlite3.Connection, user: User, project_id: int, collection_id: int, action: str) -> None:
    """Raise Forbidden, as `require` does, if the change affects every alias of a collection."""
    held = db.execute("SELECT name FROM aliases WHERE collection_id = ?", (collection_id,)).fetchall()
    require(db, user, project_id, [name for (name,) in held], action)


def normalize(alias: str) -> str:
    """
    Return what an alias looks like: without case, accents, spaces, punctuation and invisible characters, and with
    similar letters replaced by ASCII letters. https://www.unicode.org/reports/tr39/#Confusable_Detection
    """
    seen = (char for char in unicodedata.normalize("NFKD", alias) if unicodedata.category(char)[0] in "LNS")
    folded = unicodedata.normalize("NFKD", "".join(seen).casefold())
    ascii_only = "".join(_load_look_alikes().get(char, char) for char in folded)
    return ascii_only.translate(_SAME_IN_ASCII).replace("rn", "m").replace("vv", "w")


# One character represents each group of characters that look the same to a quick reader.
_SAME_IN_ASCII = str.maketrans({"0": "o", "1": "l", "i": "l", "|": "l"})


@cache
def _load_look_alikes() -> dict[str, str]:
    lines = (Path(__file__).parent / "lookalikes.txt").read_text(encoding="utf-8").splitlines()
    groups = (line.split(" ", 1) for line in lines if not line.startswith("#"))
    return {char: letters for letters, others in groups for char in others}
