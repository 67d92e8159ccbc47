"""
What the tests of the steps share: the glyphs as a dataset, and two good models of it, made by the real steps.

    WANDB_BASE_URL=... WANDB_API_KEY=... WANDB_PROJECT=shared python -m tests.steps.seeding FOLDER
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests import own
from tests.serving import ROOT, serving

SEEDS = (0, 1)


def seed(folder: Path) -> dict[str, Any]:
    """Build and train; return the steps' answers."""

    def step(name: str, *flags: str) -> dict[str, Any]:
        out = folder / name
        importlib.import_module(f"steps.{name}").main([f"--use-case={own.USE_CASE}", f"--out={out}", *flags])
        return dict(json.loads((out / "result.json").read_text(encoding="utf-8")))

    built = step("build")
    data = f"--dataset={built['dataset']}"
    return {"dataset": built} | {f"model-{s}": step("train", data, f"--seed={s}", "--epochs=10") for s in SEEDS}


def make(folder: Path) -> None:
    """Leave the data of a server that has all this in `folder`, and the answers in `answers.json`."""
    with tempfile.TemporaryDirectory() as home, serving(folder / "server") as server:
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        client = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key, "WANDB_PROJECT": "shared"}
        command = [sys.executable, "-m", "tests.steps.seeding", str(folder)]
        subprocess.run(command, cwd=ROOT, env=inherited | client | {"HOME": home, "WANDB_DIR": home}, check=True)


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `make`. The first worker that needs it makes it; the others wait."""
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "seeded"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


if __name__ == "__main__":
    to = Path(sys.argv[1])
    own.install()
    (to / "answers.json").write_text(json.dumps(seed(to)), encoding="utf-8")
