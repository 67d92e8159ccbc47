"""A database and a blob folder, without any server."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgate_server.store import accounts, projects, registry
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database
from modelgate_server.store.projects import Project


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "server.db")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


@pytest.fixture
def db(database: Database) -> Iterator[sqlite3.Connection]:
    """The writer, with what a first start makes."""
    with database.write() as db:
        registry.create_local(db, "local-" + "0" * 40)
        yield db


@pytest.fixture
def user(db: sqlite3.Connection) -> User:
    found = accounts.find_user(db, "local")
    assert found is not None
    return found


@pytest.fixture
def project(db: sqlite3.Connection, user: User) -> Project:
    return projects.ensure(db, user, None, "p")
