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
    label_dtype,
    label_known,
    label_present,
    list_splits,
    name_rows,
    run_checks,
)
from modelgate.rows.dataset import Dataset, is_in_training


def find_violations(dataset: Dataset, data: ModuleType, *, may_repeat: bool = False) -> list[Finding]:
    """
    Return everything that is wrong with the rows; empty if they may be recorded.

    data: has the CLASSES, and the SHAPE (height, width, channels) of one image. may_repeat: whether an eval image may
    equal a training image.
    """
    # Values can be checked only in arrays of the right kind.
    return run_checks((class_names, row_shape, row_dtype, label_dtype), dataset, data) or run_checks(
        (row_nan, row_range, label_known, label_present, *(() if may_repeat else (row_in_both,))), dataset, data
    )


def row_shape(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that images are (N, *SHAPE), with N of at least 1."""
    for split, rows in list_splits(dataset):
        if rows.x.shape[1:] != data.SHAPE or len(rows.x) == 0:
            yield f"x_{split} is {rows.x.shape}, not (N, {', '.join(map(str, data.SHAPE))}) with N of at least 1"


def row_dtype(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that images are float32."""
    for split, rows in list_splits(dataset):
        if rows.x.dtype != np.float32:
            yield f"x_{split} is {rows.x.dtype}, not float32"


def row_nan(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no pixel is NaN or infinite."""
    for split, rows in list_splits(dataset):
        if text := name_rows(_has_wrong_pixel(~np.isfinite(rows.x))):
            yield f"x_{split} has NaN or infinite pixels in {text}"


def row_range(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that every pixel is in [0, 1]."""
    for split, rows in list_splits(dataset):
        with np.errstate(invalid="ignore"):
            outside = _has_wrong_pixel((rows.x < 0) | (rows.x > 1))
        if text := name_rows(outside):
            yield f"x_{split} has pixels outside [0, 1] in {text}"


def row_in_both(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no image is in both splits: a model is not judged on what it has seen."""
    if text := name_rows(is_in_training(dataset.x_eval, dataset.x_train, images.hash_rows)):
        yield f"x_eval repeats images of x_train in {text}"


def _has_wrong_pixel(wrong: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which images have a wrong pixel: bool (N,)."""
    return np.fromiter((image.any() for image in wrong), dtype=np.bool_, count=len(wrong))
