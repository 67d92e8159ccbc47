"""Read and write the files of a dataset version without the steps, as anyone with a key can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FILES = {"train": "training.npz", "eval": "eval.npz"}


def stored(version: Any, folder: Path) -> dict[str, Any]:
    """Return the arrays of both files: x_train, y_train, x_eval, y_eval."""
    rows = {}
    for split, name in FILES.items():
        with np.load(version.get_entry(name).download(root=folder)) as arrays:
            rows |= {f"{array}_{split}": arrays[array] for array in arrays}
    return rows


def add(artifact: Any, rows: dict[str, Any]) -> None:
    """Put both files into an artifact that is about to be logged."""
    for split, name in FILES.items():
        with artifact.new_file(name, mode="wb") as file:
            np.savez_compressed(file, x=rows[f"x_{split}"], y=rows[f"y_{split}"])
