"""
Define how a model for these digits should behave: the same answer under small changes, and no worse in any group of
rows.

evaluate gets the answers of both models, and the gate compares them.
"""

from __future__ import annotations

from modelgate.rows.dataset import Images, Labels
from modelgate.rows.images import noisy, rotated, shifted, thirds_by_ink


def variations(images: Images) -> dict[str, Images]:
    """Return changed images that still show the same digit; each float32 (N, 28, 28, 1) in [0, 1]."""
    return {
        "shift right by a pixel": shifted(images, 0, 1),
        "shift down by a pixel": shifted(images, 1, 0),
        "rotation by 10 degrees": rotated(images, 10),
        "noise of 0.1": noisy(images, 0.1),
    }


def slices(images: Images, _labels: Labels) -> dict[str, Labels]:
    """Return groups of rows that must not be worse than with production: int64 (N,)."""
    return {"ink": thirds_by_ink(images)}
