"""Compute numbers from answers: metrics, losses per row, confusion, calibration, and where two models differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from modelgate.gate.policy import Policy
from modelgate.gate.scores import Answers, Losses, Marks, Scores, Targets

_SMALLEST = 1e-7  # a probability of 0 would make the loss infinite; Keras clips at the same value
CALIBRATION_BINS = 10

# How a metric is computed from the rows. This decides the method of its bound (`modelgate.gate.comparison`).
SHARE = "the share of rows that are right"
COUNTS = "a function of how often each class gets each answer"
RANKING = "how well the rows of one class are ranked above those of the other"
MEAN = "the mean of one number per row"


@dataclass(frozen=True)
class Metric:
    """
    A number that says how good answers are.

    made_of: SHARE, COUNTS, RANKING or MEAN. error: less is better. fraction: it is between 0 and 1, and a difference is
    shown in points.
    """

    name: str
    made_of: str
    regression: bool = False
    error: bool = False

    @property
    def fraction(self) -> bool:
        return self.made_of != MEAN

    @property
    def title(self) -> str:
        """Return its name for people."""
        names = {"roc_auc": "ROC AUC", "f1": "F1", "within_tolerance": "share within tolerance"}
        return names.get(self.name, self.name.replace("_", " "))


_ALL = (
    Metric("accuracy", SHARE),
    Metric("balanced_accuracy", COUNTS),
    Metric("f1", COUNTS),
    Metric("roc_auc", RANKING),
    Metric("log_loss", MEAN, error=True),
    Metric("within_tolerance", SHARE, regression=True),
    Metric("mean_absolute_error", MEAN, regression=True, error=True),
    Metric("mean_squared_error", MEAN, regression=True, error=True),
    Metric("pinball", MEAN, regression=True, error=True),
)
METRICS = {metric.name: metric for metric in _ALL}


def get_metric(policy: Policy) -> Metric:
    """Return the policy's metric. A use case's own metric is a mean, and its limit says whether less is better."""
    return METRICS.get(policy.metric) or Metric(policy.metric, MEAN, error=policy.at_most is not None)


def get_title(name: str) -> str:
    """Return the name of a metric for people, also for a use case's own metric."""
    return Metric(name, MEAN).title


def get_value(values: Mapping[str, Any], name: str) -> float | None:
    """Return a metric from the `metrics` of a model in evidence, which anyone may have written; None if it has no such
    number.
    """
    other = values.get("other")
    known = {"log_loss": "loss"}.get(name, name)
    value = other[known] if isinstance(other, Mapping) and known in other else values.get(known)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


# --- of one model ----------------------------------------------------------------------------------------------------


def mark_correct(targets: Targets, answers: Answers, tolerance: float | None = None) -> Marks:
    """Return which rows have the right answer: bool (N,). With a tolerance, the answers are numbers."""
    if tolerance is not None:
        near: Marks = np.abs(answers - targets) <= tolerance
        return near
    correct: Marks = pick_classes(answers) == targets
    return correct


def pick_classes(answers: Answers) -> npt.NDArray[np.int64]:
    """Return the class that each row gets: for probabilities, the likeliest; int64 (N,)."""
    return answers.argmax(axis=1) if answers.ndim == 2 else answers.astype(np.int64)


def compute_losses(targets: Targets, answers: Answers, policy: Policy) -> Losses:
    """Return the loss of each row by the policy's metric, or 1 for a mistake if the metric is not a mean. float64
    (N,).
    """
    if loss := _LOSSES.get(policy.metric):
        return loss(targets, answers, policy)
    return (~mark_correct(targets, answers, policy.tolerance)).astype(np.float64)


def _log_loss(targets: Targets, answers: Answers, _policy: Policy) -> Losses:
    of_truth = answers[np.arange(len(targets)), targets].astype(np.float64)
    nats: Losses = -np.log(np.clip(of_truth, _SMALLEST, 1))
    return nats


def _compute_absolute_error(targets: Targets, answers: Answers, _policy: Policy) -> Losses:
    off: Losses = np.abs(answers - targets)
    return off


def _compute_squared_error(targets: Targets, answers: Answers, _policy: Policy) -> Losses:
    squared: Losses = (answers - targets) ** 2
    return squared


def _compute_pinball(targets: Targets, answers: Answers, policy: Policy) -> Losses:
    quantile = 0.5 if policy.quantile is None else policy.quantile
    short = targets - answers
    tilted: Losses = np.maximum(quantile * short, (quantile - 1) * short)
    return tilted


_LOSSES: dict[str, Callable[[Targets, Answers, Policy], Losses]] = {
    "log_loss": _log_loss,
    "mean_absolute_error": _compute_absolute_error,
    "mean_squared_error": _compute_squared_error,
    "pinball": _compute_pinball,
}


def compute_value(targets: Targets, answers: Answers, policy: Policy, own: Losses | None = None) -> float:
    """Return a model's value of the policy's metric. own: the values of the rows, if the metric is the use case's
    own.
    """
    metric = get_metric(policy)
    if metric.made_of == COUNTS:
        return float(get_count_metric(metric.name)(count_confusion(targets, answers)))
    if metric.made_of == RANKING:
        return compute_area(targets, answers)
    if metric.made_of == SHARE:
        return float(mark_correct(targets, answers, policy.tolerance).mean())
    return float((compute_losses(targets, answers, policy) if own is None else own).mean())


def compute_accuracy(targets: Targets, answers: Answers) -> float:
    """Return the fraction of right answers, 0 to 1."""
    return float(mark_correct(targets, answers).mean())


def compute_loss(targets: Targets, answers: Answers) -> float:
    """Return the cross-entropy, in nats per row."""
    return float(_log_loss(targets, answers, Policy("no_worse", None, None)).mean())


# --- functions of all rows -------------------------------------------------------------------------------------------


def count_confusion(targets: Targets, answers: Answers) -> npt.NDArray[np.int64]:
    """Count how often a row of class i was called j: int64 (classes, classes)."""
    classes = answers.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (targets, pick_classes(answers)), 1)
    return counts


def get_count_metric(name: str) -> Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]:
    """Return the metric as a function of confusion matrices (..., classes, classes)."""
    return {"balanced_accuracy": compute_balanced_accuracy, "f1": compute_f1}[name]


def compute_balanced_accuracy(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the mean, over the classes that have rows, of the fraction of right answers."""
    rows = counts.sum(axis=-1)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    recall = np.divide(right, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
    mean: npt.NDArray[np.float64] = np.nanmean(recall, axis=-1)
    return mean


def compute_f1(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return, for two classes, the F1 of the second; for more, the mean over the classes that have rows."""
    rows, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    both = rows + predicted
    each = np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0)
    if counts.shape[-1] == 2:
        second: npt.NDArray[np.float64] = each[..., 1]
        return second
    mean: npt.NDArray[np.float64] = np.nanmean(np.where(rows > 0, each, np.nan), axis=-1)
    return mean


def compute_area(targets: Targets, answers: Answers) -> float:
    """Return the area under the ROC curve of the second of two classes; NaN without rows of both, or with more
    classes.
    """
    if answers.shape[1] != 2:
        return float("nan")
    positive, negative = compute_placements(targets, answers)
    return float(positive.mean()) if len(positive) and len(negative) else float("nan")


def compute_placements(targets: Targets, answers: Answers) -> tuple[Losses, Losses]:
    """
    Return, for each row of the second class, the share of the first that it ranks above (ties count half); and the
    reverse.

    These are DeLong's structural components; the mean of either is the area.
    """
    ranked = answers[:, 1].astype(np.float64)
    positive, negative = ranked[targets == 1], ranked[targets == 0]
    return _share_below(positive, negative), 1 - _share_below(negative, positive)


def _share_below(rows: Losses, others: Losses) -> Losses:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, rows, "left") + np.searchsorted(ordered, rows, "right")
    share: Losses = below / (2 * max(1, len(others)))
    return share


def count_mistakes(targets: Targets, answers: Answers) -> list[tuple[int, int, int]]:
    """Return which class was mistaken for which, the most frequent first: truth, answer, rows."""
    counts = count_confusion(targets, answers)
    np.fill_diagonal(counts, 0)
    pairs = [(truth, answer, int(counts[truth, answer])) for truth, answer in np.argwhere(counts).tolist()]
    return sorted(pairs, key=lambda pair: -pair[2])


def bin_reliability(targets: Targets, answers: Answers) -> list[tuple[float, int, float, float]]:
    """Return, for each bin of confidence that has rows: its upper edge, rows, mean confidence, fraction right."""
    confidence = answers.max(axis=1).astype(np.float64)
    answered = mark_correct(targets, answers)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int), 1, CALIBRATION_BINS)
    return [
        (number / CALIBRATION_BINS, int(inside.sum()), float(confidence[inside].mean()), float(answered[inside].mean()))
        for number in range(1, CALIBRATION_BINS + 1)
        if (inside := bins == number).any()
    ]


def compute_calibration_error(targets: Targets, answers: Answers) -> float:
    """Return the expected calibration error, a fraction: the mean gap between confidence and accuracy, weighted by
    rows.
    """
    table = bin_reliability(targets, answers)
    return sum(rows * abs(confidence - answered) for _, rows, confidence, answered in table) / len(targets)


# --- of two models ---------------------------------------------------------------------------------------------------


def mark_both_correct(scores: Scores, policy: Policy) -> tuple[Marks, Marks | None]:
    """Return which rows the candidate and production get right; None if nothing is in production."""
    tolerance = policy.tolerance if scores.is_regression else None
    theirs = None if scores.production is None else mark_correct(scores.targets, scores.production, tolerance)
    return mark_correct(scores.targets, scores.candidate, tolerance), theirs


def count_regressed_and_improved(production_correct: Marks, candidate_correct: Marks) -> tuple[int, int]:
    """Count the rows that only production gets right, and those that only the candidate gets right."""
    return int((production_correct & ~candidate_correct).sum()), int((~production_correct & candidate_correct).sum())
