"""A clone of this repository as a new user has it, with the environment that is already installed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import own
from tests.engine import to_the_engine
from tests.serving import a_port_of_its_own, runner_with, until

DEADLINE_S = 600


@dataclass
class Clone:
    """A clone and the environment of the person who uses it."""

    path: Path
    env: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable
    changes: str = field(default_factory=a_port_of_its_own)  # of the runner, as statements

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start `python -m runner ...` in a separate process group, with its output in `runner.log`."""
        with (self.path.parent / "runner.log").open("a") as log:
            return subprocess.Popen(
                [*runner_with(self.changes, self.python), *arguments],
                cwd=self.path,
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def run(self, *arguments: str, **env: str) -> tuple[int, str]:
        """Run `python -m runner ...`; return its exit code and its log."""
        before = len(self.log)
        process = self.start(*arguments, **env)
        try:
            return process.wait(DEADLINE_S), self.log[before:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def answer(self, *args: str) -> str:
        """Run `python ...` in the clone and return its output; it must succeed."""
        done = subprocess.run([self.python, *args], cwd=self.path, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout or done.stderr  # a step shows its help there

    @property
    def log(self) -> str:
        log = self.path.parent / "runner.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def pid(self, record: str) -> int | None:
        """The process in the runner's record `.modelgate/<record>`: the step or the server that runs now."""
        try:
            return int((self.path / ".modelgate" / record).read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None

    def client(self) -> dict[str, str]:
        """The variables with which the W&B SDK reaches the clone's server while it runs."""
        folder = self.path / ".modelgate"
        port = (folder / "port").read_text().strip()
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{port}", "WANDB_API_KEY": (folder / "api-key").read_text().strip()}

    def ask(self, question: str) -> Any:
        """
        Start the server and ask it something, from a separate client with an empty cache.

        question: an expression over `api`, a wandb.Api(); or a program that assigns its result to `answer`.
        """
        cache = self.path.parent / f"cache-{time.monotonic_ns()}"
        program = question if "answer =" in question else f"answer = {question}"
        program = f"import json, wandb\napi = wandb.Api()\n{textwrap.dedent(program)}\nprint(json.dumps(answer))"
        with self.open() as client:
            done = subprocess.run(
                [self.python, "-c", program],
                env={**client, "WANDB_SILENT": "true", "WANDB_CACHE_DIR": str(cache)},
                cwd=self.path.parent,
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
            )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def open(self) -> Iterator[dict[str, str]]:
        """Run `make serve` until the block ends; yield the environment for a client."""
        before = len(self.log)
        serving = self.start("serve")
        try:
            until(lambda: "The pages are open" in self.log[before:] or serving.poll() is not None, "the pages")
            assert serving.poll() is None, self.log[before:]
            yield {**self.env, **self.client()}
        finally:
            serving.terminate()
            serving.wait(DEADLINE_S)


def clean_environment(home: Path) -> Mapping[str, str]:
    """A user's environment: no W&B, no GitHub, a separate HOME."""
    inherited = ("PATH", "LANG", "TMPDIR")
    return {
        "HOME": str(home),
        **{name: os.environ[name] for name in inherited if name in os.environ},
        **to_the_engine(),
    }


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    with make_clone(tmp_path) as copy:
        yield copy


@contextmanager
def make_clone(folder: Path) -> Iterator[Clone]:
    path = own.clone(folder / "clone")
    (folder / "home").mkdir()
    copy = Clone(path, dict(clean_environment(folder / "home")))
    yield copy
    print(copy.log)  # for a test that failed
    for record in ("step.pid", "server.pid"):  # a test that failed midway must not leave a process behind
        if pid := copy.pid(record):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
