"""
Install MLflow, which the project is compared with, in a separate environment: `.venv-bench/`.

Its hundred packages have no lock here. uv takes the newest version of each as of one day, so the environment is always
the same.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-bench"
MLFLOW = "mlflow==3.17.2"
DAY = "2026-11-15"
UV = "uv==0.13.9"


class Unavailable(Exception):
    """MLflow cannot be installed on this machine; the message says why."""


def make_mlflow_python() -> Path:
    """Return the interpreter with MLflow; create it on first use or when one of the three pins changes."""
    interpreter = FOLDER / "bin" / "python"
    installed = FOLDER / "installed.txt"  # written last: without it, the environment may be incomplete
    pins = f"{MLFLOW}\n{DAY}\n{UV}\n"
    if installed.exists() and installed.read_text() == pins:
        return interpreter
    _log(f"installing MLflow, to measure against, with about 100 packages into {FOLDER.name}/ (once)")
    shutil.rmtree(FOLDER, ignore_errors=True)
    uv = _find_uv(FOLDER / "uv")
    _run([uv, "venv", "--allow-existing", "--python", sys.executable, str(FOLDER)])
    _run([uv, "pip", "install", "--python", str(interpreter), "--exclude-newer", DAY, MLFLOW])
    installed.write_text(pins)
    _log(f"{FOLDER.name}/ is ready")
    return interpreter


def _find_uv(folder: Path) -> str:
    """Install the pinned uv into this folder and return it; without ensurepip, return the one on the PATH."""
    if find_spec("ensurepip"):
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "pip"), "install", "--progress-bar=off", UV])
        return str(folder / "bin" / "uv")
    if uv := shutil.which("uv"):
        return uv
    raise Unavailable("this Python has no ensurepip to make an environment with, and there is no uv")


def _run(command: list[str]) -> None:
    """Run a command, with a line per package on standard error; raise Unavailable with the last error if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    last = ""
    for line in process.stdout or ():
        if line.startswith(("Collecting", "Installing", "Successfully", "Resolved", "Prepared", "Installed")):
            _log(f"  {line.partition(' (from ')[0].strip()[:100]}")
        if "error" in line.lower():
            last = line.strip()
    if process.wait() != 0:
        raise Unavailable(
            "it could not be installed, which needs a package index the first time (PyPI, or yours by PIP_INDEX_URL "
            f"and UV_DEFAULT_INDEX): {last or f'`{command[0]}` failed'}"
        )


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
