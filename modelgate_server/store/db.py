"""
Use SQLite: many readers, one writer, one transaction per mutation.

The rows of a table are frozen dataclasses whose fields are its columns (or some of them). The statements that select,
insert and update them are built here, from names in this package's code, which never come from outside.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from modelgate_server.errors import StartError, Stopping
from modelgate_server.settings import BUSY_S, KEPT_WAL_BYTES

MIGRATIONS = Path(__file__).parent / "migrations"
# However long a writer has waited for other writers of this process, it gives another process this much time to finish.
LAST_TRY_S = 0.1


class Row(Protocol):
    """A dataclass of column names, and the table that they are in."""

    TABLE: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


R = TypeVar("R", bound=Row)
T = TypeVar("T")


class Database:
    """One file. `read()` opens a snapshot on the thread's own connection, `write()` a transaction of the one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._lock = Turns()
        self._closed = False
        self._writer = self._connect()
        migrate(self._writer)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(
            "PRAGMA synchronous = FULL"
        )  # acknowledged data survives a crash of the machine, not only of the process
        db.execute("PRAGMA fullfsync = ON")  # macOS: through the disk's own cache; no effect on other systems
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA journal_size_limit = {KEPT_WAL_BYTES}")
        return db

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        db = self._get_reader()
        with _transact(db, "BEGIN"):
            yield db

    def _get_reader(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = self._connect()
        return db

    def get_connection(self) -> sqlite3.Connection:
        """
        Return the thread's connection for code with its own transactions: each statement sees what is committed by
        then.
        """
        return self._get_reader()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Wait for the other writers of this process, and at most `BUSY_S` seconds for one of another process."""
        began = time.monotonic()
        with self._lock, self._take_turn(time.monotonic() - began) as db:
            yield db

    @contextmanager
    def _take_turn(self, waited_s: float = 0) -> Iterator[sqlite3.Connection]:
        """Open the transaction of the writer that holds the lock."""
        if self._closed:
            raise Stopping("the server is stopping")
        left_s = max(BUSY_S - waited_s, LAST_TRY_S)
        self._writer.execute(f"PRAGMA busy_timeout = {left_s * 1000:.0f}")
        with _transact(self._writer, "BEGIN IMMEDIATE"):
            yield self._writer

    @contextmanager
    def write_then_read(self, work: Callable[[sqlite3.Connection], T]) -> Iterator[tuple[sqlite3.Connection, T]]:
        """
        Run `work` in a transaction. Then, while the next writer has its turn, open the snapshot that directly follows.
        """
        began = time.monotonic()
        with self._lock:
            with self._take_turn(time.monotonic() - began) as db:
                done = work(db)
            reader = self._get_reader()
            reader.execute("BEGIN")
            reader.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()  # the snapshot begins with the first row
        try:
            yield reader, done
        finally:
            reader.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._writer.close()


class Turns:
    """
    A lock that is granted in the order of requests. With Python's own lock, a thread that writes a lot and releases it
    in between gets it back before any other thread wakes up.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()  # now the next one holds the lock
            else:
                self._held = False


@contextmanager
def _transact(db: sqlite3.Connection, begin: str) -> Iterator[None]:
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # This is needed after a failed COMMIT. After a full disk or a failed write, SQLite itself has rolled back.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def migrate(db: sqlite3.Connection) -> None:
    """
    Apply the numbered migrations that this file does not have, in one transaction, so that only one process does it.
    """
    if read_format(db) == len(list_migrations()):
        return
    with _transact(db, "BEGIN IMMEDIATE"):
        for number, script in enumerate(list_migrations()[read_format(db) :], read_format(db) + 1):
            for statement in _split_statements(script.read_text()):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")


def list_migrations() -> list[Path]:
    return sorted(MIGRATIONS.glob("[0-9]*.sql"))


def read_format(db: sqlite3.Connection) -> int:
    """Return how many migrations a file has. Raise StartError if it has more than this server knows."""
    done, known = int(db.execute("PRAGMA user_version").fetchone()[0]), len(list_migrations())
    if done > known:
        raise StartError(
            f"the data folder was written by a newer server (its format is {done}, this one knows {known})",
            "start the newer server, or choose another folder with --data",
        )
    return done


def _split_statements(script: str) -> Iterator[str]:
    """Yield the statements one by one, because `executescript` would commit their transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


@contextmanager
def open_snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a snapshot of a file that a server may be writing, for a command that only reads."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        uri += "&immutable=1"  # because SQLite could not create the files that it needs next to it
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
    try:
        if read_format(db) < len(list_migrations()):
            raise StartError(
                f"{path} was written by an older server (its format is {read_format(db)})",
                "start this server on it once, which updates it",
            )
        with _transact(db, "BEGIN"):
            yield db
    finally:
        db.close()


def format_now(ago_s: float = 0) -> str:
    """Return the current time, or this many seconds ago, in the SDK's format: ISO 8601 in UTC, ending in Z."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@cache
def _select(kind: type[Row]) -> str:
    columns = ", ".join(f"{kind.TABLE}.{field.name}" for field in fields(kind))
    return f"SELECT {columns} FROM {kind.TABLE} "  # noqa: S608  names of our own code


def select_all(db: sqlite3.Connection, kind: type[R], where: str = "", *values: Any) -> list[R]:
    """Return all rows, as `kind`; `where` may also join, order and limit."""
    return [kind(*row) for row in db.execute(_select(kind) + where, values)]


def select_each(db: sqlite3.Connection, kind: type[R], where: str, *values: Any) -> Iterator[R]:
    """Yield the same rows, so that only one is in memory at a time."""
    for row in db.execute(_select(kind) + where, values):
        yield kind(*row)


def select_one(db: sqlite3.Connection, kind: type[R], where: str, *values: Any) -> R | None:
    row = db.execute(_select(kind) + where, values).fetchone()
    return None if row is None else kind(*row)


def get(db: sqlite3.Connection, kind: type[R], row_id: int) -> R:
    """Return a row that must exist: a missing one is a bug."""
    row = select_one(db, kind, "WHERE id = ?", row_id)
    if row is None:
        raise LookupError(f"{kind.TABLE} has no row {row_id}")
    return row


def insert(db: sqlite3.Connection, table: str, **columns: Any) -> int:
    """Add a row; return its id, which no row of the table has had before."""
    names, marks = ", ".join(("id", *columns)), ", ".join("?" * (len(columns) + 1))
    row_id = find_next_id(db, table)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", (row_id, *columns.values()))  # noqa: S608
    return row_id


def find_next_id(db: sqlite3.Connection, table: str) -> int:
    """
    Return an id that no row of the table has had. SQLite itself would reuse the id of the last row if it was deleted.
    """
    ids = f"SELECT max(id) AS id FROM {table} UNION ALL SELECT id FROM last_ids WHERE name = ?"  # noqa: S608
    return int(db.execute(f"SELECT coalesce(max(id), 0) FROM ({ids})", (table,)).fetchone()[0]) + 1  # noqa: S608


def update(db: sqlite3.Connection, table: str, row_id: int, **columns: Any) -> None:
    """Change the given columns of one row."""
    if columns:
        changes = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE {table} SET {changes} WHERE id = ?", (*columns.values(), row_id))  # noqa: S608
