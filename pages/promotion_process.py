"""
Run the promotion that the button starts: `python -m runner approve`, as with `make approve`, in a process.

It holds the runner's lock, checks that the approved version is the one that waits, and runs the step promote. So
pressing twice promotes once, and after a kill, pressing again completes what was interrupted. It outlives this server:
a runner that loses the server of an open `serve` starts its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

# The lines of its output to show.
MAX_LOG_BYTES = 32_768


@dataclass(frozen=True)
class Progress:
    """A promotion that was started here. code: its exit code, None while it runs. lines: what it has said."""

    evidence: str
    code: int | None
    lines: tuple[str, ...]


class PromotionProcess:
    """One promotion at a time. folder: the runner's; root: of the repository."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._root = root
        self._log = folder / "approval.log"
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._evidence = ""

    def start(self, use_case: str, evidence: str, approver: str) -> None:
        """Promote this evidence in the name of the approver; while a promotion runs, nothing is started."""
        with self._turn:
            if self._process is not None and self._process.poll() is None:
                return
            command = [sys.executable, "-m", "runner", "approve", "--in-browser"]
            command += [f"--use-case={use_case}", f"--evidence={evidence}", f"--approver={approver}"]
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(log, "wb") as sink:
                self._process = subprocess.Popen(
                    command,
                    cwd=self._root,
                    env={name: value for name, value in os.environ.items() if not name.startswith("MODELGATE_")},
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    start_new_session=True,
                )
            self._evidence = evidence

    def read_progress(self) -> Progress | None:
        """Return how the last promotion that was started here is doing, or ended; None if there was none."""
        with self._turn:
            if self._process is None:
                return None
            return Progress(self._evidence, self._process.poll(), self._read_lines())

    def _read_lines(self) -> tuple[str, ...]:
        try:
            with self._log.open("rb") as file:
                text = file.read(MAX_LOG_BYTES).decode(errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())
