"""
A checkout of the project in a temporary folder: the real runner, and next to it steps and a server that are small
programs (`fakes.py`). `behaviour.json` says what a step does; `calls.jsonl` records what each was given.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import own
from tests.serving import DEADLINE_S, a_port_of_its_own, runner_with, until

ROOT = Path(__file__).parents[2]
STEPS = ("build", "train", "link", "evaluate", "promote")
VERSION = "local-org/wandb-registry-model/glyphs-dev:v3"  # link makes it here


def alive(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass
class Checkout:
    root: Path
    home: Path
    changes: str = field(default_factory=a_port_of_its_own)  # of the runner, as statements
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / ".modelgate"

    def be_real(self) -> None:
        """Use the real steps, server and everything else instead of the small programs."""
        for room in own.ROOMS:
            if room != "runner" and (ROOT / room).is_dir():
                shutil.rmtree(self.root / room, ignore_errors=True)
                shutil.copytree(ROOT / room, self.root / room, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(self.root / "wandb", ignore_errors=True)  # of the small program; it would hide the SDK

    def behave(self, **steps: dict[str, Any]) -> None:
        """Set what fake steps do: result (changes of their JSON), error, exit, stdout, sleep_s, until."""
        (self.root / "behaviour.json").write_text(json.dumps(steps))

    def say(self, word: str) -> None:
        """Send the word that a step with `until` waits for."""
        (self.root / word).touch()

    def env(self, **more: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **more}

    def start(self, *args: str, **more: str) -> subprocess.Popen[str]:
        """Start the runner with a pipe instead of a terminal; standard error goes to the same pipe."""
        child = subprocess.Popen(
            [*runner_with(self.changes), *args],
            cwd=self.root,
            env=self.env(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.children.append(child)
        return child

    def runner(self, *args: str, **more: str) -> tuple[int, str]:
        """Run the runner; return its exit code and its output."""
        child = self.start(*args, **more)
        output, _ = child.communicate(timeout=2 * DEADLINE_S)
        return child.returncode, output

    def state(self, use_case: str = "glyphs") -> dict[str, Any]:
        """What the runner knows of a use case."""
        return dict(json.loads((self.folder / "state.json").read_text())["use_cases"][use_case])

    def port(self) -> int:
        return int((self.folder / "port").read_text())

    def calls(self) -> list[dict[str, Any]]:
        """Return what was started, in order: {name, argv, env, pid}. This includes the server."""
        path = self.root / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def steps(self) -> list[str]:
        return [call["name"] for call in self.calls() if call["name"] in STEPS]

    def pids(self, name: str) -> list[int]:
        return [call["pid"] for call in self.calls() if call["name"] == name]

    def call(self, name: str) -> dict[str, Any]:
        """Return the last call of that name."""
        return next(call for call in reversed(self.calls()) if call["name"] == name)

    def wait_for(self, name: str) -> int:
        """Wait until a step (or `server`) has started; return its process id."""
        return int(until(lambda: self.pids(name), f"{name} to start")[-1])

    def started_service(self) -> dict[str, Any]:
        """Return how the program that replaces the service was started; empty before."""
        path = self.root / "service.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def everything_ended(self) -> bool:
        return not any(alive(call["pid"]) for call in self.calls())


class Terminal:
    """The runner on a separate terminal (a pty), as for a person."""

    def __init__(self, checkout: Checkout, *args: str, **more: str) -> None:
        self.output = ""
        self.pid, self._descriptor = os.forkpty()
        if self.pid == 0:
            os.chdir(checkout.root)
            os.execve(sys.executable, [*runner_with(checkout.changes), *args], checkout.env(TERM="xterm", **more))  # noqa: S606

    def read_until(self, text: str) -> None:
        def seen() -> bool:
            self._read()
            return text in self.output

        until(seen, f"{text!r}, and the terminal shows {self.output[-500:]!r}")

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], 0.02)[0]:
            return True
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the other end is closed
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def exit_code(self) -> int:
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def given_to(checkout: Checkout, name: str) -> list[str]:
    """Return the flags of a step, without the two that every step gets."""
    return [word for word in checkout.call(name)["argv"] if not word.startswith(("--use-case=", "--out="))]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with make_checkout(tmp_path) as copy:
        yield copy


@contextmanager
def make_checkout(folder: Path) -> Iterator[Checkout]:
    root = folder / "checkout"
    shutil.copytree(ROOT / "runner", root / "runner", ignore=own.UNFINISHED)  # with its bytecode
    for name in (*STEPS, "audit", "predict", "prune", "server"):
        module = root / ("modelgate_server/__main__.py" if name == "server" else f"steps/{name}.py")
        module.parent.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("fakes.py"), module)
    (root / "pages").mkdir()  # what serve starts is a server, too
    shutil.copy(Path(__file__).with_name("fakes.py"), root / "pages/__main__.py")
    own.install_in(root)
    (root / "modelgate").mkdir()
    for name in ("__init__", "commit", "config", "config_checks", "errors", "hyperparameters", "text"):
        shutil.copy(ROOT / f"modelgate/{name}.py", root / "modelgate")
    # The SDK costs a second each time, and no fake needs it. Without __init__.py the installed one would win.
    (root / "wandb" / "apis").mkdir(parents=True)
    for module in ("__init__.py", "apis/__init__.py", "apis/public.py"):
        (root / "wandb" / module).touch()
    home = folder / "home"
    home.mkdir()
    copy = Checkout(root, home)
    yield copy
    for child in copy.children:
        if child.poll() is None:
            child.kill()
            print(child.communicate()[0])  # its output so far, for a test that failed
    for call in copy.calls():
        if alive(call["pid"]):
            os.kill(call["pid"], signal.SIGKILL)
