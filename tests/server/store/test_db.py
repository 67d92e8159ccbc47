"""Transactions and migrations.

pytest tests/server/store/test_db.py
"""

import sqlite3
from pathlib import Path

import pytest

from server.errors import StartError
from server.store.db import MIGRATIONS, Database, insert


def add_user(db: sqlite3.Connection, name: str) -> None:
    insert(db, "users", username=name, name=name, email="", created_at="")


def names(db: sqlite3.Connection) -> list[str]:
    return [row[0] for row in db.execute("SELECT username FROM users")]


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ValueError, match="stop"), database.write() as db:
        add_user(db, "ann")
        raise ValueError("stop")
    with database.read() as db:
        assert names(db) == []


def test_a_reader_sees_one_moment_while_the_writer_goes_on(database: Database) -> None:
    with database.read() as reader:
        assert names(reader) == []
        with database.write() as writer:
            add_user(writer, "ann")
        assert names(reader) == []
    with database.read() as reader:
        assert names(reader) == ["ann"]


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.write() as db:
        insert(db, "runs", project_id=99, name="r", display_name="r", state="running", created_at="", heartbeat_at="")


def test_opening_twice_migrates_once(tmp_path: Path) -> None:
    for _ in range(2):
        database = Database(tmp_path / "twice.db")
        with database.read() as db:
            assert db.execute("PRAGMA user_version").fetchone()[0] == len(list(MIGRATIONS.glob("*.sql")))
        database.close()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "new.db") as db:
        db.execute("PRAGMA user_version = 9999")
    with pytest.raises(StartError, match="newer server"):
        Database(tmp_path / "new.db")
