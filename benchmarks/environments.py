"""What we measure against and is not part of the project: in environments of its own, each made from a hashed lock."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


class Unavailable(Exception):
    """It cannot be had here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """packages: those whose versions are printed."""

    folder: Path
    lock: Path
    what: str
    packages: tuple[str, ...]

    def pinned(self) -> list[str]:
        """`["mlflow 3.17.2"]`, as the lock has it."""
        versions = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", self.lock.read_text(), re.MULTILINE))
        return [f"{name} {versions[name]}" for name in self.packages]

    def python(self) -> Path:
        """Its interpreter; made on first use and when the lock has changed. Raises Unavailable."""
        interpreter = self.folder / "bin" / "python"
        installed = self.folder / "installed.txt"  # written last: without it, what is there may be half of it
        if installed.exists() and installed.read_text() == self.lock.read_text():
            return interpreter
        _say(f"{self.what} into {self.folder.name}/ (once)")
        shutil.rmtree(self.folder, ignore_errors=True)
        self._make(interpreter)
        installed.write_text(self.lock.read_text())
        _say(f"{self.folder.name}/ is there")
        return interpreter

    def _make(self, interpreter: Path) -> None:
        lock = ["--require-hashes", "-r", str(self.lock)]
        if find_spec("ensurepip"):
            _run([sys.executable, "-m", "venv", str(self.folder)])
            _run([str(interpreter), "-m", "pip", "install", "--progress-bar=off", *lock])
        elif uv := shutil.which("uv"):
            _run([uv, "venv", "--python", sys.executable, str(self.folder)])
            _run([uv, "pip", "install", "--python", str(interpreter), *lock])
        else:
            raise Unavailable("this Python has no ensurepip to make an environment with, and there is no uv")


MLFLOW = Environment(
    ROOT / ".venv-bench",
    HERE / "requirements.txt",
    "MLflow, to measure against, goes with about 100 packages, some minutes,",
    ("mlflow",),
)


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
