"""What the machine can do to a server: a clear error at once, nothing lost that was acknowledged, no SDK that hangs.

pytest tests/server/test_faults.py
"""

import hashlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from modelgate_server.check import check
from modelgate_server.store.blobs import Blobs
from tests.server.wire import MEMBERSHIP, Upload, Wire
from tests.serving import DEADLINE_S, KEY, ROOT, Server, free_port, healthy, serving, until

# A third of what the SDK takes for one call that is answered as it should not be (20 tries).
AT_ONCE_S = 200
MIB = 1 << 20


def history_lines(first: int, number: int) -> dict[str, Any]:
    content = [f'{{"_step": {step}}}' for step in range(first, first + number)]
    return {"files": {"wandb-history.jsonl": {"offset": first, "content": content}}}


def line_count(wire: Wire) -> int:
    query = 'query Q { project(name: "p") { run(name: "run-1") { historyLineCount } } }'
    return int(wire.data(query)["project"]["run"]["historyLineCount"])


# --- no room -------------------------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A small file system of its own."""
    folder.mkdir(exist_ok=True)
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    chosen = ",".join([f"uid={os.geteuid()}", *options])
    done = subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        reason = f"no file system can be mounted here: {done.stderr.decode().strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield
    finally:
        subprocess.run([*as_root, "umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=8m"):
        yield tmp_path / "disk"


@pytest.fixture
def server(small_disk: Path) -> Iterator[Server]:
    with serving(small_disk / "data") as running:
        yield running


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        size = MIB
        while size:
            try:
                os.write(file.fileno(), b"0" * size)
            except OSError:
                size //= 2
    assert shutil.disk_usage(disk).free == 0
    return ballast


def test_on_a_full_disk_the_sdk_ends_at_once_and_wandb_sync_sends_the_run_again(
    server: Server, wandb_env: dict[str, str], small_disk: Path
) -> None:
    import wandb

    with wandb.init(project="p", id="before") as run:
        run.log({"loss": 1})
        run.log_artifact(artifact_of(100_000), aliases=["kept"]).wait()
    began = time.monotonic()
    run = wandb.init(project="p", id="during")
    folder = Path(run.dir).parent
    ballast = fill(small_disk)
    for step in range(10):
        run.log({"loss": step})
    with pytest.raises(ValueError, match="the server's disk is full"):
        run.log_artifact(artifact_of(200_000)).wait()
    run.finish()
    with pytest.raises(wandb.errors.CommError, match="`wandb sync --include-online` sends the run"):
        wandb.init(project="p", id="refused")
    assert time.monotonic() - began < AT_ONCE_S

    api = wandb.Api()
    assert api.run("p/before").state == "finished" and api.artifact("p/data:kept").size == 100_000
    assert check(server.data).findings == []
    ballast.unlink()
    sync = [str(Path(sys.executable).with_name("wandb")), "sync", "--include-online", str(folder)]
    done = subprocess.run(sync, env=wandb_env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    sent = wandb.Api().run("p/during")
    assert [row["loss"] for row in sent.scan_history()] == list(range(10)) and sent.state == "finished"
    # The SDK keeps a run's lines for that, and not its artifacts: of those the script has seen the error.
    assert list(sent.logged_artifacts()) == []
    with wandb.init(project="p", id="again") as run:
        assert run.log_artifact(artifact_of(200_000)).wait().version == "v1"
    assert check(server.data).findings == []


def artifact_of(size: int) -> Any:
    import wandb

    made = wandb.Artifact("data", type="dataset")
    with made.new_file("random.bin", mode="wb") as file:
        file.write(os.urandom(size))
    return made


def test_gc_makes_room_on_a_full_disk(server: Server, small_disk: Path) -> None:
    wire = Wire.connect(server)
    delete = (
        "mutation D($id: ID!) { deleteArtifact(input: {artifactID: $id, deleteAliases: true}) { artifact { id } } }"
    )
    wire.data(delete, id=Upload(wire, "p", {"a.bin": b"a" * MIB}).run())
    for path in (server.data / "blobs").rglob("*"):
        os.utime(path, (0, 0))
    fill(small_disk)
    assert wire.file_stream("p", "run-1", history_lines(0, 100)).status_code == 400
    done = subprocess.run(
        [sys.executable, "-m", "modelgate_server", "gc", "--data", str(server.data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "freed 1.0 MiB" in done.stderr, done.stderr
    assert wire.file_stream("p", "run-1", history_lines(0, 100)).status_code == 200


def test_a_backup_onto_a_full_disk_is_a_clear_error_and_completes_when_there_is_room(
    server: Server, tmp_path: Path
) -> None:
    Upload(Wire.connect(server), "p", {"a.bin": os.urandom(2 * MIB)}).run()
    line = [
        sys.executable,
        "-m",
        "modelgate_server",
        "backup",
        "--data",
        str(server.data),
        str(tmp_path / "target" / "copy"),
    ]
    with mounted(tmp_path / "target", "size=2m"):
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*as_root, "mount", "-o", "remount,size=8m", str(tmp_path / "target")], check=True)
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert check(tmp_path / "target" / "copy").findings == []


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit the files of another process")
def test_a_write_that_fails_in_the_middle_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    """Without a file system of its own: no file of the server may grow beyond 64 KiB for a while."""
    with serving(tmp_path / "data") as server:
        wire = Wire.connect(server)
        Upload(wire, "p", {"a.txt": b"a"}).run()
        assert wire.file_stream("p", "run-1", history_lines(0, 10)).status_code == 200
        before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
        large = Upload(wire, "p", {"large.bin": b"0" * MIB})
        for refused in (
            wire.file_stream("p", "run-1", history_lines(10, 10)),
            wire.graphql("mutation { createArtifactManifest(input: {}) { artifactManifest { id } } }"),
            wire.file_stream("p", "run-1", history_lines(20, 10)),
        ):
            assert refused.status_code == 400, refused.text
        assert "the server's disk" in wire.file_stream("p", "run-1", history_lines(10, 10)).text
        assert line_count(wire) == 10  # reading continues
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
        assert wire.file_stream("p", "run-1", history_lines(10, 10)).status_code == 200
        artifact = large.create()
        url = large.upload_urls(artifact)["large.bin"]
        assert url is not None
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (64 << 10, resource.RLIM_INFINITY))
        answer = requests.put(url, data=b"0" * MIB, timeout=60)
        assert answer.status_code == 400 and "the server's disk is full" in answer.text
        assert list((server.data / "blobs" / "incoming").iterdir()) == []
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
        large.put_files(artifact)
        large.put_manifest(artifact)
        assert large.commit(artifact).status_code == 200 and line_count(wire) == 20
    assert check(tmp_path / "data").findings == []


# --- a folder that cannot be written ----------------------------------------------------------------------------------


def test_a_server_does_not_start_on_a_read_only_folder_but_it_can_be_checked_and_exported(tmp_path: Path) -> None:
    with serving(tmp_path / "made") as server:
        Upload(Wire.connect(server), "p", {"a.txt": b"a"}).run()
    command = [sys.executable, "-m", "modelgate_server"]
    copied = [*command, "backup", "--data", str(tmp_path / "made"), str(tmp_path / "copy")]
    subprocess.run(copied, cwd=ROOT, check=True, capture_output=True)
    with mounted(tmp_path / "disk"):
        shutil.copytree(tmp_path / "copy", tmp_path / "disk" / "data")
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        subprocess.run([*as_root, "mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        data = str(tmp_path / "disk" / "data")
        refused = subprocess.run([*command, "--data", data], cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert refused.returncode == 2 and "is not writable (Read-only file system)" in refused.stderr
        assert subprocess.run([*command, "check", "--data", data], cwd=ROOT, capture_output=True).returncode == 0
        export = [*command, "export", "--data", data, "local/p", str(tmp_path / "out")]
        assert subprocess.run(export, cwd=ROOT, capture_output=True).returncode == 0
        collect = subprocess.run([*command, "gc", "--data", data], cwd=ROOT, capture_output=True, text=True)
        assert collect.returncode == 2 and "Traceback" not in collect.stderr and "error: " in collect.stderr


def test_a_folder_that_becomes_read_only_or_goes_is_named_and_works_again_when_it_is_mended(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        upload = Upload(Wire.connect(server), "p", {"a.bin": b"a" * MIB})
        artifact = upload.create()
        url = upload.upload_urls(artifact)["a.bin"]
        assert url is not None
        incoming = server.data / "blobs" / "incoming"
        incoming.rename(server.data / "blobs" / "away")
        answer = requests.put(url, data=b"a" * MIB, timeout=60)
        assert answer.status_code == 400 and "of the server's data is missing" in answer.text
        with mounted(incoming, "ro"):
            answer = requests.put(url, data=b"a" * MIB, timeout=60)
        assert answer.status_code == 400 and "the server's data folder cannot be written" in answer.text
        incoming.rmdir()
        (server.data / "blobs" / "away").rename(incoming)
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        assert upload.commit(artifact).status_code == 200


# --- others at the database -------------------------------------------------------------------------------------------


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Another process has the database."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN IMMEDIATE')"
    code += "; print('held', flush=True); sys.stdin.read()"
    line = [sys.executable, "-c", code, str(data / "server.db")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate("")


def test_a_database_that_is_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        wire = Wire.connect(server)
        wire.start_run("p")
        answers: list[int] = []
        with held(server.data):
            thread = threading.Thread(
                target=lambda: answers.append(wire.file_stream("p", "run-1", history_lines(0, 10)).status_code)
            )
            thread.start()
            time.sleep(1)  # of the five seconds for which it waits
            assert answers == []
        thread.join()
        assert answers == [200] and line_count(wire) == 10


def test_a_database_that_stays_held_is_an_error_after_five_seconds_while_reading_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        wire = Wire.connect(server)
        wire.start_run("p")
        answers: list[tuple[float, requests.Response]] = []

        def send() -> None:
            began = time.monotonic()
            answer = wire.file_stream("p", "run-1", history_lines(0, 10))
            answers.append((time.monotonic() - began, answer))

        with held(server.data):
            threads = [threading.Thread(target=send) for _ in range(5)]
            for thread in threads:
                thread.start()
            assert line_count(wire) == 0 and healthy(server.url)
            for thread in threads:
                thread.join()
        for took_s, answer in answers:
            assert 4.5 < took_s < 30 and answer.status_code == 400
            assert "another process has held the server's database" in answer.text and "wandb sync" in answer.text
        assert wire.file_stream("p", "run-1", history_lines(0, 10)).status_code == 200


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_server_that_is_stopped_refuses_nothing_for_good(tmp_path: Path) -> None:
    """Every answer until the end is 200, or one on which the SDK tries again; and every 200 was kept."""
    port, data = free_port(), tmp_path / "data"
    statuses: set[int] = set()
    acknowledged = [0] * 8
    with serving(data, port=port) as server:
        wire = Wire.connect(server)
        for number in range(8):
            wire.start_run("p", f"run-{number}")
        stop = threading.Event()

        def write_on(number: int) -> None:
            while not stop.is_set():
                try:
                    answer = wire.file_stream("p", f"run-{number}", history_lines(acknowledged[number], 5))
                except requests.RequestException:
                    return
                statuses.add(answer.status_code)
                acknowledged[number] += 5 * (answer.status_code == 200)

        threads = [threading.Thread(target=write_on, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: all(acknowledged), "an answer to each of them")
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        stop.set()
        for thread in threads:
            thread.join()
    assert 200 in statuses and statuses <= {200, 500, 503}
    with closing(sqlite3.connect(data / "server.db")) as db:
        for number in range(8):
            sql = "SELECT count(*) FROM history JOIN runs ON runs.id = run_id WHERE name = ?"
            assert db.execute(sql, (f"run-{number}",)).fetchone()[0] >= acknowledged[number] > 0


# --- the clock --------------------------------------------------------------------------------------------------------

SHIFTED = """
import datetime, sys, time
import modelgate_server.store.db as db
real, shift = time.time, float(sys.argv.pop(1))
time.time = lambda: real() + shift
class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=shift)
db.datetime = Shifted
from modelgate_server.__main__ import main
sys.exit(main())
"""


@contextmanager
def changed_server(code: str, argument: Any, data: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A server in whose process `code` has changed something before it starts."""
    line = [sys.executable, "-c", code, str(argument), "--data", str(data), "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "MODELGATE_SERVER_KEY": KEY}
    with subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not healthy(f"http://127.0.0.1:{port}"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()


def test_a_clock_that_went_back_a_week_loses_nothing_and_orders_nothing_anew(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with serving(data, port=port) as server:
        wire = Wire.connect(server)
        Upload(wire, "p", {"a.txt": b"1"}).run()
        wire.file_stream("p", "run-1", history_lines(0, 10))
        waiting = Upload(wire, "p", {"late.txt": b"late"}, name="late")
        artifact = waiting.create()
        url = waiting.upload_urls(artifact)["late.txt"]
    with changed_server(SHIFTED, -7 * 24 * 3600, data, port):
        assert url is not None and requests.put(url, data=b"late", timeout=60).status_code == 200
        waiting.put_manifest(artifact)
        assert waiting.commit(artifact).status_code == 200
        second = Upload(wire, "p", {"a.txt": b"2"}).run()
        found = wire.data(MEMBERSHIP, project="p", name="data:latest")["project"]["artifactCollectionMembership"]
        assert found["versionIndex"] == 1 and found["artifact"]["id"] == second
        assert wire.file_stream("p", "run-1", history_lines(10, 10)).status_code == 200
        assert line_count(wire) == 20
    with closing(sqlite3.connect(data / "server.db")) as db:  # the clock really was another one
        first, last = db.execute("SELECT min(created_at), max(created_at) FROM artifacts").fetchone()
        assert first < last and first[:10] != last[:10]
    assert check(data).findings == []


# --- a power cut ------------------------------------------------------------------------------------------------------

NOTING = """
import sys
import modelgate_server.store.blobs as blobs
fsync, synced = blobs.fsync, open(sys.argv.pop(1), "a")
def noting(path):
    fsync(path)
    print(path, file=synced, flush=True)
blobs.fsync = noting
from modelgate_server.__main__ import main
sys.exit(main())
"""


def test_a_manifest_that_was_acknowledged_outlives_a_power_cut(tmp_path: Path) -> None:
    """The server notes what it has synced; of the blobs that it has not, the power cut leaves the names."""
    data, port, synced = tmp_path / "data", free_port(), tmp_path / "synced"
    upload = Upload(Wire(f"http://127.0.0.1:{port}", KEY), "p", {"a.txt": b"a"})
    with changed_server(NOTING, synced, data, port) as process:
        artifact = upload.create()
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        process.kill()
    kept = synced.read_text().splitlines()
    lost = [path for path in (data / "blobs").glob("[0-9a-f][0-9a-f]/*") if str(path) not in kept]
    for path in lost:
        os.truncate(path, 0)
    assert lost == [Blobs(data / "blobs").locate(hashlib.md5(b"a").hexdigest())]  # noqa: S324
    assert check(data).findings == []
    with serving(data, port=port):
        upload.put_files(artifact)
        assert upload.commit(artifact).status_code == 200
    assert check(data).findings == []
