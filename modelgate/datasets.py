"""
Read the rows of a dataset version, as every step except `build` gets them.

Training rows and eval rows are in two files, and `train` downloads only the first: the rows that judge a model are not
there when it learns. Older versions have both in one file, which stays readable.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.rows import KINDS
from modelgate.rows.dataset import Rows, is_in_training
from modelgate.rows.near import find as find_near
from modelgate.tracking import arrays, files

if TYPE_CHECKING:
    from wandb import Artifact

TOGETHER = "arrays.npz"  # both splits in one file, as in older versions


def fetch_training(version: Artifact, folder: Path) -> tuple[Rows, str]:
    """Return the training rows and the SHA-256 of their file; raise `dataset_unreadable` if the file is not valid."""
    return _fetch(version, folder, 0)


def fetch_eval(version: Artifact, folder: Path) -> tuple[Rows, str]:
    """Return the eval rows and the SHA-256 of their file; raise `dataset_unreadable` if the file is not valid."""
    return _fetch(version, folder, 1)


def get_eval_file(version: Artifact) -> str:
    """Return the name of the file with the eval rows."""
    return _get_file(version, 1)


def require_apart(version: Artifact) -> None:
    """Refuse a version whose training rows cannot be downloaded without its eval rows."""
    if _get_file(version, 0) == TOGETHER:
        raise StepError(
            "rows_not_apart",
            f"{version.name} has training and eval rows in one file, {TOGETHER}",
            "build the dataset again, and train on the new version",
        )


def is_same(ours: Rows, theirs: Rows) -> bool:
    """Return whether two splits have the same rows and targets, in the same order."""
    return type(ours.x) is type(theirs.x) and _is_equal(ours.x, theirs.x) and np.array_equal(ours.y, theirs.y)


def find_seen(x_eval: Any, learned: Iterable[Any]) -> tuple[int, ...]:
    """Return the indices of the eval rows that are among the training rows of these datasets. learned: the x of
    each.
    """
    keys = _find_kind(x_eval).hash_rows
    marks = [is_in_training(x_eval, x, keys) for x in learned if type(x) is type(x_eval)]
    return tuple(np.flatnonzero(np.logical_or.reduce(marks)).tolist()) if marks else ()


def count_near_duplicates(x_eval: Any, learned: Iterable[Any], same: Iterable[int]) -> int:
    """Count the eval rows that are near a training row of these datasets. same: those that equal one; they do not
    count.
    """
    near = {int(row) for x in learned for row in np.flatnonzero(find_near(x_eval, x))}
    return len(near.difference(same))


# ---------------------------------------------------------------------------------------------------------------------


def _fetch(version: Artifact, folder: Path, split: int) -> tuple[Rows, str]:
    name = _get_file(version, split)
    fetched = files.fetch(version, name, folder)
    try:
        rows = _read_together(fetched.path, ("train", "eval")[split]) if name == TOGETHER else _read(fetched.path)
    except arrays.Unreadable as error:
        raise StepError(
            "dataset_unreadable", f"{name} of {version.name}: {error}", "build the dataset again"
        ) from error
    return rows, fetched.sha256


def _get_file(version: Artifact, split: int) -> str:
    """Return the file of a split. If a version has no such file, the fetch raises `file_missing`."""
    names = [_load_kind(kind).FILES[split] for kind in sorted(set(KINDS.values()))]
    entries = version.manifest.entries
    return next((name for name in [*names, TOGETHER] if name in entries), str(names[0]))


def _read(path: Path) -> Rows:
    kind = _load_kind("images") if path.suffix == ".npz" else _load_kind(_load_kind("tables").read_kind(path))
    rows: Rows = kind.read(path)
    return rows


def _read_together(path: Path, split: str) -> Rows:
    stored = arrays.load(path)
    if wanted := {f"{array}_{split_name}" for array in "xy" for split_name in ("train", "eval")} - stored.keys():
        raise arrays.Unreadable(f"it has no {', '.join(sorted(wanted))}")
    rows: Rows = _load_kind("images").require_images(stored[f"x_{split}"], stored[f"y_{split}"])
    return rows


def _load_kind(name: str) -> ModuleType:
    return import_module(f"modelgate.rows.{name}")


def _find_kind(x: Any) -> ModuleType:
    return _load_kind("images" if isinstance(x, np.ndarray) else "texts" if isinstance(x, list) else "tables")


def _is_equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, np.ndarray):
        return np.array_equal(ours, theirs)
    return bool(ours == theirs if isinstance(ours, list) else ours.reset_index(drop=True).equals(theirs))
