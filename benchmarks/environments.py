"""MLflow in an environment of its own, `.venv-bench/`: it is what we measure against, and no part of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-bench"
LOCK = Path(__file__).parent / "requirements.txt"


class Unavailable(Exception):
    """MLflow cannot be had here; the message says why."""


def pinned() -> list[str]:
    """`["mlflow 3.17.2"]`, as the lock has it."""
    return [f"mlflow {found[1]}" for found in [re.search(r"^mlflow==(\S+)", LOCK.read_text(), re.MULTILINE)] if found]


def python() -> Path:
    """Its interpreter; made on first use and when the lock has changed. Raises Unavailable."""
    interpreter = FOLDER / "bin" / "python"
    installed = FOLDER / "installed.txt"  # written last: without it, what is there may be half of it
    if installed.exists() and installed.read_text() == LOCK.read_text():
        return interpreter
    _say(f"MLflow, to measure against, goes into {FOLDER.name}/ (once; about 100 packages, some minutes)")
    shutil.rmtree(FOLDER, ignore_errors=True)
    _make(interpreter)
    installed.write_text(LOCK.read_text())
    _say("MLflow is installed")
    return interpreter


def _make(interpreter: Path) -> None:
    if find_spec("ensurepip"):
        _run([sys.executable, "-m", "venv", str(FOLDER)])
        _run([str(interpreter), "-m", "pip", "install", "--require-hashes", "--progress-bar=off", "-r", str(LOCK)])
    elif uv := shutil.which("uv"):
        _run([uv, "venv", "--python", sys.executable, str(FOLDER)])
        _run([uv, "pip", "install", "--python", str(interpreter), "--require-hashes", "-r", str(LOCK)])
    else:
        raise Unavailable("this Python has no ensurepip to make an environment with, and there is no uv")


def _run(command: list[str]) -> None:
    """Run with a line for each package on standard error; raises Unavailable with the last word on failure."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = ""
    for line in process.stdout or ():
        if line.startswith(("Collecting", "Installing", "Successfully", "Resolved", "Prepared", "Installed")):
            _say(f"  {line.partition(' (from ')[0].strip()[:100]}")
        if "error" in line.lower():
            last = line.strip()
    if process.wait() != 0:
        raise Unavailable(
            f"it could not be installed, which needs a package index (PyPI, or yours by PIP_INDEX_URL) the first time: "
            f"{last or f'`{command[0]}` failed'}"
        )


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
