"""Start the embedded server as a real process, as a person would, and wait until it answers."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEY = "local-" + "0123456789abcdef" * 2 + "01234567"
START_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, its API key, its data folder and its process."""

    url: str
    key: str
    data: Path
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def kill(self) -> None:
        """`kill -9`, as a crash or the out-of-memory killer would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def give_a_port_of_its_own(runner: Path) -> None:
    """
    Let a copy of the runner try another port first than everybody's 8765.

    Tests that run at once would all try that one, and some find it taken between looking and starting.
    """
    embedded = runner / "embedded.py"
    shared = "\nFIRST_PORT = 8765\n"
    text = embedded.read_text()
    assert shared in text
    embedded.write_text(text.replace(shared, f"\nFIRST_PORT = {free_port()}\n"))


def healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_internal/healthcheck", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def serving(data: Path, *, port: int | None = None, key: str = KEY) -> Iterator[Server]:
    """A server on `data` until the block ends; give `port` to restart one where clients still look for it."""
    port = port or free_port()
    log = data.parent / f"{data.name}.log"
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "server", "--data", str(data), "--port", str(port)],
            cwd=ROOT,
            env={**environment, "MODELGATE_SERVER_KEY": key},
            stdout=sink,
            stderr=sink,
        )
    server = Server(f"http://127.0.0.1:{port}", key, data, process, log)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not healthy(server.url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            time.sleep(0.05)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
