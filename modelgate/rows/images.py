"""Changes to images that leave what they show as it is, and groups of images, for the use cases' `behaviour.py`."""

from __future__ import annotations

import numpy as np

from modelgate.rows.dataset import Images, Labels


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
