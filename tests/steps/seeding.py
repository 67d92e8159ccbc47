"""
What the tests of the steps share, made by the real steps: the glyphs as a dataset, two good models of it, and the
project and collection `history`, where the first model was evaluated and promoted, and then the second.

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
HISTORY = "history"
COMMIT, IMAGES = "c0ffee", {"train": "sha256:abc"}  # of the first evaluation
QUICK_RUNS = {
    "WANDB_X_DISABLE_STATS": "true",
    "WANDB_X_SAVE_REQUIREMENTS": "false",  # listing the installed packages is most of a run's cost
}


def seed(folder: Path) -> dict[str, int]:
    """Leave each step's files in a folder of its own; return the exit codes by the folder's name."""
    codes = {}

    def step(name: str, of: str, *flags: str) -> dict[str, Any]:
        out = folder / of
        main = importlib.import_module(f"steps.{name}").main
        codes[of] = main([f"--use-case={own.USE_CASE}", f"--out={out}", *flags])
        return dict(json.loads((out / "result.json").read_text(encoding="utf-8")))

    (folder / "working").mkdir()
    os.chdir(folder / "working")
    built = step("build", "dataset")
    data = f"--dataset={built['dataset']}"
    models = [step("train", f"model-{s}", data, f"--seed={s}", "--epochs=10") for s in SEEDS]

    os.environ["WANDB_PROJECT"] = HISTORY
    to = f"--collection={HISTORY}"
    (folder / "images.json").write_text(json.dumps(IMAGES), encoding="utf-8")
    given = ((f"--commit={COMMIT}", f"--images={folder / 'images.json'}"), ())
    for number, (model, flags) in enumerate(zip(models, given, strict=True)):
        version = step("link", f"link-{number}", f"--model={model['model']}", to)["version"]
        evaluated = step("evaluate", f"evaluation-{number}", f"--version={version}", data, to, *flags)
        step("promote", f"promotion-{number}", f"--evidence={evaluated['evidence']}", "--approver=ada", to)
    return codes


def make(folder: Path) -> None:
    """Leave the data of a server that has all this in `folder`, and the exit codes of the steps in `codes.json`."""
    with tempfile.TemporaryDirectory() as home, serving(folder / "server") as server:
        inherited = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        client = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key, "WANDB_PROJECT": "shared"} | QUICK_RUNS
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
    (to / "codes.json").write_text(json.dumps(seed(to)), encoding="utf-8")
