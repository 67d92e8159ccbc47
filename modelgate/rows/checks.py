"""
What must hold of a dataset's rows before anything of them is recorded.

Each check is a function that yields what is wrong; its name is the name that a refusal carries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Dataset, seen_in_training

SHOWN = 10  # how many rows a message names; the rest is counted


class Finding(NamedTuple):
    """One violated check: its name, and what is wrong in which rows of which array."""

    check: str
    message: str


def violations(dataset: Dataset, classes: Sequence[int], shape: tuple[int, ...]) -> list[Finding]:
    """
    Everything that is wrong with the rows; empty when they may be recorded.

    classes: the labels there are. shape: (height, width, channels) of one image.
    """
    found: list[Finding] = []
    for check in (row_shape, row_dtype, label_dtype):
        found += [Finding(check.__name__, text) for text in check(dataset, shape)]
    if found:  # the checks below read values, which makes sense on arrays of the right kind only
        return found
    for value_check in VALUE_CHECKS:
        found += [Finding(value_check.__name__, text) for text in value_check(dataset, classes)]
    return found


def row_shape(dataset: Dataset, shape: tuple[int, ...]) -> Iterator[str]:
    """Images are (N, *shape), labels (N,), as many of one as of the other, and at least one."""
    for split, images, labels in _splits(dataset):
        if images.shape[1:] != shape or len(images) == 0:
            yield f"x_{split} is {images.shape}, not (N, {', '.join(map(str, shape))}) with N of at least 1"
        if labels.shape != images.shape[:1]:
            yield f"y_{split} is {labels.shape} for {len(images)} images"


def row_dtype(dataset: Dataset, _shape: tuple[int, ...]) -> Iterator[str]:
    """Images are float32."""
    for split, images, _ in _splits(dataset):
        if images.dtype != np.float32:
            yield f"x_{split} is {images.dtype}, not float32"


def label_dtype(dataset: Dataset, _shape: tuple[int, ...]) -> Iterator[str]:
    """Labels are int64."""
    for split, _, labels in _splits(dataset):
        if labels.dtype != np.int64:
            yield f"y_{split} is {labels.dtype}, not int64"


def row_nan(dataset: Dataset, _classes: Sequence[int]) -> Iterator[str]:
    """No pixel is NaN or infinite."""
    for split, images, _ in _splits(dataset):
        if text := _named(_any_pixel(~np.isfinite(images))):
            yield f"x_{split} has NaN or infinite pixels in {text}"


def row_range(dataset: Dataset, _classes: Sequence[int]) -> Iterator[str]:
    """Every pixel is in [0, 1]."""
    for split, images, _ in _splits(dataset):
        with np.errstate(invalid="ignore"):
            outside = _any_pixel((images < 0) | (images > 1))
        if text := _named(outside):
            yield f"x_{split} has pixels outside [0, 1] in {text}"


def label_known(dataset: Dataset, classes: Sequence[int]) -> Iterator[str]:
    """Every label is one of the classes."""
    for split, _, labels in _splits(dataset):
        if text := _named(~np.isin(labels, classes)):
            yield f"y_{split} has labels that are no class in {text}"


def label_present(dataset: Dataset, classes: Sequence[int]) -> Iterator[str]:
    """Every class is in both splits: a class without rows can be neither learned nor judged."""
    for split, _, labels in _splits(dataset):
        if missing := [label for label in classes if label not in labels]:
            yield f"y_{split} has no row of class {', '.join(map(str, missing))}"


def row_in_both(dataset: Dataset, _classes: Sequence[int]) -> Iterator[str]:
    """No image is in both splits: a model is not judged on what it has seen."""
    if text := _named(seen_in_training(dataset.x_eval, dataset.x_train)):
        yield f"x_eval repeats images of x_train in {text}"


VALUE_CHECKS: tuple[Callable[[Dataset, Sequence[int]], Iterator[str]], ...] = (
    row_nan,
    row_range,
    label_known,
    label_present,
    row_in_both,
)


def _splits(
    dataset: Dataset,
) -> Iterator[tuple[str, npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    yield "train", dataset.x_train, dataset.y_train
    yield "eval", dataset.x_eval, dataset.y_eval


def _any_pixel(wrong: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which images have a wrong pixel: bool (N,)."""
    return np.fromiter((image.any() for image in wrong), dtype=np.bool_, count=len(wrong))


def _named(wrong: npt.NDArray[np.bool_]) -> str:
    """`rows 3, 8 and 40 more`, or nothing when none is wrong."""
    rows = np.flatnonzero(wrong)
    if len(rows) == 0:
        return ""
    shown = ", ".join(map(str, rows[:SHOWN]))
    rest = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{rest}"
