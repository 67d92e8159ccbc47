"""Define what every use case's `load()` returns: rows to train on, and rows to evaluate on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """The rows of one split, and the target of each: x and y as in `Dataset`."""

    x: Any
    y: Any


@dataclass(frozen=True)
class Dataset:
    """
    Rows for training and for evaluation, of the kind that fits the use case's task.

    x_train, x_eval: images float32 (N, height, width, channels) in [0, 1]; tables a pandas DataFrame of N rows; texts a
    list of N str. y_train, y_eval: int64 (N,), indices into CLASSES; for a regression float64 (N,). A list, or a pandas
    Series with any index, becomes such an array.
    """

    x_train: Any
    y_train: Any
    x_eval: Any
    y_eval: Any

    def __post_init__(self) -> None:
        for name in ("y_train", "y_eval"):
            object.__setattr__(self, name, np.asarray(getattr(self, name)))

    @property
    def training(self) -> Rows:
        """Return the rows that a model learns from."""
        return Rows(self.x_train, self.y_train)

    @property
    def evaluation(self) -> Rows:
        """Return the rows that a model is judged on."""
        return Rows(self.x_eval, self.y_eval)


def is_in_training(x_eval: Any, x_train: Any, keys: Callable[[Any], Sequence[Any]]) -> npt.NDArray[np.bool_]:
    """Return which rows of `x_eval` are also in `x_train`: bool (N_eval,). keys: equal for two rows that are the
    same.
    """
    known = set(keys(x_train))
    return np.fromiter((key in known for key in keys(x_eval)), dtype=np.bool_, count=len(x_eval))


@dataclass(frozen=True)
class Source:
    """Where rows come from: a name for people, and the sha256 (hex) of the bytes that they are read from."""

    name: str
    sha256: str


class SourceUnavailable(Exception):
    """The rows of a use case are not available. The message says why, and `hint` what to set."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class SourceUnreadable(SourceUnavailable):
    """The source exists but is not what it should be. No other use case replaces it, because a person chose it."""


class NotEnoughRows(ValueError):
    """The source has fewer rows than were asked for. The message says how many there are."""
