"""Define the model: trees, each of which learns what the previous ones got wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingRegressor

# The types that the model's file may contain in addition to scikit-learn's own. If one is missing, train names it.
TRUSTED = ["numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]


def build_model(iterations: int, learning_rate: float, seed: int) -> HistGradientBoostingRegressor:
    """Return an unfitted estimator. It gets every key of [train]."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=iterations, learning_rate=learning_rate, min_samples_leaf=10, max_leaf_nodes=8, random_state=seed
    )
