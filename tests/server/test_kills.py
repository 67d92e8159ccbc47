"""kill -9 again and again while the real SDK logs: after each restart `check` is clean, the SDK finishes, nothing is
doubled.

pytest tests/server/test_kills.py                twenty kills
pytest tests/server/test_kills.py -m prove       five hundred
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelgate_server.check import check
from tests.server.kill_client import FILES, STEPS
from tests.serving import DEADLINE_S, KEY, ROOT, free_port, healthy, serving

CLIENT_DEADLINE_S = 240.0


def client_environment(url: str, home: Path) -> dict[str, str]:
    home.mkdir()
    own = {"HOME": str(home), "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}
    folders = {f"WANDB_{kind}": str(home) for kind in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
    # Short waits between the SDK's tries, so that it meets more kills in the same time; and more tries than it would
    # make by itself, because here the server is down for most of the time.
    tries = {
        f"WANDB_X_{part}_RETRY_{name}": value
        for part in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER")
        for name, value in (("WAIT_MIN_SECONDS", "0.1"), ("WAIT_MAX_SECONDS", "1"), ("MAX", "10000"))
    }
    return {"PATH": os.environ["PATH"], **own, **folders, **tries, "WANDB_HTTP_TIMEOUT": "120"}


def start(data: Path, port: int) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ["PATH"], "MODELGATE_SERVER_KEY": KEY}
    command = [sys.executable, "-m", "modelgate_server", "--data", str(data), "--port", str(port)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


def kill_once(dice: random.Random, data: Path, port: int) -> None:
    """Start the server and kill it: one time in five while it starts, else up to a second after it has come to work."""
    with start(data, port) as server:
        try:
            if dice.random() < 0.2:
                time.sleep(dice.uniform(0.0, 0.7))
                return
            deadline = time.monotonic() + DEADLINE_S
            while not healthy(f"http://127.0.0.1:{port}"):
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            assert check(data).findings == []
            time.sleep(dice.uniform(0.0, 1.0))
        finally:
            server.kill()


def kills(tmp_path: Path, seed: int, number: int) -> None:
    dice, data, port, stop = random.Random(seed), tmp_path / "data", free_port(), tmp_path / "stop"
    with serving(data, port=port):  # the first start makes the folder
        pass
    environment = client_environment(f"http://127.0.0.1:{port}", tmp_path / "home")
    command = [sys.executable, "-m", "tests.server.kill_client", "killed", str(stop)]
    log = tmp_path / "client.log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=sink) as client,
    ):
        try:
            for _ in range(number):
                kill_once(dice, data, port)
                assert client.poll() is None, log.read_text()
            stop.touch()
            with serving(data, port=port):
                out, _ = client.communicate(timeout=CLIENT_DEADLINE_S)
                assert client.returncode == 0, log.read_text()
                assert check(data).findings == []
                assert_whole(environment, int(out))
                print(f"{number} kills, {int(out)} runs of the SDK")
        finally:
            client.kill()


def assert_whole(environment: dict[str, str], runs: int) -> None:
    """Through a fresh process of the SDK, as another person would read it."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(runs)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


READ = f"""
import sys, wandb
runs = int(sys.argv[1])
api = wandb.Api()
found = {{run.id: run for run in api.runs("killed")}}
assert set(found) == {{f"run-{{n}}" for n in range(runs)}}, set(found)
for n in range(runs):
    run = found[f"run-{{n}}"]
    assert run.state == "finished" and run.config["number"] == n, (n, run.state)
    rows = [(row["_step"], row["loss"]) for row in run.scan_history()]
    assert rows == [(step, n + step) for step in range({STEPS})], (n, rows)
    assert {{"config.yaml", "wandb-summary.json"}} <= {{file.name for file in run.files()}}
versions = {{int(one.version[1:]): one for one in api.artifacts("model", "killed/data")}}
assert set(versions) == set(range(runs)), set(versions)
for n, one in versions.items():
    assert one.metadata == {{"number": n}} and one.file_count == {FILES}, (n, one.metadata, one.file_count)
    assert f"run-{{n}}" in one.aliases, (n, one.aliases)
    assert one.logged_by().id == f"run-{{n}}"
linked = list(api.artifacts("model", "local-org/wandb-registry-model/Killed"))
assert sorted(one.version for one in linked) == sorted(f"v{{n}}" for n in range(runs))
assert [one.version for one in linked if "candidate" in one.aliases] == [f"v{{runs - 1}}"]
"""


def test_eight_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    kills(tmp_path, seed=20, number=8)


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_five_hundred_kills_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    kills(tmp_path, seed=seed, number=50)
