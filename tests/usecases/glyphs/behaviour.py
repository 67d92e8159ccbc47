"""
How a model for these digits should behave: the same answer after small changes, and no group of rows gets worse.

evaluate asks both models; the gate compares. A shift is not among the changes: one pixel is an eighth of the image.
"""

from __future__ import annotations

from modelgate.rows.dataset import Images, Labels
from modelgate.rows.images import noisy, rotated, thirds_by_ink


def variations(images: Images) -> dict[str, Images]:
    """The images changed in ways that leave the digit as it is; each float32 (N, 8, 8, 1) in [0, 1]."""
    return {"rotation by 5 degrees": rotated(images, 5), "noise of 0.05": noisy(images, 0.05)}


def slices(images: Images, _labels: Labels) -> dict[str, Labels]:
    """Groups of rows that must not be worse than under production: int64 (N,)."""
    return {"ink": thirds_by_ink(images)}
