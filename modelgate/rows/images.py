"""
Images: the file that holds them, and, for the use cases' `behaviour.py`, changes that leave what they show as it is.

An image is float32 (height, width, channels) in [0, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelgate.rows.dataset import Images, Labels, Rows
from modelgate.tracking import arrays

FILES = ("training.npz", "eval.npz")


# --- the file --------------------------------------------------------------------------------------------------------


def write(rows: Rows, path: Path) -> None:
    """Write images and labels so that the same rows give the same bytes."""
    np.savez_compressed(path, allow_pickle=False, x=rows.x, y=rows.y)


def read(path: Path) -> Rows:
    """Images and labels of a file; arrays.Unreadable says what is wrong with it."""
    stored = arrays.load(path)
    if stored.keys() != {"x", "y"}:
        raise arrays.Unreadable(f"it has {', '.join(sorted(stored)[:10]) or 'nothing'}, and not x and y")
    return require_images(stored["x"], stored["y"])


def require_images(x: Any, y: Any) -> Rows:
    """The rows, if they are images with one label each; else arrays.Unreadable."""
    if x.dtype != np.float32 or y.dtype != np.int64 or y.ndim != 1 or x.shape[:1] != y.shape:
        raise arrays.Unreadable(f"the rows are {x.dtype} {x.shape}, and the labels {y.dtype} {y.shape}")
    return Rows(x, y)


def keys(images: Images) -> list[bytes]:
    """What two images share if and only if they are the same."""
    return [image.tobytes() for image in images]


# --- for behaviour.py ------------------------------------------------------------------------------------------------


def shifted(images: Images, down: int, right: int) -> Images:
    """Moved by whole pixels, with empty ones where nothing was."""
    moved = np.zeros_like(images)
    moved[:, down:, right:] = images[:, : images.shape[1] - down, : images.shape[2] - right]
    return moved


def rotated(images: Images, degrees: float) -> Images:
    """Turned counter-clockwise around the middle, interpolated between pixels."""
    from scipy import ndimage

    turned: Images = ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="constant")
    bounded: Images = np.clip(turned, 0, 1)
    return bounded


def noisy(images: Images, deviation: float) -> Images:
    """With normal noise on each pixel, the same noise each time. deviation: of pixels in [0, 1]."""
    noise = np.random.default_rng(0).normal(0, deviation, images.shape).astype(np.float32)
    bounded: Images = np.clip(images + noise, 0, 1)
    return bounded


def thirds_by_ink(images: Images) -> Labels:
    """0 for the third of the images with the least ink, 2 for the third with the most: int64 (N,)."""
    ink = images.mean(axis=(1, 2, 3))
    groups: Labels = np.digitize(ink, np.quantile(ink, [1 / 3, 2 / 3])).astype(np.int64)
    return groups
