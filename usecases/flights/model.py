"""Define boosted trees, each of which learns what the previous ones got wrong; categories are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The types that the model's file may contain in addition to those that skops knows.
TRUSTED = ["numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
CATEGORIES = ["carrier", "origin", "dest"]


def build_model(iterations: int, learning_rate: float, max_leaf_nodes: int, seed: int) -> Pipeline:
    """Return an unfitted estimator."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    numbered = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = HistGradientBoostingRegressor(
        max_iter=iterations, learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes, random_state=seed
    )
    return make_pipeline(make_column_transformer((numbered, CATEGORIES), remainder="passthrough"), trees)
