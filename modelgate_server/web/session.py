"""
Keep sessions: a random token in a cookie that is signed with the server's secret and expires.

The signature covers the user's keys, so that revoking a key ends its sessions. No cookie contains the API key itself. A
logout is kept in the database until the token would have expired.
"""

import hashlib
import hmac
import secrets
import sqlite3
import time
from dataclasses import dataclass

from modelgate_server.store import accounts
from modelgate_server.store.accounts import User

# A working day: a user who forgets to log out is logged out by the next morning.
SESSION_TTL_S = 12 * 3600

# A link is for the person who sees it printed right now.
LINK_TTL_S = 300
# No one needs more; the oldest links are dropped first.
MAX_LINKS = 100


@dataclass(frozen=True)
class Session:
    """`csrf` is what a form of this session must contain; another site can neither read nor guess it."""

    user: User
    csrf: str


class Sessions:
    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"sessions of the pages", "sha256")
        # Cookies are shared between ports: with the same name, two servers on one machine would overwrite each other's
        # cookies.
        self.cookie = f"modelgate_{self._sign('cookie')[:8]}"

    def start(self, db: sqlite3.Connection, user: User) -> str:
        """Return a token for the cookie."""
        facts = f"{user.id}.{int(time.time()) + SESSION_TTL_S}.{secrets.token_urlsafe(16)}"
        return f"{facts}.{self._sign_session(db, user, facts)}"

    def find(self, db: sqlite3.Connection, token: str) -> Session | None:
        """Return the session of a token, None if it is not (or no longer) valid."""
        facts, _, signature = token.rpartition(".")
        number, _, rest = facts.partition(".")
        expires = rest.partition(".")[0]
        if not _is_number(number) or not _is_number(expires) or int(expires) < time.time():
            return None
        user = accounts.find_user_by_id(db, int(number))
        if user is None or not is_same(self._sign_session(db, user, facts), signature):
            return None
        if accounts.is_ended(db, _hash(token)):
            return None
        return Session(user, self._sign(f"form\n{token}"))

    def end(self, db: sqlite3.Connection, token: str) -> None:
        now = int(time.time())
        accounts.end_session(db, _hash(token), now + SESSION_TTL_S, now)

    def _sign_session(self, db: sqlite3.Connection, user: User, facts: str) -> str:
        keys = "\n".join(f"{key.id} {key.prefix} {key.created_at}" for key in accounts.list_keys(db, user.id))
        return self._sign(f"session\n{facts}\n{hashlib.sha256(keys.encode()).hexdigest()}")

    def _sign(self, message: str) -> str:
        return hmac.digest(self._secret, message.encode(), "sha256").hex()


class Links:
    """
    Links that log in once: each has a session that was started when the link was made.

    They are kept in memory, so they end with the server. If a key is revoked, its sessions end, and so do their links.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[str, float]] = {}

    def make(self, session: str) -> str:
        """Return the last part of a link's address, for a session's token."""
        while len(self._sessions) >= MAX_LINKS:
            self._sessions.pop(next(iter(self._sessions)), None)
        made = secrets.token_urlsafe(32)
        self._sessions[made] = (session, time.monotonic() + LINK_TTL_S)
        return made

    def take(self, name: str) -> str | None:
        """Return the session's token, only once and only in time; otherwise None."""
        session, until = self._sessions.pop(name, ("", 0.0))
        return session if time.monotonic() < until else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def is_same(expected: str, given: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
