"""Define the model: fill in missing values, scale, and separate the classes with a logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The types that the model's file may contain in addition to scikit-learn's own. If one is missing, train names it.
TRUSTED = ["numpy.dtype"]


def build_model(C: float, seed: int) -> Pipeline:
    """Return an unfitted estimator. It gets every key of [train]."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=C, max_iter=1000, random_state=seed)
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), model)
