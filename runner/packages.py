"""
Install the packages that a use case adds to the environment of its steps: the lock usecases/<name>/requirements.txt.

An image of the use case has them from its build. For processes, they are installed in `.venv` before the first step of
the use case runs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from runner.errors import PackagesMissing
from runner.images import read_lock


def install(root: Path, use_case: str, environ: Mapping[str, str]) -> None:
    """Install in `.venv` what the use case needs, unless it is there. Raise PackagesMissing or WrongUse."""
    if (lock := read_lock(root, use_case)) is None:
        return
    done = subprocess.run(["sh", "runner/setup.sh", "packages", use_case], cwd=root, env=dict(environ), check=False)
    if done.returncode != 0:
        raise PackagesMissing(
            f"the packages of {lock} could not be installed; see the messages above",
            "fix the problem that they name, then run the same command again",
        )
