"""
Run small real trainings, one kind for each task, on rows that are generated or come with scikit-learn.

They are trained again on rows drawn with replacement, as with a team's next month of rows: models that are about as
good as each other and answer differently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores

WORDS = {
    "sport": ["match", "goal", "team", "league", "coach", "player", "season", "win", "score", "cup"],
    "money": ["bank", "rate", "market", "share", "price", "loan", "profit", "fund", "tax", "bond"],
    "health": ["doctor", "drug", "trial", "patient", "virus", "diet", "sleep", "heart", "dose", "clinic"],
    "travel": ["flight", "hotel", "beach", "train", "city", "ticket", "island", "tour", "map", "visa"],
}


@dataclass(frozen=True)
class Rows:
    """
    x: an array of numbers, or a list of texts. y: targets. columns: the columns of a table by name, as arrays; the
    first is a category.
    """

    x: Any
    y: Any
    columns: dict[str, Any]

    def take(self, rows: Any) -> Rows:
        """Return the rows with these indices."""
        x = [self.x[row] for row in rows] if isinstance(self.x, list) else self.x[rows]
        return Rows(x, self.y[rows], {name: values[rows] for name, values in self.columns.items()})


@dataclass(frozen=True)
class Task:
    """policies: what a team could ask for. fit: trains on rows and returns a function that answers rows."""

    name: str
    training: Rows
    evaluation: Rows
    policies: tuple[Policy, ...]
    fit: Callable[[Rows], Callable[[Rows], Any]]

    def build_scores(self, candidate: Any, production: Any | None) -> Scores:
        """Return both models' answers to the eval rows, as the gate sees them."""
        first = list(self.evaluation.columns.items())[:1]
        slices = {name: np.unique(values, return_inverse=True)[1] for name, values in first}
        rows = len(self.evaluation.y)
        return Scores(self.evaluation.y, candidate, production, rows, seen=(), task=self.name, slices=slices)


def retrain(task: Task, models: int, seed: int = 0) -> list[Any]:
    """Return the answers of models that learned from training rows drawn with replacement."""
    random = np.random.default_rng(seed)
    count = len(task.training.y)
    draws = (task.training.take(random.integers(0, count, count)) for _ in range(models))
    return [task.fit(rows)(task.evaluation) for rows in draws]


# --- the tasks -------------------------------------------------------------------------------------------------------


@cache
def create_images() -> Task:
    """Return a task of scikit-learn's small digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    rows = Rows(digits.data[order] / 16, digits.target[order].astype(np.int64), {})
    policy = Policy("no_worse", at_least=0.85, margin=0.02)
    return _split("image-classification", rows, 1000, (policy,), _fit_classifier)


@cache
def create_tables() -> Task:
    """Return a task of customers in four regions; one in eight leaves."""
    random = np.random.default_rng(1)
    count = 3000
    region = random.integers(0, 4, count)
    numbers = random.standard_normal((count, 3))
    one_in_eight = -3.1 + 1.6 * numbers[:, 0] - 1.2 * numbers[:, 1] + np.array([0.0, 0.8, -0.6, 0.4])[region]
    y = (random.random(count) < 1 / (1 + np.exp(-one_in_eight))).astype(np.int64)
    names = np.array(["north", "east", "south", "west"])[region]
    rows = Rows(np.column_stack([numbers, np.eye(4)[region]]), y, {"region": names, "visits": numbers[:, 0]})
    limits = {"accuracy": 0.82, "balanced_accuracy": 0.58, "f1": 0.25, "roc_auc": 0.75}
    policies = [Policy("no_worse", floor, 0.02, metric=name) for name, floor in limits.items()]
    of_loss = Policy("no_worse", None, None, at_most=0.35, margin_relative=0.05, metric="log_loss")
    return _split("tabular-classification", rows, 1500, (*policies, of_loss), _fit_classifier)


@cache
def create_texts() -> Task:
    """Return a task of sentences on four subjects that share most of their words."""
    random = np.random.default_rng(2)
    names = sorted(WORDS)
    y = random.choice(4, 2200, p=[0.4, 0.3, 0.2, 0.1])
    everywhere = [word for vocabulary in WORDS.values() for word in vocabulary]
    x = []
    for label in y:
        own = random.choice(WORDS[names[label]], 2).tolist()
        x.append(" ".join(own + random.choice(everywhere, 8).tolist()))
    policies = tuple(
        Policy("no_worse", floor, 0.03, metric=name)
        for name, floor in {"accuracy": 0.55, "balanced_accuracy": 0.45, "f1": 0.45}.items()
    )
    return _split("text-classification", Rows(x, y.astype(np.int64), {}), 1000, policies, _fit_text_classifier)


@cache
def create_numbers() -> Task:
    """Return a task of the delays of three carriers in minutes, with a long tail."""
    random = np.random.default_rng(3)
    count = 3000
    category = random.integers(0, 3, count)
    features = random.standard_normal((count, 3))
    signal = 8 * features[:, 0] - 5 * features[:, 1] + np.array([0.0, 12.0, -6.0])[category]
    y = signal + 5 * random.standard_t(5, count)
    names = np.array(["blue", "green", "red"])[category]
    rows = Rows(np.column_stack([features, np.eye(3)[category]]), y, {"carrier": names, "wind": features[:, 0]})
    share = Policy("no_worse", 0.5, 0.02, metric="within_tolerance", tolerance=5.0)
    limits = (("mean_absolute_error", 6.0, None), ("mean_squared_error", 90.0, None), ("pinball", 3.0, 0.5))
    errors = [
        replace(share, at_least=None, margin=None, at_most=most, margin_relative=0.05, metric=name, quantile=quantile)
        for name, most, quantile in limits
    ]
    return _split("tabular-regression", rows, 1500, (share, *errors), _fit_regressor)


ALL: tuple[Callable[[], Task], ...] = (create_images, create_tables, create_texts, create_numbers)


def _split(name: str, rows: Rows, evaluated: int, policies: tuple[Policy, ...], fit: Any) -> Task:
    indices = np.arange(len(rows.y))
    return Task(name, rows.take(indices[evaluated:]), rows.take(indices[:evaluated]), policies, fit)


def _fit_classifier(rows: Rows) -> Callable[[Rows], Any]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=300).fit(rows.x, rows.y)
    return lambda rows: model.predict_proba(rows.x).astype(np.float32)


def _fit_text_classifier(rows: Rows) -> Callable[[Rows], Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=300)).fit(rows.x, rows.y)
    return lambda rows: model.predict_proba(rows.x).astype(np.float32)


def _fit_regressor(rows: Rows) -> Callable[[Rows], Any]:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(rows.x, rows.y)
    return lambda rows: model.predict(rows.x).astype(np.float64)
