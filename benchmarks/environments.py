"""
MLflow, which the project is measured against and does not contain: in an environment of its own, `.venv-bench/`.

Its hundred packages have no lock here. uv takes each in the newest version of one day, so that the environment is the
same whenever it is made.
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
    """It cannot be installed on this machine; the message says why."""


def make_mlflow_python() -> Path:
    """The interpreter that has MLflow; made on first use and if one of the three pins changed. Raises Unavailable."""
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
    """The pinned uv, installed into this folder; without ensurepip, the one on the PATH."""
    if find_spec("ensurepip"):
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "pip"), "install", "--progress-bar=off", UV])
        return str(folder / "bin" / "uv")
    if uv := shutil.which("uv"):
        return uv
    raise Unavailable("this Python has no ensurepip to make an environment with, and there is no uv")


def _run(command: list[str]) -> None:
    """Run with a line for each package on standard error; raises Unavailable with the last error on failure."""
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
