"""Measure `make setup` in a fresh clone, with a package cache that an earlier one has filled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.project import ROOT
from benchmarks.report import Report, expect_at_most, get_column
from benchmarks.timing import build_environment, run_timed

AT_MOST_S = 25.0
PARTS = ("Makefile", "requirements.txt", "requirements-dev.txt", "runner/setup.sh", "runner/uv_settings.py")


def prepare(folder: Path) -> Path:
    """Create a home whose cache has every package. This needs a package index."""
    home = folder / "setup"
    home.mkdir()
    sample(home)
    return home


def sample(home: Path) -> dict[str, Any]:
    """Return the seconds in a new folder, which is removed afterwards: it has more than a gigabyte."""
    with tempfile.TemporaryDirectory(dir=home) as clone:
        for part in PARTS:
            target = Path(clone) / part
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(ROOT / part, target)
        env = build_environment(home) | {"XDG_CACHE_HOME": str(home / "cache")}
        return {"setup": run_timed(["make", "setup"], env, Path(clone)).seconds}


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    title = "`make setup` in a fresh clone, the package cache filled before"
    return Report(title, [expect_at_most("make setup", get_column(samples, "setup"), AT_MOST_S, "s")])
