"""Run a process and measure its seconds, or say why it failed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

# No measurement takes a tenth of it; a process that hangs is ended and reported.
DEADLINE_S = 1800


class Failed(Exception):
    """The measured process failed; the message has its last lines."""


class Timed(NamedTuple):
    """Wall-clock seconds from the start of a process to its end, and its standard output."""

    seconds: float
    output: str


def run_timed(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Timed:
    """Run a process to its end; raise Failed if its exit code is not 0."""
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=env, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"`{' '.join(command)}` did not end within {DEADLINE_S} s") from error
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        log = "\n".join(f"  | {line}" for line in (done.stdout + done.stderr).splitlines()[-12:])
        raise Failed(f"`{' '.join(command)}` ended with exit code {done.returncode}\n{log}")
    return Timed(seconds, done.stdout)


def build_environment(home: Path) -> dict[str, str]:
    """Return the environment with a separate HOME, and without variables that could affect one of the sides."""
    steering = ("WANDB", "MLFLOW", "PYTHON", "KERAS", "TF_", "APPROVE", "USE_CASE", "RUNNER")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {"DOCKER_CONFIG": str(Path.home() / ".docker")} | inherited | {"HOME": str(home)}
