"""Define a logistic regression over words and pairs of words, with more weight on rare ones (TF-IDF)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The types that the model's file may contain in addition to those that skops knows.
TRUSTED: list[str] = []


def build_model(C: float, min_lines: int, seed: int) -> Pipeline:
    """Return an unfitted estimator. C: the inverse of the regularization strength."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(min_df=min_lines, ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=C, max_iter=1000, random_state=seed))
