"""
Read and write images, and for a use case's `behaviour.py`, change them so that they still show the same thing.

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
    """Return images and labels of a file; arrays.Unreadable says what is wrong with it."""
    stored = arrays.load(path)
    if stored.keys() != {"x", "y"}:
        raise arrays.Unreadable(f"it has {', '.join(sorted(stored)[:10]) or 'nothing'}, not x and y")
    return require_images(stored["x"], stored["y"])


def require_images(x: Any, y: Any) -> Rows:
    """Return the rows if they are images with one label each; otherwise raise arrays.Unreadable."""
    if x.dtype != np.float32 or y.dtype != np.int64 or y.ndim != 1 or x.shape[:1] != y.shape:
        raise arrays.Unreadable(f"the rows are {x.dtype} {x.shape}, and the labels {y.dtype} {y.shape}")
    return Rows(x, y)


def hash_rows(images: Images) -> list[bytes]:
    """Return keys that are equal if and only if the images are the same."""
    return [image.tobytes() for image in images]


# --- for behaviour.py ------------------------------------------------------------------------------------------------


def shifted(images: Images, down: int, right: int) -> Images:
    """Move images by whole pixels. The new pixels are empty."""
    moved = np.zeros_like(images)
    moved[:, down:, right:] = images[:, : images.shape[1] - down, : images.shape[2] - right]
    return moved


def rotated(images: Images, degrees: float) -> Images:
    """Rotate images counter-clockwise around the centre, interpolated between pixels."""
    from scipy import ndimage

    turned: Images = ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="constant")
    bounded: Images = np.clip(turned, 0, 1)
    return bounded


def noisy(images: Images, deviation: float) -> Images:
    """Add normal noise to each pixel, the same each time. deviation: for pixels in [0, 1]."""
    noise = np.random.default_rng(0).normal(0, deviation, images.shape).astype(np.float32)
    bounded: Images = np.clip(images + noise, 0, 1)
    return bounded


def thirds_by_ink(images: Images) -> Labels:
    """Return 0 for the third of the images with the least ink, 2 for the third with the most: int64 (N,)."""
    ink = images.mean(axis=(1, 2, 3))
    groups: Labels = np.digitize(ink, np.quantile(ink, [1 / 3, 2 / 3])).astype(np.int64)
    return groups
