"""Run a server as a process until a block ends: its address, its start-up time, its memory."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.project import ROOT
from benchmarks.timing import Failed, build_environment

START_DEADLINE_S = 180.0  # MLflow first creates its database and starts four workers
KEY = "local-" + "0" * 40


@dataclass(frozen=True)
class Server:
    """`started` is the seconds from its process to its first answer."""

    url: str
    pid: int
    started: float

    def read_memory(self) -> dict[str, float]:
        """Return the resident MiB of this process alone, now and at its peak; empty without /proc."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return {}
        kib = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
        return {"now": int(kib["VmRSS"]) / 1024, "peak": int(kib["VmHWM"]) / 1024}


@contextmanager
def serve_ours(folder: Path, module: str = "modelgate_server") -> Iterator[Server]:
    """Run our server, or a `module` that takes its flags, on an empty data folder."""
    port = find_free_port()
    command = [sys.executable, "-m", module, "--data", str(folder / "server"), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    env = build_environment(folder) | {"MODELGATE_SERVER_KEY": KEY}
    with run_server(command, env, url, "/_internal/healthcheck", folder) as server:
        yield server


def build_client_environment(server: Server, folder: Path) -> dict[str, str]:
    """Return the environment of a wandb client of `ours`, whose caches begin empty in `folder`."""
    folder.mkdir(exist_ok=True)
    env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    folders = {f"WANDB_{kind}": str(folder) for kind in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
    return build_environment(folder) | env | folders


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def run_server(
    command: Sequence[str], env: Mapping[str, str], url: str, health: str, folder: Path, cwd: Path = ROOT
) -> Iterator[Server]:
    """Run a server and all that it starts until the block ends; raise Failed if it does not come up."""
    log = folder / "server.log"
    began = time.perf_counter()
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=dict(env), cwd=cwd, stdout=sink, stderr=sink, start_new_session=True)
    try:
        while not _is_answering(url + health):
            if process.poll() is not None or time.perf_counter() - began > START_DEADLINE_S:
                log_lines = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                raise Failed(f"`{' '.join(command)}` did not come up:\n{log_lines}")
            time.sleep(0.02)
        yield Server(url, process.pid, time.perf_counter() - began)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, then SIGKILL, to the whole session: MLflow's workers do not all end with their parent."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _is_answering(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            status: int = answer.status
            return status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
