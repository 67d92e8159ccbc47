"""kill -9 at any moment, then start again: what was acknowledged is there, nothing is there by half.

pytest tests/server/test_crash.py
"""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.server.wire import ARTIFACT, MEMBERSHIP, UPSERT_BUCKET, Upload, Wire
from tests.serving import free_port, serving, until

PROJECT = "crash"


def latest(wire: Wire) -> "dict[str, object] | None":
    found = wire.data(MEMBERSHIP, project=PROJECT, name="data:latest")["project"]
    return found["artifactCollectionMembership"] if found else None


def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "data", port=port) as server:
        wire = Wire.connect(server)
        artifact = Upload(wire, PROJECT, {"a.txt": b"a", "b/c.txt": b"c" * 1000}).run()
        lines = {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"_step": 0, "loss": 1.5}']}}}
        assert wire.file_stream(PROJECT, "run-1", lines).status_code == 200
        server.kill()
    with serving(tmp_path / "data", port=port) as server:
        wire = Wire.connect(server)
        found = wire.data(ARTIFACT, id=artifact)["artifact"]
        assert (found["state"], found["fileCount"], found["size"], found["versionIndex"]) == ("COMMITTED", 2, 1001, 0)
        assert (
            wire.data(UPSERT_BUCKET, project=PROJECT, name="run-1")["upsertBucket"]["bucket"]["historyLineCount"] == 1
        )
        assert Upload(wire, PROJECT, {"a.txt": b"a", "b/c.txt": b"c" * 1000}).create() == artifact


def test_an_upload_that_a_kill_cut_off_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    port, data = free_port(), b"0" * (8 << 20)
    upload_of = {"big.bin": data}
    with serving(tmp_path / "data", port=port) as server:
        upload = Upload(Wire.connect(server), PROJECT, upload_of)
        artifact = upload.create()
        url = upload.upload_urls(artifact)["big.bin"]
        assert url is not None
        incoming, killed = tmp_path / "data" / "blobs" / "incoming", threading.Event()

        def slowly():  # type: ignore[no-untyped-def]
            yield data[: len(data) // 2]
            killed.wait(120)
            yield data[len(data) // 2 :]

        def send() -> None:
            with contextlib.suppress(requests.RequestException):
                requests.put(url, data=slowly(), timeout=120)

        sender = threading.Thread(target=send)
        sender.start()
        until(lambda: list(incoming.iterdir()), "the half that is sent")
        server.kill()
        killed.set()
        sender.join()
        assert list(incoming.iterdir())
    with serving(tmp_path / "data", port=port) as server:
        wire = Wire.connect(server)
        assert not list(incoming.iterdir())
        assert latest(wire) is None
        assert requests.put(url, data=data, timeout=60).status_code == 200  # the address outlives the restart
        again = Upload(wire, PROJECT, upload_of)
        again.put_manifest(artifact)
        assert again.commit(artifact).status_code == 200
        assert wire.data(ARTIFACT, id=artifact)["artifact"]["digest"] == again.digest()


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.06])
def test_a_commit_that_a_kill_cut_off_is_whole_or_absent_and_can_be_repeated(tmp_path: Path, delay_s: float) -> None:
    port = free_port()
    contents = {f"file-{i:03}.bin": f"{i}".encode() * 50 for i in range(300)}
    with serving(tmp_path / "data", port=port) as server:
        upload = Upload(Wire.connect(server), PROJECT, contents)
        artifact = upload.create()
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        acknowledged = threading.Event()

        def commit() -> None:
            with contextlib.suppress(requests.RequestException):
                if upload.commit(artifact).status_code == 200:
                    acknowledged.set()

        sender = threading.Thread(target=commit)
        sender.start()
        time.sleep(delay_s)
        server.kill()
        sender.join()
    with serving(tmp_path / "data", port=port) as server:
        wire = Wire.connect(server)
        found = latest(wire)
        assert found is not None or not acknowledged.is_set()
        if found is not None:
            assert wire.data(ARTIFACT, id=artifact)["artifact"]["fileCount"] == len(contents)
        again = Upload(wire, PROJECT, contents)
        assert again.commit(artifact).status_code == 200
        assert again.commit(artifact).status_code == 200
        found = latest(wire)
        assert found is not None and found["versionIndex"] == 0
        for path in contents:
            md5 = hashlib.md5(contents[path]).hexdigest()  # noqa: S324
            assert (tmp_path / "data" / "blobs" / md5[:2] / md5).read_bytes() == contents[path]


def test_a_run_whose_process_was_killed_is_called_crashed(tmp_path: Path) -> None:
    """Its heartbeat is set back in the file, in place of waiting for two minutes."""
    with serving(tmp_path / "data") as server:
        Wire.connect(server).data(UPSERT_BUCKET, project=PROJECT, name="run-1")
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "server.db")) as db, db:
        db.execute("UPDATE runs SET heartbeat_at = '2020-01-01T00:00:00.000000Z'")
    query = "query S($project: String!, $name: String!) { project(name: $project) { run(name: $name) { state } } }"
    with serving(tmp_path / "data") as server:
        wire = Wire.connect(server)

        def state() -> str:
            return str(wire.data(query, project=PROJECT, name="run-1")["project"]["run"]["state"])

        until(lambda: state() != "running", "the end of its silence")
        assert state() == "crashed"


LOGGED_THROUGH_A_PAUSE = """
import sys, time, wandb
with wandb.init(project="paused", id="paused") as run:
    artifact = wandb.Artifact("made", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write("made while the server was paused")
    print("going", flush=True)
    for step in range(int(sys.argv[1])):
        run.log({"x": step})
        time.sleep(0.1)
    run.log_artifact(artifact).wait()
"""


def pause(tmp_path: Path, seconds: float) -> None:
    """A suspended machine, a debugger, a stop-the-world of the disk: the server stops and continues."""
    with serving(tmp_path / "server") as server:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "WANDB_BASE_URL": server.url,
            "WANDB_API_KEY": server.key,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": str(tmp_path),
        }
        rows = int(seconds * 10 + 20)
        client = subprocess.Popen(
            [sys.executable, "-c", LOGGED_THROUGH_A_PAUSE, str(rows)], env=env, cwd=tmp_path, stdout=subprocess.PIPE
        )
        assert client.stdout is not None and client.stdout.readline() == b"going\n"
        server.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        server.send_signal(signal.SIGCONT)
        assert client.wait(300) == 0
        query = '{ project(name: "paused") { run(name: "paused") { state history outputArtifacts { totalCount } } } }'
        found = Wire.connect(server).data(query)["project"]["run"]
        assert found["state"] == "finished" and found["outputArtifacts"]["totalCount"] == 1
        assert [json.loads(line)["x"] for line in found["history"]] == list(range(rows))


def test_a_pause_of_the_server_makes_no_run_a_crashed_one(tmp_path: Path) -> None:
    """A machine that was suspended has heard no one; each run gets its time again to say that it is there."""
    (tmp_path / "sitecustomize.py").write_text(
        "from modelgate_server import settings\nsettings.RUN_SILENCE_S, settings.WATCH_S = 2, 0.5\n"
    )
    query = '{ project(name: "crash") { run(name: "run-1") { state } } }'
    with serving(tmp_path / "data", python_path=tmp_path) as server:
        wire = Wire.connect(server)
        wire.start_run(PROJECT)
        server.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        server.send_signal(signal.SIGCONT)
        awake = time.monotonic()
        while time.monotonic() < awake + 1:
            assert wire.data(query)["project"]["run"]["state"] == "running"
        until(lambda: wire.data(query)["project"]["run"]["state"] == "crashed", "the end of its silence")


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_pause_of_half_a_minute_ends_no_run(tmp_path: Path) -> None:
    pause(tmp_path, 30)
