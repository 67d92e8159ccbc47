"""Transactions and migrations.

pytest tests/server/store/test_db.py
"""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from modelgate_server.errors import StartError, Stopping
from modelgate_server.settings import KEPT_WAL_BYTES
from modelgate_server.store.db import MIGRATIONS, Database, insert
from modelgate_server.store.faults import translate_error
from tests.serving import ROOT


def connect(folder: Path) -> sqlite3.Connection:
    """As another process would."""
    return sqlite3.connect(folder / "server.db", isolation_level=None, check_same_thread=False)


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


def test_a_commit_that_fails_leaves_the_writer_usable(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError), database.write() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")  # so that it is the COMMIT that fails
        insert(db, "runs", project_id=99, name="r", display_name="r", state="running", created_at="", heartbeat_at="")
    with database.write() as db:
        add_user(db, "ann")
    with database.read() as db:
        assert names(db) == ["ann"]


def test_a_transaction_of_another_process_is_waited_for(database: Database, tmp_path: Path) -> None:
    def release() -> None:
        time.sleep(1)
        other.execute("COMMIT")

    with closing(connect(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=release)
        thread.start()
        with database.write() as db:
            add_user(db, "ann")
        thread.join()
    with database.read() as db:
        assert names(db) == ["ann"]


def test_a_database_that_another_process_keeps_is_waited_for_five_seconds_in_all(
    database: Database, tmp_path: Path
) -> None:
    took_s, refused = [], []

    def write() -> None:
        began = time.monotonic()
        try:
            with database.write() as db:
                add_user(db, "ann")
        except sqlite3.OperationalError as error:
            refused.append(str(translate_error(error)))
        took_s.append(time.monotonic() - began)

    with closing(connect(tmp_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert min(took_s) > 4.5 and max(took_s) < 30
    assert len(refused) == 4
    assert "another process has held" in refused[0] and "`wandb sync" in refused[0]
    with database.write() as db:
        add_user(db, "ann")


def test_who_comes_after_the_end_is_told_to_come_again(tmp_path: Path) -> None:
    database = Database(tmp_path / "closed.db")
    database.close()
    with pytest.raises(Stopping), database.write():
        pass
    assert Stopping.status == 503


def test_what_was_committed_is_synced_and_the_log_is_kept_short(database: Database) -> None:
    with database.write() as db:
        assert db.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert db.execute("PRAGMA journal_size_limit").fetchone()[0] == KEPT_WAL_BYTES


def test_two_processes_that_open_an_old_folder_migrate_it_once(tmp_path: Path) -> None:
    imports = "import sys; from pathlib import Path; from modelgate_server.store.db import Database"
    code = f"{imports}; Database(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "new.db")]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]
    assert [process.wait(240) for process in processes] == [0, 0, 0, 0]


def test_a_migration_that_fails_leaves_the_format_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Database(tmp_path / "server.db").close()
    scripts = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, scripts)
    (scripts / "9999_bad.sql").write_text("CREATE TABLE half (id INTEGER);\nCREATE TABLE users (id INTEGER);\n")
    monkeypatch.setattr("modelgate_server.store.db.MIGRATIONS", scripts)
    with pytest.raises(sqlite3.OperationalError, match="users already exists"):
        Database(tmp_path / "server.db")
    with closing(connect(tmp_path)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(list(MIGRATIONS.glob("*.sql")))
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchone() is None


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
