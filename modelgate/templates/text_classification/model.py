"""Define the model: count words, with more weight on rare ones (TF-IDF), and separate the classes with a logistic
regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# The types that the model's file may contain in addition to scikit-learn's own. If one is missing, train names it.
TRUSTED: list[str] = []


def build_model(C: float, min_words: int, seed: int) -> Pipeline:
    """Return an unfitted estimator. It gets every key of [train]."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(min_df=min_words, ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(vectorizer, LogisticRegression(C=C, max_iter=1000, random_state=seed))
