"""Copy the project into a separate folder: its `.modelgate/` is new, and yours does not change."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import Timed, build_environment, run_timed
from tests import own

ROOT = Path(__file__).resolve().parents[1]
MNIST = "mnist"
# What a run reads; git's own files would only add the commit.
PARTS = (*own.ROOMS, "usecases")


def copy_use_case() -> str:
    """Return MNIST if a variable says where it is, otherwise the tests' own use case, which needs no file."""
    return MNIST if os.environ.get("MNIST_NPZ") and (ROOT / "usecases" / MNIST).is_dir() else own.USE_CASE


class Project:
    """`run` is `make run` without make: the runner, approved in advance."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.root.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, self.root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, self.root / part)
        shutil.copytree(own.FOLDER / own.USE_CASE, self.root / "usecases" / own.USE_CASE)
        # As in a clone that was used before: compiling is not measured.
        compileall.compile_dir(self.root, quiet=1)
        home = folder / "home"
        home.mkdir()
        self.env = build_environment(home)
        self.was_run = False

    def run(self, *flags: str, name: str | None = None) -> Timed:
        command = [
            sys.executable,
            "-m",
            "runner",
            "run",
            "--use-case",
            name or copy_use_case(),
            "--approver",
            "bench",
            *flags,
        ]
        done = run_timed(command, self.env, self.root)
        self.was_run = True
        return done

    def answer(self, step: str) -> dict[str, Any]:
        """Return the result of a step in the last run."""
        answer: dict[str, Any] = json.loads((self.root / ".modelgate" / "out" / step / "result.json").read_text())
        return answer
