"""
Check a dataset's rows before anything is recorded: what a finding is, and the checks for every kind of row.

Each check is a function that yields what is wrong. Its name is the name of the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Dataset, Rows

SHOWN = 10  # how many rows a message names; the rest are counted

Check = Callable[[Dataset, ModuleType], Iterator[str]]  # the use case's data.py says what is allowed


class Finding(NamedTuple):
    """A failed check: its name, and what is wrong in which rows of which split."""

    check: str
    message: str


def run_checks(checks: Iterable[Check], dataset: Dataset, data: ModuleType) -> list[Finding]:
    """Return what these checks find."""
    return [Finding(check.__name__, text) for check in checks for text in check(dataset, data)]


def list_splits(dataset: Dataset) -> Iterator[tuple[str, Rows]]:
    """Return both splits with their names in messages."""
    yield "train", dataset.training
    yield "eval", dataset.evaluation


# --- labels ----------------------------------------------------------------------------------------------------------


def class_names(_dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that CLASSES names at least two classes, each once."""
    names = [str(name) for name in data.CLASSES]
    if len(names) < 2 or len(set(names)) < len(names):
        yield f"CLASSES is {tuple(data.CLASSES)!r}, but must name at least two classes, each once"


def label_dtype(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that labels are int64, one per row."""
    for split, rows in list_splits(dataset):
        if problem := _describe_shape(rows, np.int64):
            yield f"y_{split} {problem}"


def label_known(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that every label is the index of a class."""
    for split, rows in list_splits(dataset):
        if text := name_rows((rows.y < 0) | (rows.y >= len(data.CLASSES))):
            yield f"y_{split} has labels that are not a class in {text}"


def label_present(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that every class is in both splits: a class without rows can be neither learned nor judged."""
    for split, rows in list_splits(dataset):
        known = set(np.unique(rows.y).tolist())
        if missing := [str(name) for label, name in enumerate(data.CLASSES) if label not in known]:
            yield f"y_{split} has no row of class {', '.join(missing)}"


# --- the targets of a regression -------------------------------------------------------------------------------------


def target_dtype(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that targets are float64, one per row."""
    problems = [
        f"y_{split} {problem}" for split, rows in list_splits(dataset) if (problem := _describe_shape(rows, np.float64))
    ]
    # A text in one split makes the targets of both texts: name the splits that have it.
    yield from [problem for problem in problems if " in row" in problem] or problems


def target_finite(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no target is NaN or infinite, and that they are not all the same."""
    for split, rows in list_splits(dataset):
        if text := name_rows(~np.isfinite(rows.y)):
            yield f"y_{split} is NaN or infinite in {text}"
        elif (rows.y == rows.y[0]).all():
            yield f"y_{split} is {rows.y[0]:g} in every row, so a model cannot learn from it, nor be judged by it"


def _describe_shape(rows: Rows, dtype: type) -> str:
    y = np.asarray(rows.y)
    if y.dtype != dtype:
        return f"is {y.dtype}, not {np.dtype(dtype)}{_find_no_number(y)}"
    return "" if y.shape == (len(rows.x),) else f"is {y.shape} for {len(rows.x)} rows"


def _find_no_number(y: npt.NDArray[Any]) -> str:
    """Return `, because of 'n/a?' in row 3` for the first target that is not a number, if they are texts."""
    for row, value in enumerate(y.tolist() if y.ndim == 1 and y.dtype.kind in "OUT" else ()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f", because of {repr(value)[:100]} in row {row}"
    return ""


# --- rows ------------------------------------------------------------------------------------------------------------


def name_rows(wrong: npt.NDArray[np.bool_], first: int = 0) -> str:
    """Format `rows 3, 8 and 40 more`, or nothing if no row is wrong. first: the number of the first row."""
    rows = np.flatnonzero(wrong) + first
    if len(rows) == 0:
        return ""
    shown = ", ".join(map(str, rows[:SHOWN]))
    rest = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{rest}"
