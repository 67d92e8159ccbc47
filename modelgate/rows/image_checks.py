"""Check images before anything is recorded. A refusal names its check."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import numpy.typing as npt

from modelgate.rows import images
from modelgate.rows.checks import (
    Finding,
    class_names,
    findings,
    label_dtype,
    label_known,
    label_present,
    named,
    splits,
)
from modelgate.rows.dataset import Dataset, seen_in_training


def violations(dataset: Dataset, data: ModuleType, *, may_repeat: bool = False) -> list[Finding]:
    """
    Return everything that is wrong with the rows; empty if they may be recorded.

    data: has the CLASSES, and the SHAPE (height, width, channels) of one image. may_repeat: whether an eval image may
    equal a training image.
    """
    # Values can be checked only in arrays of the right kind.
    return findings((class_names, row_shape, row_dtype, label_dtype), dataset, data) or findings(
        (row_nan, row_range, label_known, label_present, *(() if may_repeat else (row_in_both,))), dataset, data
    )


def row_shape(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that images are (N, *SHAPE), with N of at least 1."""
    for split, rows in splits(dataset):
        if rows.x.shape[1:] != data.SHAPE or len(rows.x) == 0:
            yield f"x_{split} is {rows.x.shape}, not (N, {', '.join(map(str, data.SHAPE))}) with N of at least 1"


def row_dtype(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that images are float32."""
    for split, rows in splits(dataset):
        if rows.x.dtype != np.float32:
            yield f"x_{split} is {rows.x.dtype}, not float32"


def row_nan(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no pixel is NaN or infinite."""
    for split, rows in splits(dataset):
        if text := named(_any_pixel(~np.isfinite(rows.x))):
            yield f"x_{split} has NaN or infinite pixels in {text}"


def row_range(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that every pixel is in [0, 1]."""
    for split, rows in splits(dataset):
        with np.errstate(invalid="ignore"):
            outside = _any_pixel((rows.x < 0) | (rows.x > 1))
        if text := named(outside):
            yield f"x_{split} has pixels outside [0, 1] in {text}"


def row_in_both(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no image is in both splits: a model is not judged on what it has seen."""
    if text := named(seen_in_training(dataset.x_eval, dataset.x_train, images.keys)):
        yield f"x_eval repeats images of x_train in {text}"


def _any_pixel(wrong: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which images have a wrong pixel: bool (N,)."""
    return np.fromiter((image.any() for image in wrong), dtype=np.bool_, count=len(wrong))
