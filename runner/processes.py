"""
Start processes for the runner, and end them.

Each process has its own session, so ending it also ends what it started and nothing else, and Ctrl-C reaches only the
runner. No process outlives a killed runner: Linux ends it with its parent, and on every system its process id and start
time are recorded, so that the next runner finds and ends exactly that process.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

from runner.errors import Interrupted
from runner.folder import remove
from runner.pipeline import Outcome, Step

# Waiting for a step adds at most this delay: for four steps and a server, far less than a tenth of a second.
POLL_S = 0.02
# Most processes end within a few hundredths of a second after they are asked to.
END_POLL_S = 0.002
# Time to close files after SIGTERM. The SDK's own shutdown takes about one second.
GRACE_S = 5.0

_PROC = Path("/proc")  # Linux; `ps` answers elsewhere
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Loaded here, because a child between fork and exec cannot safely import anything.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


class Stop:
    """
    Whether the runner was asked to end. The signal handler only sets a flag, and code that waits checks it. So no
    exception can arrive between starting a process and knowing its id. (The code that the signal interrupts could hold
    an Event's lock.)
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP in the main thread, except those that are ignored (as under nohup)."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def check(self) -> None:
        """Raise Interrupted if the runner was asked to end."""
        if self.asked:
            raise Interrupted

    def pause(self) -> None:
        """Wait one poll; raise Interrupted if the runner was asked to end."""
        self.check()
        time.sleep(POLL_S)


class Child:
    """A process of ours, recorded in the file `record` from its start until its end is known."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        record: Path,
        stdin: int = subprocess.DEVNULL,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
    ) -> None:
        self._record = record
        sys.stdout.flush()
        self._popen = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=end_with_parent if _prctl else None,
        )
        self.pid = self._popen.pid
        record.write_text(f"{self.pid} {read_start_time(self.pid)}\n")

    def read_code(self) -> int | None:
        """Return the exit code (negative: ended by that signal), or None while it runs."""
        return self._popen.poll()

    def send(self, line: str) -> None:
        """Write a line to a process with `stdin=PIPE`. If it has ended, its exit code shows it."""
        if self._popen.stdin is not None:
            with suppress(BrokenPipeError):
                self._popen.stdin.write(line.encode() + b"\n")
                self._popen.stdin.flush()

    def answer(self) -> str:
        """Return the next line of a process with `stdout=PIPE` as soon as it comes; empty if none comes within one
        poll."""
        if self._popen.stdout is None or not select.select([self._popen.stdout], [], [], POLL_S)[0]:
            return ""
        return self._popen.stdout.readline().decode().strip()

    def end(self) -> None:
        """If it still runs, send SIGTERM to its whole session, then SIGKILL after the grace period. Idempotent."""
        _end_group(self.pid, lambda: self._popen.poll() is None)
        self._record.unlink(missing_ok=True)


def end_with_parent() -> None:
    """On Linux, make this process end together with the one that started it."""
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def end_leftover(record: Path) -> bool:
    """End the process that a killed runner recorded, if it is still that process. Return whether it was."""
    try:
        pid_text, _, start = record.read_text().strip().partition(" ")
        pid = int(pid_text)
    except (OSError, ValueError):
        pid, start = 0, ""
    ours = pid > 1 and start != "" and read_start_time(pid) == start
    if ours:
        _end_group(pid, lambda: read_start_time(pid) == start)
    record.unlink(missing_ok=True)
    return ours


def read_start_time(pid: int) -> str:
    """Return when a process started, as text that is unique for its id; empty if there is none."""
    if _PROC.is_dir():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return ""
        # proc(5): state is the third field and comes first here; starttime, in ticks since boot, is the 22nd.
        return "" if fields[0] == "Z" else f"{boot}/{fields[19]}"
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _end_group(pid: int, alive: Callable[[], bool]) -> None:
    """End the session that `pid` leads, if its leader is alive. Return when the leader is gone."""
    if not alive():
        return
    _signal_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while alive() and time.monotonic() < deadline:
        time.sleep(END_POLL_S)
    _signal_group(pid, signal.SIGKILL)
    while alive():
        time.sleep(END_POLL_S)


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # macOS: a group of zombies may not be signalled
        return


def build_arguments(step: Step, flags: Sequence[str], root: Path, out: Path) -> list[str]:
    """Return a step's arguments: its flags, and its folder below `out`, relative to the root if possible."""
    folder = out / step.name
    return [*flags, f"--out={folder.relative_to(root) if folder.is_relative_to(root) else folder}"]


def format_command(step: Step, flags: Sequence[str], root: Path, out: Path) -> str:
    """Return the line that you would type in the repository's root, without containers."""
    python = Path(sys.executable)
    interpreter = python.relative_to(root) if python.is_relative_to(root) else python
    return shlex.join([str(interpreter), "-m", f"steps.{step.name}", *build_arguments(step, flags, root, out)])


class StepProcesses:
    """
    An Execute: steps as processes, `python -m steps.<name>` from the repository's root, with standard error copied live
    to ours unless `quiet` is set. One interpreter runs them all, each in a fork; see `prepared.py`. Use it in a `with`
    block.

    source: variables that only build sees: those that its use case declares for `data.py`. notification: variables
    that only promote sees. out: gets a folder for each step (its `--out`). Files of an earlier run are removed.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str],
        source: Mapping[str, str],
        root: Path,
        out: Path,
        record: Path,
        stop: Stop,
        notification: Mapping[str, str] | None = None,
        quiet: bool = False,
    ) -> None:
        self._env = env
        self._source = source
        self._notification = notification or {}
        self._root = root
        self._out = out
        self._record = record
        self._stop = stop
        self._stderr = subprocess.DEVNULL if quiet else None
        self._interpreter: Child | None = None

    def __enter__(self) -> StepProcesses:
        self._interpreter = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def format_command(self, step: Step, flags: Sequence[str]) -> str:
        """Return the line that you would type."""
        return format_command(step, flags, self._root, self._out)

    def __call__(self, step: Step, flags: Sequence[str]) -> Outcome:
        folder = self._out / step.name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            remove(old)
        # A file, not a pipe, so that nothing has to be read while the step writes.
        stdout = folder / "stdout"
        stdout.touch()
        if self._interpreter is None or self._interpreter.read_code() is not None:
            self._interpreter = self._start()
        options = {
            "module": f"steps.{step.name}",
            "argv": build_arguments(step, flags, self._root, self._out),
            "environ": {**(self._source if step.reads_source else {}), **(self._notification if step.tells else {})},
            "stdout": str(stdout),
        }
        self._interpreter.send(json.dumps(options))
        code = self._read_code(self._interpreter)
        return Outcome(code, stdout.read_text(errors="replace"))

    def end(self) -> None:
        """End the running step, if any, and the interpreter. Idempotent."""
        if self._interpreter is not None:
            self._interpreter.end()

    def _read_code(self, interpreter: Child) -> int:
        """Return the exit code of the running step, or the interpreter's own if that was killed."""
        while not (answer := interpreter.answer()):
            if (code := interpreter.read_code()) is not None:
                return code
            self._stop.check()
        return int(answer)

    def _start(self) -> Child:
        command = [sys.executable, "-m", "runner.prepared"]
        return Child(
            command,
            env=self._env,
            cwd=self._root,
            record=self._record,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
