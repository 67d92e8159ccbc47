"""
Find eval rows that are nearly a training row, such as a copy with small changes.

Images  at most `IMAGE_DISTANCE` apart: the root of the mean squared difference of their values in [0, 1]. Faint
        noise and a changed pixel are within it; another picture of the same thing is not, and one that was moved or
        rotated is not found.
Tables  the same, except for digits of numbers after the first three significant ones.
Texts   the same words in the same order, ignoring case, punctuation and spaces.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Images

if TYPE_CHECKING:
    import pandas as pd

Marks = npt.NDArray[np.bool_]

IMAGE_DISTANCE = 0.02  # five of 255 grey levels
_SIDE = 16  # images are first compared at most this wide and high, which misses no near pair
_BLOCK = 256  # eval rows at a time: 60,000 training rows take 60 MB
_EXACT = 1024  # pairs at a time that are compared in full


def find(x_eval: Any, x_train: Any) -> Marks:
    """Return for each eval row whether a training row is near it. Works for every kind; rows of two kinds are never
    near.
    """
    if type(x_eval) is not type(x_train):
        return np.zeros(len(x_eval), bool)
    if isinstance(x_eval, np.ndarray):
        return find_near_images(x_eval, x_train)
    return find_near_texts(x_eval, x_train) if isinstance(x_eval, list) else find_near_tables(x_eval, x_train)


def find_near_texts(x_eval: list[str], x_train: list[str]) -> Marks:
    """Return for each eval text whether a training text has the same words."""
    known = set(map(_normalize, x_train))
    return np.fromiter((_normalize(text) in known for text in x_eval), bool, len(x_eval))


def _normalize(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def find_near_tables(x_eval: pd.DataFrame, x_train: pd.DataFrame) -> Marks:
    """Return for each eval row whether a training row is the same to three significant digits."""
    if list(x_eval.columns) != list(x_train.columns):
        return np.zeros(len(x_eval), bool)
    return np.isin(_hash_rounded(x_eval), _hash_rounded(x_train))


def _hash_rounded(frame: pd.DataFrame) -> Any:
    import pandas as pd

    columns = {
        name: _round_significant(column.to_numpy(float)) if pd.api.types.is_float_dtype(column.dtype) else column
        for name, column in frame.items()
    }
    return pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()


def _round_significant(values: Any) -> Any:
    """Return keys that are equal for numbers with the same first three digits: float64."""
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.where(values == 0, 0, np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(values), np.round(values * 10.0 ** (2 - powers)) + powers / 1000, values)


def find_near_images(x_eval: Images, x_train: Images) -> Marks:
    """Return for each eval image whether a training image is near it. Both float32 (N, height, width, channels)."""
    near = np.zeros(len(x_eval), bool)
    if x_eval.shape[1:] != x_train.shape[1:] or not len(x_train) or not len(x_eval):
        return near
    small_eval, small_train = _shrink(x_eval), _shrink(x_train)
    lengths = np.einsum("ij,ij->i", small_train, small_train)
    limit = np.float32(IMAGE_DISTANCE**2 * x_eval[0].size)
    for start in range(0, len(x_eval), _BLOCK):
        block = small_eval[start : start + _BLOCK]
        # |a - b|^2 = |a|^2 + |b|^2 - 2ab; the error of float32 is far below the slack.
        squares = np.einsum("ij,ij->i", block, block)[:, None] + lengths - 2 * (block @ small_train.T)
        slack = 1e-5 * (1 + lengths.max())
        for row in np.flatnonzero((squares <= limit + slack).any(axis=1)):
            pairs = np.flatnonzero(squares[row] <= limit + slack)
            near[start + row] = _has_near(x_eval[start + row], x_train, pairs[np.argsort(squares[row][pairs])], limit)
    return near


def _has_near(image: Images, x_train: Images, pairs: npt.NDArray[np.int64], limit: np.float32) -> bool:
    """Return whether one of these training images is within the limit, testing the likeliest first."""
    for start in range(0, len(pairs), _EXACT):
        difference = (x_train[pairs[start : start + _EXACT]] - image).reshape(-1, image.size)
        if (np.einsum("ij,ij->i", difference, difference) <= limit).any():
            return True
    return False


def _shrink(images: Images) -> Images:
    """
    Return the images as averages of square blocks, one vector per image. float32 (N, values).

    They are scaled by the root of a block's pixels, so two of them are never further apart than the images themselves.
    """
    _, height, width, channels = images.shape
    block = max(1, -(-max(height, width) // _SIDE))
    rows, columns = -(-height // block), -(-width // block)
    padded = np.pad(images, ((0, 0), (0, rows * block - height), (0, columns * block - width), (0, 0)))
    sums = padded.reshape(len(images), rows, block, columns, block, channels).sum(axis=(2, 4), dtype=np.float32)
    return np.ascontiguousarray((sums / block).reshape(len(images), -1), dtype=np.float32)
