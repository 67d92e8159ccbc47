"""backup: what it copies is clean, also of a busy server, and also if it was killed.

pytest tests/server/test_backup.py
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from modelgate_server.check import check
from tests.server.kept import DELETE, blob, command, data, flip, made, md5
from tests.server.killing import kill_at_blob
from tests.server.wire import Upload, Wire
from tests.serving import KEY, ROOT, Server, serving

__all__ = ["data", "made"]  # fixtures


def test_a_backup_of_a_busy_server_is_clean_and_a_server_starts_on_it(data: Path, tmp_path: Path) -> None:
    stop, written = threading.Event(), threading.Event()
    copies = [tmp_path / f"copy-{number}" for number in range(2)]

    def write_on(server: Server) -> None:
        number = 0
        while not stop.is_set():
            Upload(Wire.connect(server), "p", {f"{number}.txt": str(number).encode() * 500}, name="busy").run()
            written.set()
            number += 1

    with serving(data) as server:
        thread = threading.Thread(target=write_on, args=(server,))
        thread.start()
        try:
            assert written.wait(60), "the writer never had a version"
            for copy in copies:
                done = command("backup", "--data", data, copy)
                assert done.returncode == 0, done.stderr
        finally:
            stop.set()
            thread.join()
    for copy in copies:
        report = check(copy)
        assert report.findings == [] and report.waiting == 0 and report.versions >= 2
    with serving(copies[0]) as server:
        query = (
            'query M($n: String!) { project(name: "p") { artifactCollectionMembership(name: $n) { versionIndex } } }'
        )
        found = Wire.connect(server).data(query, n="data:latest")
        assert found["project"]["artifactCollectionMembership"] == {"versionIndex": 0}
    assert (copies[0] / "secret").read_bytes() == (data / "secret").read_bytes()
    assert oct((copies[0] / "secret").stat().st_mode & 0o777) == "0o600"


def test_a_second_backup_copies_only_what_is_new_and_drops_what_is_gone(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert json.loads(command("backup", "--data", data, copy).stdout)["copied"] == 4
    with serving(data) as server:
        wire = Wire.connect(server)
        new = Upload(wire, "p", {"new.txt": b"new"}, name="new").run()
        assert json.loads(command("backup", "--data", data, copy).stdout)["copied"] == 2  # the file, the manifest
        wire.data(DELETE, id=new)
        assert json.loads(command("backup", "--data", data, copy).stdout)["copied"] == 0
    assert not blob(copy, b"new").exists() and check(copy).findings == []


def test_a_backup_that_is_killed_again_and_again_completes(data: Path, tmp_path: Path) -> None:
    with serving(data) as server:
        contents = {f"{number}.bin": str(number).encode() * 50_000 for number in range(60)}
        Upload(Wire.connect(server), "p", contents, name="large").run()
    copy = tmp_path / "copy"
    for number in (1, 2, 15, 30):
        kill_at_blob(number, "backup", "--data", data, copy)
        assert not (copy / "server.db").exists()
    done = command("backup", "--data", data, copy)
    assert done.returncode == 0, done.stderr
    assert check(copy).findings == [] and check(copy).versions == 2


def test_a_blob_that_a_killed_backup_left_and_a_power_cut_spoilt_is_copied_again(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert command("backup", "--data", data, copy).returncode == 0
    (copy / "server.db").unlink()  # as if it had not come so far
    flip(copy)
    assert command("backup", "--data", data, copy).returncode == 0
    assert check(copy).findings == []


def test_what_sqlite_left_beside_a_killed_backup_is_no_stranger(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("server.db.new", "server.db.new-wal", "server.db.new-shm", "server.db.new-journal", "secret.new"):
        (copy / name).write_bytes(b"half")
    assert command("backup", "--data", data, copy).returncode == 0
    assert {path.name for path in copy.iterdir()} == {"server.db", "secret", "blobs"}
    assert check(copy).findings == []


def test_a_blob_that_is_corrupt_is_not_copied_and_is_named(data: Path, tmp_path: Path) -> None:
    flip(data)
    done = command("backup", "--data", data, tmp_path / "copy")
    assert done.returncode == 1 and json.loads(done.stdout)["broken"] == [md5(b"a")]
    assert [finding.kind for finding in check(tmp_path / "copy").findings] == ["missing"]


@pytest.mark.parametrize("where", ["inside", "strange", "file"])
def test_a_target_that_is_no_backup_is_refused(data: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    target = data / "backup" if where == "inside" else tmp_path / where
    done = command("backup", "--data", data, target)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert (tmp_path / "strange" / "thesis.txt").exists() and not (data / "backup").exists()


def test_the_backup_keeps_the_api_key_of_a_folder_that_made_one(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "modelgate_server", "--data", str(tmp_path / "own"), "--port", "0"]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None and "modelgate server at" in server.stderr.readline()
        server.terminate()
    assert command("backup", "--data", tmp_path / "own", tmp_path / "copy").returncode == 0
    key = (tmp_path / "copy" / "api_key").read_text()
    assert key == (tmp_path / "own" / "api_key").read_text() and KEY not in key
