"""Show the rows of a split as a W&B Table."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from wandb import Artifact


def add(artifact: Artifact, split: str, rows: Any, shown: Any, data: ModuleType, folder: Path) -> None:
    """
    Add the table `<split>_table`. rows: their x and y. shown: the indices of the rows in it, int64.

    folder: does not exist yet; keep it until the artifact is logged. data: the use case's data.py.
    """
    targets = rows.y[shown]
    if isinstance(rows.x, np.ndarray):
        folder.mkdir()
        _add_images(artifact, split, rows.x[shown], targets, data, folder)
    elif isinstance(rows.x, list):
        _add_columns(artifact, split, {"text": [rows.x[row] for row in shown]}, targets, data)
    else:
        frame = rows.x.iloc[shown]
        _add_columns(artifact, split, {str(name): _list_values(frame[name]) for name in frame.columns}, targets, data)


def _add_columns(artifact: Artifact, split: str, columns: dict[str, list[Any]], targets: Any, data: ModuleType) -> None:
    """Return a table with the rows' columns and their target: the name of the class, or the number."""
    import wandb

    classes = getattr(data, "CLASSES", None)
    names = targets.tolist() if classes is None else [str(classes[label]) for label in targets]
    values = [[_convert(value) for value in column] for column in columns.values()]
    table = wandb.Table(columns=[*columns, "target"], data=list(zip(*values, names, strict=True)))
    artifact.add(table, f"{split}_table")


def _list_values(series: Any) -> list[Any]:
    """Return a column's values, with None for each missing one, whatever its type uses for that."""
    values: list[Any] = series.astype(object).where(series.notna(), None).tolist()
    return values


def _convert(value: Any) -> Any:
    """Return a value as W&B shows it: numbers, texts and truth values unchanged, nothing if it is missing."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _add_images(artifact: Artifact, split: str, images: Any, labels: Any, data: ModuleType, folder: Path) -> None:
    """
    Return the walkthrough's table: columns `x_<split>` (float32 images), `y_<split>` (labels) and `img` (to look at).

    The pictures are added to the artifact together, because one by one, the SDK would copy each of them twice.
    """
    import wandb
    from PIL import Image

    paths = [folder / f"{row:05d}.png" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(data.picture(image)).save(path, compress_level=1)
    artifact.add_dir(str(folder), name=f"media/images/{split}", policy="immutable", skip_cache=True)
    table = wandb.Table(columns=[], data=[])
    table.add_column(f"x_{split}", images)
    table.add_column(f"y_{split}", labels)
    table.add_column("img", [wandb.Image(str(path)) for path in paths])
    artifact.add(table, f"{split}_table")
