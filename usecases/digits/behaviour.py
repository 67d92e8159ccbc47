"""
Define how a model for these digits should behave: the same answer under small changes, and no worse in any group of
rows.

evaluate gets the answers of both models, and the gate compares them. There is no shift: one pixel is an eighth of the
image.
"""

from __future__ import annotations

from modelgate.rows.dataset import Images, Labels
from modelgate.rows.images import noisy, rotated, thirds_by_ink


def variations(images: Images) -> dict[str, Images]:
    """Return changed images that still show the same digit; each float32 (N, 8, 8, 1) in [0, 1]."""
    return {"rotation by 5 degrees": rotated(images, 5), "noise of 0.05": noisy(images, 0.05)}


def slices(images: Images, _labels: Labels) -> dict[str, Labels]:
    """Return groups of rows that must not be worse than with production: int64 (N,)."""
    return {"ink": thirds_by_ink(images)}
