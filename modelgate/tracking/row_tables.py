"""The rows of a split as a W&B Table, to look at."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wandb import Artifact


def add(artifact: Artifact, split: str, rows: Any, shown: Any, data: ModuleType, folder: Path) -> None:
    """
    Add the table `<split>_table`. rows: their x and y. shown: the indices of those that it has, int64.

    folder: does not exist yet, and stays until the artifact is logged. data: the use case's data.py.
    """
    folder.mkdir()
    _add_images(artifact, split, rows.x[shown], rows.y[shown], data, folder)


def _add_images(artifact: Artifact, split: str, images: Any, labels: Any, data: ModuleType, folder: Path) -> None:
    """
    The walkthrough's table: columns `x_<split>` (float32 images), `y_<split>` (labels) and `img` (to look at).

    The pictures are added to the artifact together: one by one, the SDK would copy each of them twice.
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
