"""
Keep what the runner needs between two commands, in `.modelgate/`.

    server/  server.log       the embedded server's data, and its last log
    approval.log              the output of the last promotion that the button on the pages started
    api-key                   the server's API key, created at the first start; only its owner can read it
    port                      the port that the server last used
    wandb/                    the SDK's own folders
    home/                     the home of build's container, for what its `data.py` downloads
    out/<step>/               the last answer of each step
    serving/  serving.log     the verified version that the service keeps, and the service's last log
    state.json                of each use case: the last run, what waits for an approval, what is in production
    lock  server.lock         held by the process that runs the pipeline / owns the server; freed when it ends
    step.pid  asked.pid       processes that were started and not yet seen to end: the interpreter of the steps, that
    server.pid  service.pid   of the step that `status` runs, the server, and the service that answers
    engine                    the container engine that may hold something of this folder, for as long as it may
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import state
from runner.errors import Busy, WrongUse
from runner.state import State

# The locks come last: they are removed only after everything that they protect.
OURS = (
    "server",
    "server.log",
    "approval.log",
    "api-key",
    "port",
    "wandb",
    "home",
    "out",
    "serving",
    "serving.log",
    "state.json",
    "step.pid",
    "asked.pid",
    "server.pid",
    "service.pid",
    "engine",
    "server.lock",
    "lock",
)


class Folder:
    """Names, locks and small files; see the top of this file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server_data = path / "server"
        self.server_log = path / "server.log"
        self.key_file = path / "api-key"
        self.port_file = path / "port"
        self.sdk = path / "wandb"
        self.home = path / "home"
        self.out = path / "out"
        self.state_file = path / "state.json"
        self.step_record = path / "step.pid"
        self.asked_record = path / "asked.pid"
        self.server_record = path / "server.pid"
        self.serving = path / "serving"
        self.service_log = path / "serving.log"
        self.service_record = path / "service.pid"
        self.engine_file = path / "engine"

    def make(self) -> None:
        """Create the folder if it is missing, for its owner only."""
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as error:
            raise WrongUse(
                f"cannot use {self.path}: {error.strerror}", "choose a folder that you may write to"
            ) from error

    # --- who may use it ----------------------------------------------------------------------------------------------

    @contextmanager
    def lock(self, purpose: str) -> Iterator[None]:
        """Hold the right to run the pipeline here; raise Busy while another runner has it."""
        file = self.try_lock("lock")
        if file is None:
            raise Busy(f"another runner uses {self.path} ({self._read_holder()})", "wait until it ends, or stop it")
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, f"process {os.getpid()}: {purpose}".encode(), 0)
            yield
        finally:
            os.close(file)

    def is_locked(self, name: str) -> bool:
        """Return whether another process holds the lock `name`."""
        if (file := self.try_lock(name)) is None:
            return True
        os.close(file)
        return False

    def try_lock(self, name: str) -> int | None:
        """Return a file descriptor that holds the lock `name` until it is closed or this process ends; None if another
        process holds it.
        """
        self.make()
        path = self.path / name
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
            # `clean` removes lock files. A lock file that was removed protects nothing.
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                return file
            os.close(file)

    def _read_holder(self) -> str:
        return (self.path / "lock").read_text(errors="replace") or "just started"

    # --- what is in it ---------------------------------------------------------------------------------------------

    def load_api_key(self) -> str:
        """Return the local key, created at the first call. The SDK requires at least 40 characters after the first
        hyphen.
        """
        try:
            key = self.key_file.read_text().strip()
        except FileNotFoundError:
            key = ""
        if not key and self.server_data.exists():
            raise WrongUse(
                f"{self.key_file} is missing, and the embedded server needs that key to open {self.server_data}",
                "put the file back, or start again from nothing: make clean",
            )
        if not key:
            key = f"local-{secrets.token_hex(20)}"
            write_whole(self.key_file, key + "\n")
        return key

    def read_last_port(self) -> int | None:
        """Return the port that the server last used, if it is known."""
        try:
            return int(self.port_file.read_text())
        except (OSError, ValueError):
            return None

    def state(self) -> State:
        """What the last invocations left to know; empty at first."""
        try:
            return state.parse(json.loads(self.state_file.read_text()))
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise WrongUse(f"{self.state_file} cannot be read: {error}", "remove that file and run again") from error

    def remember(self, use_case: str, **changes: Any) -> None:
        """Change what is known of one use case, whole or not at all; the others keep what they have."""
        changed = self.state().apply_changes(use_case, changes)
        write_whole(self.state_file, json.dumps(changed._asdict(), indent=2) + "\n")

    def list_own(self) -> list[Path]:
        """Return what exists of the files that the runner makes. `clean` removes these and nothing else."""
        paths = [self.path / name for name in OURS] + sorted(self.path.glob("*.part"))
        return [path for path in paths if path.is_symlink() or path.exists()]


def write_whole(path: Path, text: str) -> None:
    """Write a file for its owner only. A kill or a power failure leaves the old file or the new one."""
    # One writer at a time holds the lock, so the name needs no random part. Leftovers of a killed one are overwritten.
    part = path.with_name(path.name + ".part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: Path) -> None:
    """Remove a file, a folder with its contents, or a link (never what it points to)."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
