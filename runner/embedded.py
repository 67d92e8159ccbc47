"""
Run the embedded server of this folder for the length of a block.

The process that holds `server.lock` owns the server: it starts it, starts it again on the same port if it dies (the SDK
retries), and stops it at the end. A run next to an open `serve` is a guest of that server, and becomes its owner if
`serve` ends during the run.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

from runner.errors import Interrupted, RunnerError, ServerFailed
from runner.folder import Folder, write_whole
from runner.processes import POLL_S, Child, Stop, end_leftover

HOST = "127.0.0.1"
# Tried first, so that the pages have the same address in every clone.
FIRST_PORT = 8765
# Python and the server's libraries load in 1 s from a warm disk. The rest is for cold disks and busy machines.
START_DEADLINE_S = 60.0
ANSWER_S = 10.0
# The lines of its log to show when it died.
LOG_LINES = 12


class Running(Protocol):
    """A server that was started: a process or a container."""

    def read_code(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def end(self) -> None:
        """Stop it. Idempotent."""


# Starts a server of the folder on a port of HOST. The server accepts this API key.
Start = Callable[[int, str], Running]


def as_process(folder: Folder, *, root: Path, env: Mapping[str, str], module: str = "modelgate_server") -> Start:
    """Return a starter of the server as a process. module: `pages` is the server with the product's own pages."""

    def start(port: int, key: str) -> Child:
        file = os.open(folder.server_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "ab") as log:
            return Child(
                [sys.executable, "-m", module, "--data", str(folder.server_data), "--port", str(port)],
                env={**env, "MODELGATE_SERVER_KEY": key, "MODELGATE_SERVER_KEY_FILE": str(folder.key_file)},
                cwd=root,
                record=folder.server_record,
                stdout=log,
                stderr=log,
            )

    return start


def make_way(folder: Folder, end_left: Callable[[], bool], log: Callable[[str], None]) -> None:
    """Stop the server that a killed runner left behind, of either kind: it holds the port. `server.lock` is held."""
    if end_leftover(folder.server_record) | end_left():
        log("stopped the server that an earlier runner left behind")


def choose_port(folder: Folder, log: Callable[[str], None]) -> int:
    """Return the port of the last time, or a free one if another program has taken it, and record it."""
    port = folder.read_last_port() or FIRST_PORT
    if not is_free(port):
        used, port = port, _find_free_port()
        moved = f", also for what was made at {used}" if folder.server_data.exists() else ""
        log(f"port {used} is in use by another program; the server uses {port}{moved}")
    write_whole(folder.port_file, f"{port}\n")
    return port


class EmbeddedServer:
    """
    Use it in a `with` block. After `wait`, `url` answers. `key` is the API key that it accepts.

    end_left: stops a server that an earlier runner left in a container; returns whether there was one.
    """

    def __init__(
        self, folder: Folder, start: Start, end_left: Callable[[], bool], *, stop: Stop, log: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._start_on = start
        self._end_left = end_left
        self._stop = stop
        self._say = log
        self._lock: int | None = None
        self._child: Running | None = None
        self._watcher: threading.Thread | None = None
        self._ending = False
        folder.make()
        self.key = folder.load_api_key()
        self.port = folder.read_last_port() or FIRST_PORT

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    # --- from beginning to end ---------------------------------------------------------------------------------------

    def __enter__(self) -> EmbeddedServer:
        """Start it, or become the guest of a `serve`. This does not wait, so other work can continue."""
        self._lock = self._folder.try_lock("server.lock")
        if self._lock is None:
            return self
        make_way(self._folder, self._end_left, self._say)
        self._folder.server_log.unlink(missing_ok=True)
        self._start_on_free_port()
        return self

    def wait(self) -> None:
        """Wait until it answers, and watch it from then on."""
        while True:
            try:
                self._wait_until_healthy()
                break
            except ServerFailed:
                # The port was free a moment ago, but another program took it before the server started.
                if self._lock is None or is_free(self.port):
                    raise
                self._start_on_free_port()
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        if self._watcher is not None:
            self._watcher.join()
        if self._child is not None:
            self._child.end()
        if self._lock is not None:
            os.close(self._lock)

    @property
    def is_guest(self) -> bool:
        """Return whether the server belongs to an open `serve`."""
        return self._lock is None

    def link(self) -> str | None:
        """Return an address that signs in to the pages, once and within minutes; None if the server has none."""
        from urllib.error import URLError
        from urllib.request import Request, urlopen

        login = b64encode(f"api:{self.key}".encode()).decode()
        try:
            request = Request(f"{self.url}/login/link", method="POST", headers={"Authorization": f"Basic {login}"})  # noqa: S310
            with urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - the server of this machine
                return f"{self.url}{json.load(answer)['path']}"
        except (URLError, OSError, ValueError, KeyError, TypeError):
            return None

    # --- the work ----------------------------------------------------------------------------------------------------

    def _start_on_free_port(self) -> None:
        self.port = choose_port(self._folder, self._say)
        self._start()

    def _start(self) -> None:
        if self._child is not None:
            self._child.end()  # it has ended, but its container can still exist
        self._child = self._start_on(self.port, self.key)

    def _wait_until_healthy(self) -> None:
        """Raise ServerFailed, with the server's last lines, if it ends or does not answer in time."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not (_is_healthy(self.port) and _is_key_accepted(self.port, self.key)):
            if self._child is not None and (code := self._child.read_code()) is not None:
                raise self._build_failure(f"the embedded server ended with exit code {code} before it answered")
            if time.monotonic() > deadline:
                raise self._build_failure(f"the embedded server did not answer within {START_DEADLINE_S:.0f} s")
            self._stop.pause()

    def _build_failure(self, message: str) -> ServerFailed:
        try:
            lines = self._folder.server_log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        log = "".join(f"\n  | {line}" for line in lines)
        return ServerFailed(message + log, f"its log is {self._folder.server_log}")

    def _watch(self) -> None:
        """Keep a server running until the end, in the watcher's thread."""
        while not self._ending:
            time.sleep(POLL_S)
            if self._ending or self._stop.asked:
                continue
            if self._lock is None:
                self._take_over()
            elif self._child is not None and (code := self._child.read_code()) is not None:
                self._say(f"the embedded server died ({_describe_exit(code)}); starting it again on port {self.port}")
                self._restart()
            else:
                continue
            if self._lock is not None and self._child is None:
                return

    def _take_over(self) -> None:
        """Become the owner if the `serve` whose server this guest used has ended."""
        self._lock = self._folder.try_lock("server.lock")
        if self._lock is not None:
            self._say(f"`serve` ended; starting the embedded server again on port {self.port}")
            end_leftover(self._folder.server_record)
            self._end_left()
            self._restart()

    def _restart(self) -> None:
        """Start it once more. If that fails, say why: the step then cannot connect, and exits with code 3."""
        try:
            self._start()
            self._wait_until_healthy()
        except Interrupted:
            return
        except (RunnerError, OSError) as error:
            self._say(error.describe() if isinstance(error, RunnerError) else f"error: {error}")
            if self._child is not None:
                self._child.end()
            self._child = None


def _describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _is_healthy(port: int) -> bool:
    """Return whether a server on this port answers the health check."""
    return _request_status(port, "GET /_internal/healthcheck", {}) == b"200"


def _is_key_accepted(port: int, key: str) -> bool:
    """Return whether it accepts our key. The server of another folder, which may have taken the port first, does
    not.
    """
    login = b64encode(f"api:{key}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    return (
        _request_status(port, "POST /graphql", headers, json.dumps({"query": "query Viewer { viewer { id } }"}))
        == b"200"
    )


def _request_status(port: int, target: str, headers: Mapping[str, str], body: str = "") -> bytes:
    """Return the status of one HTTP answer, empty if there is none. A socket: importing http.client takes longer than
    asking.
    """
    lines = [f"{target} HTTP/1.0", f"Host: {HOST}:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall("\r\n".join([*lines, "", body]).encode())
            return connection.recv(64).partition(b" ")[2][:3]
    except OSError:
        return b""


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of HOST."""
    with socket.socket() as probe:
        # As for the server: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
