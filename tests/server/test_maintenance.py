"""check and gc: each defect is planted, and found by name; what is needed stays. For backup: test_backup.py.

pytest tests/server/test_maintenance.py
"""

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from modelgate_server.check import check
from modelgate_server.maintenance import Progress
from modelgate_server.settings import GIB, MIB
from modelgate_server.store import accounts
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database
from tests.server.kept import CONTENTS, DELETE, age, age_all, blob, command, data, flip, made, md5
from tests.server.wire import ARTIFACT, Upload, Wire
from tests.serving import ROOT, serving

__all__ = ["data", "made"]  # fixtures


# --- what a disk has damaged ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["data", "another"])
@pytest.mark.parametrize("damage", ["all", "lost"])
def test_logging_the_right_file_again_heals_it(data: Path, name: str, damage: str) -> None:
    """Also under the same name, where the client would be told that the version is there already."""
    if damage == "lost":
        blob(data, b"a").unlink()
    else:
        flip(data)
        cut(data)
    with serving(data) as server:
        Upload(Wire.connect(server), "p", CONTENTS, name).run()
    assert check(data).findings == []
    assert blob(data, b"a").read_bytes() == b"a"


def test_a_file_that_was_removed_while_the_server_runs_is_healed_too(data: Path) -> None:
    """A file too large to be read in passing is repaired like this: `check` finds it, and someone removes it."""
    with serving(data) as server:
        upload = Upload(Wire.connect(server), "p", CONTENTS)
        upload.create()  # now the server has read the files of the version, and believes in them
        blob(data, b"a").unlink()
        upload.run()
        assert check(data).findings == []


def test_a_damaged_manifest_is_healed_too(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / "server.db")) as db:
        (manifest,) = db.execute("SELECT manifest_md5 FROM artifacts").fetchone()
    path = data / "blobs" / manifest[:2] / manifest
    path.write_bytes(path.read_bytes().replace(b"}", b"]"))
    with serving(data) as server:
        Upload(Wire.connect(server), "p", CONTENTS).run()
    assert check(data).findings == []


FIRST = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a0851"
    "25e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f3342"
    "0f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
SECOND = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab50712467eab4004583eb8fb7f8955ad340609f4b30283e4888325f1415a0851"
    "25e8f7cdc99fd91dbd7280373c5bd8823e3156348f5bae6dacd436c919c6dd53e23487da03fd02396306d248cda0e99f3342"
    "0f577ee8ce54b67080280d1ec69821bcb6a8839396f965ab6ff72a70"
)


def test_a_blob_is_never_replaced_by_other_bytes_with_its_md5(data: Path) -> None:
    """Two files with one MD5 are made in seconds: https://www.mscs.dal.ca/~selinger/md5collision/"""
    assert md5(FIRST) == md5(SECOND) and FIRST != SECOND
    with serving(data) as server:
        wire = Wire.connect(server)
        Upload(wire, "p", {"f.bin": FIRST}, "first").run()
        with Database(data / "server.db").write() as db:
            accounts.add_key(db, accounts.create_user(db, "eve").id, eves := f"local-{'e' * 40}")
        eve = Wire(server.url, eves)
        eve.start_run("q")
        upload = Upload(eve, "q", {"f.bin": SECOND}, "second")
        (url,) = upload.upload_urls(upload.create(entityName="eve")).values()
        assert url
        answer = requests.put(url, data=SECOND, timeout=60)
        assert answer.status_code == 400 and "other bytes with the MD5" in answer.text
    assert blob(data, FIRST).read_bytes() == FIRST


# --- check ---------------------------------------------------------------------------------------------------------
def cut(data: Path) -> None:
    os.truncate(blob(data, b"c" * 1000), 10)


def write(data: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(data / "server.db")) as db, db:
        db.execute(sql)


def leave_extra(data: Path) -> None:
    age(Blobs(data / "blobs").locate(Blobs(data / "blobs").write(b"extra")))


def leave_half(data: Path) -> None:
    (data / "blobs" / "incoming" / "half").write_bytes(b"ha")
    age(data / "blobs" / "incoming" / "half")


DEFECTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a lost file of a version": (lambda data: blob(data, b"a").unlink(), "missing", 'file "a.txt" of version local/p/'),
    "a lost file of a run": (lambda data: blob(data, b"notes").unlink(), "missing", '"notes.txt" of run local/p/run-1'),
    "a flipped bit": (flip, "corrupt", 'file "a.txt" of version local/p/data:v0'),
    "a file cut short": (cut, "corrupt", 'file "b/c.txt" of version local/p/data:v0'),
    "an extra blob": (leave_extra, "extra", md5(b"extra")),
    "half an upload": (leave_half, "half-written", "half"),
    "a stranger": (lambda data: (data / "blobs" / "00" / "x").write_text(""), "unknown", "is not a file of the server"),
    "a row without its blob": (
        lambda data: write(data, f"INSERT INTO blobs (md5, durable) VALUES ('{'0' * 32}', 1)"),  # noqa: S608
        "row",
        "recorded but missing",
    ),
    "a version with an entry too few": (
        lambda data: write(data, "DELETE FROM entries WHERE path = 'a.txt'"),
        "row",
        "version local/p/data:v0 does not match its digest",
    ),
    "a config that is no JSON any more": (
        lambda data: write(data, "UPDATE runs SET config = replace(config, '{', 'z')"),
        "row",
        "the text config of row 1 of runs is damaged",
    ),
    "a name whose bytes are no text": (
        lambda data: write(data, "UPDATE collections SET name = CAST(x'64ff7461' AS TEXT)"),
        "row",
        "the text name of row 1 of collections is damaged",
    ),
    "a line of history with a flipped bit": (
        lambda data: write(data, "INSERT INTO history VALUES (1, 0, 0, '{\"a\"; 1}')"),
        "row",
        "the text data of row 1/0 of history is damaged",
    ),
    "an invalid time": (
        lambda data: write(data, "UPDATE artifacts SET created_at = replace(created_at, '-', '=')"),
        "row",
        "the text created_at of row 1 of artifacts is damaged",
    ),
    "a version of no collection": (lambda data: write(data, "DELETE FROM memberships"), "row", "own collection"),
    "a row that refers to none": (
        lambda data: write(data, "INSERT INTO history VALUES (99, 0, 0, '{}')"),
        "database",
        "refers to a missing row of runs",
    ),
}


def test_a_folder_is_clean_and_the_command_says_so(data: Path) -> None:
    done = command("check", "--data", data)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["clean"] and (found["versions"], found["blobs"]) == (1, 4)
    assert done.stderr.endswith(": clean\n")


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_found_by_name_with_what_to_do(data: Path, name: str) -> None:
    plant, kind, words = DEFECTS[name]
    plant(data)
    findings = [finding for finding in check(data).findings if finding.kind == kind]
    assert len(findings) == 1 and words in findings[0].what and findings[0].todo


def test_a_finding_is_exit_code_1_and_its_remedy_works(data: Path, made: Path) -> None:
    flip(data)
    done = command("check", "--data", data)
    assert done.returncode == 1 and not json.loads(done.stdout)["clean"]
    assert "corrupt: blob" in done.stderr and "to do: copy" in done.stderr and "Traceback" not in done.stderr
    shutil.copy(blob(made, b"a"), blob(data, b"a"))
    assert command("check", "--data", data).returncode == 0


def test_a_page_of_the_database_that_was_overwritten_is_found(data: Path) -> None:
    with (data / "server.db").open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096)
    done = command("check", "--data", data)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert "database:" in done.stderr or "malformed" in done.stderr


def test_a_blob_that_cannot_be_read_is_a_finding_and_not_the_end(data: Path) -> None:
    blob(data, b"a").unlink()
    blob(data, b"a").symlink_to(blob(data, b"a"))  # reading it fails, as a bad sector does
    assert [finding.kind for finding in check(data).findings] == ["corrupt"]


def test_a_lost_folder_of_blobs_is_every_one_of_them_missing(data: Path) -> None:
    shutil.rmtree(data / "blobs")
    assert [finding.kind for finding in check(data).findings] == ["missing"] * 4


def test_a_young_blob_that_nothing_refers_to_waits_for_its_version(data: Path) -> None:
    Blobs(data / "blobs").write(b"young")
    report = check(data)
    assert report.findings == [] and report.waiting == 1


@pytest.mark.parametrize("name", ["check", "gc", "backup", "export", "import"])
def test_every_command_has_help_and_refuses_a_folder_without_a_server(tmp_path: Path, name: str) -> None:
    shown = command(name, "--help")
    assert shown.returncode == 0 and f"example: modelgate-server {name} --data" in shown.stdout
    rest = {"backup": ["x"], "export": ["local/p", "x"], "import": ["x"]}.get(name, [])
    done = command(name, "--data", tmp_path, *rest)
    assert done.returncode == 2 and "is not the data folder of a server" in done.stderr
    assert "hint: " in done.stderr and "Traceback" not in done.stderr


def test_long_work_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("modelgate_server.maintenance.PROGRESS_S", 0)
    progress = Progress("checked", "blobs", 3)
    for size in (512, 2 * MIB, 4 * GIB):
        progress.add(size)
    assert capsys.readouterr().err.splitlines() == [
        "checked 1 of 3 blobs | 512 bytes | 0 s",
        "checked 2 of 3 blobs | 2.0 MiB | 0 s",
        "checked 3 of 3 blobs | 4.0 GiB | 0 s",
    ]


# --- gc ------------------------------------------------------------------------------------------------------------
def test_gc_frees_what_a_deleted_version_left_and_nothing_else(data: Path) -> None:
    with serving(data) as server:
        wire = Wire.connect(server)
        other = Upload(wire, "p", {"a.txt": b"a", "d.txt": b"d" * 5000}, name="other").run()
        wire.data(DELETE, id=other)
        assert json.loads(command("gc", "--data", data).stdout)["files"] == 0  # all of it is too young
        age_all(data)
        said = command("gc", "--data", data, "--dry-run")
        assert said.returncode == 0 and "would free" in said.stderr
        done = json.loads(command("gc", "--data", data).stdout)
        assert {**json.loads(said.stdout), "dry_run": False} == done
        assert done["files"] == 2 and done["bytes"] > 5000  # d.txt, and the manifest
        assert blob(data, b"a").exists() and not blob(data, b"d" * 5000).exists()
        assert check(data).findings == []
        assert Upload(wire, "p", {"d.txt": b"d" * 5000}, name="again").run()  # it is sent again, and kept
    assert check(data).findings == []


def test_gc_leaves_what_a_client_was_just_told_is_here(data: Path) -> None:
    """A blob that was offered to an upload stays for it, also when the version that had it is deleted meanwhile."""
    with serving(data) as server:
        wire = Wire.connect(server)
        gone = Upload(wire, "p", {"d.txt": b"d" * 5000}, name="gone").run()
        age_all(data)
        upload = Upload(wire, "p", {"d.txt": b"d" * 5000}, name="new")
        artifact = upload.create()
        assert upload.upload_urls(artifact) == {"d.txt": None}
        wire.data(DELETE, id=gone)
        command("gc", "--data", data)
        upload.put_manifest(artifact)
        assert upload.commit(artifact).status_code == 200
    assert check(data).findings == []


@pytest.mark.prove
def test_gc_under_load_takes_nothing_from_any_upload(data: Path) -> None:
    """Every blob of a finished version is old all the time: the server's uploads and gc meet at each of them."""
    stop, failed = threading.Event(), []
    finished: list[bytes] = []
    freed: list[int] = []

    def collect() -> None:
        while not stop.is_set():
            for contents in list(finished):
                with contextlib.suppress(FileNotFoundError):
                    age(blob(data, contents))
            done = command("gc", "--data", data)
            if done.returncode:
                failed.append(done.stderr)
            else:
                freed.append(json.loads(done.stdout)["files"])

    with serving(data) as server:
        thread = threading.Thread(target=collect)
        thread.start()
        try:
            wire = Wire.connect(server)
            for number in itertools.count():
                contents = {"same.txt": b"same", f"{number}.txt": str(number).encode()}
                upload = Upload(wire, "p", contents, name=f"v{number}")
                made = upload.run()
                assert wire.data(ARTIFACT, id=made)["artifact"]["state"] == "COMMITTED"
                if number % 2:
                    wire.data(DELETE, id=made)
                finished += [*contents.values(), json.dumps(upload.manifest()).encode()]
                if number >= 20 and (sum(freed) > 20 or failed or not thread.is_alive()):
                    break
        finally:
            stop.set()
            thread.join()
        assert failed == [] and sum(freed) > 20
    assert [finding for finding in check(data).findings if finding.kind != "extra"] == []


def test_a_row_that_a_killed_gc_left_makes_nobody_believe_what_comes_in_the_place_of_its_blob(data: Path) -> None:
    contents = {"a.txt": b"a", "d.txt": b"d" * 5000}
    with serving(data) as server:
        wire = Wire.connect(server)
        wire.data(DELETE, id=Upload(wire, "p", contents, name="gone").run())
        blob(data, b"d" * 5000).unlink()
        upload = Upload(wire, "p", contents, name="new")
        artifact = upload.create()
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        server.kill()
    blob(data, b"d" * 5000).write_bytes(b"x" * 5000)  # and a power cut has spoilt it
    with serving(data) as server:
        again = Upload(Wire.connect(server), "p", contents, name="new")
        refused = again.commit(artifact)
        assert refused.status_code == 400 and "has not arrived" in refused.text
        again.put_files(artifact)
        assert again.commit(artifact).status_code == 200
    assert check(data).findings == [] and blob(data, b"d" * 5000).read_bytes() == b"d" * 5000


def test_gc_waits_for_no_backup_but_says_that_one_is_at_work(data: Path) -> None:
    code = "import sys, time; from pathlib import Path; from modelgate_server.maintenance import hold_folder\n"
    code += "with hold_folder(Path(sys.argv[1]), alone=False): print('held', flush=True); time.sleep(600)"
    line = [sys.executable, "-c", code, str(data)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == "held\n"
            done = command("gc", "--data", data)
            assert done.returncode == 2 and "is using" in done.stderr
            assert command("check", "--data", data).returncode == 0  # readers do not keep each other out
        finally:
            holder.kill()
