"""What every use case's `load()` returns: the rows, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """
    Rows for training and for evaluation.

    x_train, x_eval: float32 (N, height, width, channels) in [0, 1]. y_train, y_eval: int64 (N,), class indices.
    """

    x_train: Images
    y_train: Labels
    x_eval: Images
    y_eval: Labels


def seen_in_training(x_eval: npt.NDArray[np.float32], x_train: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which rows of `x_eval` are also in `x_train`, byte for byte: bool (N_eval,)."""
    known = {image.tobytes() for image in x_train}
    return np.fromiter((image.tobytes() in known for image in x_eval), dtype=np.bool_, count=len(x_eval))


@dataclass(frozen=True)
class Source:
    """Where rows come from: a name for people, and the sha256 (hex) of the bytes they are read from."""

    name: str
    sha256: str


class SourceUnavailable(Exception):
    """The rows of a use case cannot be had here; the message says why, `hint` what to set."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class SourceUnreadable(SourceUnavailable):
    """The source is there and is not what it should be. No other use case takes its place, for a person chose it."""


class NotEnoughRows(ValueError):
    """More rows were asked for than the source has; the message says how many there are."""
