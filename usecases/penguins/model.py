"""Define a logistic regression on scaled measurements and one-hot categories; missing values are filled in first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The types that the model's file may contain in addition to scikit-learn's own.
TRUSTED = ["numpy.dtype"]
MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
CATEGORIES = ["island", "sex"]


def build_model(C: float, seed: int) -> Pipeline:
    """Return an unfitted estimator. C: the inverse of the regularization strength."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    prepared = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), MEASURES),
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
    )
    return make_pipeline(prepared, LogisticRegression(C=C, max_iter=1000, random_state=seed))
