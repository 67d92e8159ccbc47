"""The rows of a dataset's version, as every step but `build` gets them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.rows.dataset import Dataset, seen_in_training
from modelgate.tracking import arrays, files

if TYPE_CHECKING:
    from wandb import Artifact


def fetch(version: Artifact, folder: Path) -> tuple[Dataset, str]:
    """The rows, and the SHA-256 of their file; refused as `dataset_unreadable` if they are not in their form."""
    fetched = files.fetch(version, files.ROWS, folder)
    try:
        stored = arrays.load(fetched.path)
        if wrong := _wrong(stored):
            raise arrays.Unreadable(wrong)
    except arrays.Unreadable as error:
        raise StepError(
            "dataset_unreadable", f"{files.ROWS} of {version.name}: {error}", "build the dataset again"
        ) from error
    return Dataset(**stored), fetched.sha256


def seen(rows: Dataset, trained_on: Iterable[Dataset]) -> tuple[int, ...]:
    """The indices of the eval rows that are, byte for byte, among the training rows of these datasets."""
    found = [np.flatnonzero(seen_in_training(rows.x_eval, other.x_train)).tolist() for other in trained_on]
    return tuple(sorted(set().union(*found)))


def _wrong(stored: dict[str, Any]) -> str:
    """What keeps these arrays from being a dataset; empty if nothing does."""
    names = {field.name for field in fields(Dataset)}
    if stored.keys() != names:
        return f"it has {', '.join(sorted(stored)[:10]) or 'nothing'}, and not {', '.join(sorted(names))}"
    for split in ("train", "eval"):
        rows, labels = stored[f"x_{split}"], stored[f"y_{split}"]
        if rows.dtype != np.float32 or labels.dtype != np.int64 or labels.ndim != 1 or rows.shape[:1] != labels.shape:
            return f"x_{split} is {rows.dtype} {rows.shape}, and y_{split} is {labels.dtype} {labels.shape}"
    return ""
