"""Start the embedded server as a real process, as a person would, and wait until it answers."""

import itertools
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests import served

ROOT = Path(__file__).parents[1]
KEY = "local-" + "0123456789abcdef" * 2 + "01234567"
# Nothing takes a tenth of it, except on a cold disk or a busy machine.
DEADLINE_S = 120.0
# Lower than the ports that the system chooses, higher than those that a browser refuses; each worker has its own.
PORTS = range(11_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8, 32_000, 8)
_next_port = itertools.count(random.randrange(len(PORTS)))
# Most servers are forks of an interpreter that has imported everything, because a new one takes 0.5 s of CPU for that.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([served.__name__])


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, its API key, its data folder and its process."""

    url: str
    key: str
    data: Path
    process: "subprocess.Popen[bytes] | ForkServerProcess"
    log: Path

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def runs(self) -> bool:
        return (self.process.poll() if isinstance(self.process, subprocess.Popen) else self.process.exitcode) is None

    def send_signal(self, number: signal.Signals) -> None:
        if self.runs:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """Return how it ended, as subprocess does; raise subprocess.TimeoutExpired."""
        if isinstance(self.process, subprocess.Popen):
            return self.process.wait(seconds)
        self.process.join(seconds)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("modelgate_server", seconds)
        return self.process.exitcode

    def kill(self) -> None:
        """`kill -9`, as a crash or the out-of-memory killer would."""
        self.send_signal(signal.SIGKILL)
        self.wait(60)


def free_port() -> int:
    """
    Return a port on which no one listens. It stays free until its server starts: no other worker tries it, the system
    gives it to no client and no other program, and this function does not return it again.
    """
    while True:
        port = PORTS[next(_next_port) % len(PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def a_port_of_its_own() -> str:
    """
    Let a runner first try another port than the default 8765: a change for `runner_with`.

    Tests that run at once would all try the default, and some would find it in use between the check and the start.
    """
    return f"from runner import embedded; embedded.FIRST_PORT = {free_port()}\n"


def runner_with(changes: str, python: str = sys.executable) -> list[str]:
    """Return the command line of the current folder's runner, after these statements; its arguments may follow."""
    return [python, "-c", f"{changes}\nimport runpy; runpy.run_module('runner', run_name='__main__', alter_sys=True)"]


def until(condition: Callable[[], Any], description: str, deadline_s: float = DEADLINE_S) -> Any:
    """Poll `condition` and return its first true value; fail the test after the deadline."""
    deadline = time.monotonic() + deadline_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {description}"
        time.sleep(0.02)
    return answer


def listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            return True
    except OSError:
        return False


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_internal/healthcheck", timeout=20) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def serving(
    data: Path, *flags: str, port: int | None = None, key: str = KEY, python_path: Path | None = None
) -> Iterator[Server]:
    """
    Run a server on `data` until the block ends; give `port` to restart one at the address that clients know. A
    `sitecustomize.py` in `python_path` changes a limit before the server reads it.
    """
    port = port or free_port()
    log = data.parent / f"{data.name}.log"
    argv = ["--data", str(data), "--port", str(port), *flags]
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    environ["MODELGATE_SERVER_KEY"] = key
    process = _start(argv, environ, python_path, log) if python_path else _fork(argv, environ, log)
    server = Server(f"http://127.0.0.1:{port}", key, data, process, log)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not healthy(server.url):
            if not server.runs or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.02)
        yield server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


def _fork(argv: list[str], environ: Mapping[str, str], log: Path) -> ForkServerProcess:
    with chdir(ROOT):  # where the interpreter finds what it imports
        forkserver.ensure_running()
    process = _FORKS.Process(target=served.run, args=(argv, environ, log), daemon=True)
    process.start()
    return process


def _start(argv: list[str], environ: Mapping[str, str], python_path: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "modelgate_server", *argv],
            cwd=ROOT,
            env={**environ, "PYTHONPATH": f"{python_path}:{ROOT}"},
            stdout=sink,
            stderr=sink,
        )
