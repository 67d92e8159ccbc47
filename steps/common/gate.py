"""
May this model replace the one in production? Pure functions over per-row results; no W&B, no files.

A rule looks at the scores and says passed or not, with its reason. A verdict is `pass` only when every blocking rule
passed: no flag, default or missing number can turn a refusal into a pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv

POLICIES = ("no_worse", "rollback")
CONFIDENCE = 0.95
_Z_95 = 1.6448536269514722  # the 95 % quantile of the normal distribution, for one-sided bounds
_SMALLEST = 1e-7  # a probability of 0 would make the loss infinite; Keras clips at the same value

Probabilities = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Policy:
    """What a candidate has to reach. floor_accuracy, margin: fractions."""

    name: str
    floor_accuracy: float
    margin: float


@dataclass(frozen=True)
class Scores:
    """
    What the models said about each row of the eval set.

    labels: int64 (N,), the truth. candidate, production: float32 (N, classes), probabilities; production is None when
    there is none yet. rows: how many rows the eval set has. seen: indices of eval rows that are also training rows.
    """

    labels: npt.NDArray[np.int64]
    candidate: Probabilities
    production: Probabilities | None
    rows: int
    seen: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """What one rule said. blocking: whether a `passed` of False refuses the model."""

    rule: str
    passed: bool
    blocking: bool
    reason: str


# --- measures --------------------------------------------------------------------------------------------------------


def right(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> npt.NDArray[np.bool_]:
    """Which rows are answered rightly: bool (N,)."""
    answer: npt.NDArray[np.bool_] = probabilities.argmax(axis=1) == labels
    return answer


def accuracy(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    """The fraction of rows answered rightly, 0 to 1."""
    return float(right(labels, probabilities).mean())


def loss(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> float:
    """The cross-entropy, in nats per row."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1)).mean())


def confusion(labels: npt.NDArray[np.int64], probabilities: Probabilities) -> npt.NDArray[np.int64]:
    """How often a row of class i was called j: int64 (classes, classes)."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def lower_bound(successes: int, rows: int) -> float:
    """The one-sided 95 % lower bound of a fraction (Clopper and Pearson, 1934)."""
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, rows - successes + 1, 1 - CONFIDENCE))


def drop_lower_bound(production_right: npt.NDArray[np.bool_], candidate_right: npt.NDArray[np.bool_]) -> float:
    """
    The one-sided 95 % lower bound of accuracy(production) - accuracy(candidate), on the same rows.

    With b rows that only production has right and c that only the candidate has right, of n: the difference is
    (b - c) / n with standard error sqrt(b + c - (b - c)² / n) / n (Agresti, Categorical Data Analysis, 11.1.1).
    """
    rows = len(production_right)
    lost = int((production_right & ~candidate_right).sum())
    won = int((~production_right & candidate_right).sum())
    difference = (lost - won) / rows
    error = math.sqrt(lost + won - (lost - won) ** 2 / rows) / rows
    return difference - _Z_95 * error


# --- rules -----------------------------------------------------------------------------------------------------------


def every_row_scored(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """Each eval row was scored once by each model, and none is missing."""
    models = {"candidate": scores.candidate, "production": scores.production}
    counts = {"labels": len(scores.labels)} | {name: len(rows) for name, rows in models.items() if rows is not None}
    wrong = [f"{count} {name}" for name, count in counts.items() if count != scores.rows]
    if wrong or scores.rows == 0:
        return False, f"the eval set has {scores.rows} rows, and there are {', '.join(wrong) or 'none to judge by'}"
    return True, f"all {scores.rows} rows were scored"


def finite_scores(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """Every probability is a number, and each row's sum to 1."""
    for name, rows in (("candidate", scores.candidate), ("production", scores.production)):
        if rows is None:
            continue
        if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
            return False, f"{name} answered {bad} rows with NaN or infinity"
        if bad := int((np.abs(rows.sum(axis=1, dtype=np.float64) - 1) > 1e-3).sum()):
            return False, f"{name} answered {bad} rows with numbers that are no probabilities"
    return True, "every answer is a probability"


def unseen_rows(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """No eval row is a training row."""
    if scores.seen:
        return False, f"{len(scores.seen)} eval rows are training rows, the first {scores.seen[0]}"
    return True, "no eval row was trained on"


def floor_accuracy(scores: Scores, policy: Policy) -> tuple[bool, str]:
    """The lower bound of the accuracy reaches the policy's floor."""
    answered = right(scores.labels, scores.candidate)
    bound = lower_bound(int(answered.sum()), len(answered))
    reason = f"accuracy {answered.mean():.4f}, at least {bound:.4f} with 95 % confidence; "
    return bound >= policy.floor_accuracy, reason + f"the floor is {policy.floor_accuracy:.4f}"


def no_worse(scores: Scores, policy: Policy) -> tuple[bool, str]:
    """The candidate is not shown to be below production by more than the margin, on the same rows."""
    if scores.production is None:
        return True, "nothing is in production yet"
    ours, theirs = (right(scores.labels, rows) for rows in (scores.candidate, scores.production))
    bound = drop_lower_bound(theirs, ours)
    reason = (
        f"accuracy {ours.mean():.4f} against production's {theirs.mean():.4f}; the drop is at least "
        f"{100 * bound:.2f} points with 95 % confidence, and {100 * policy.margin:.2f} are allowed"
    )
    return bound <= policy.margin, reason


Rule = Callable[[Scores, Policy], tuple[bool, str]]
SANITY: tuple[Rule, ...] = (every_row_scored, finite_scores, unseen_rows)
QUALITY: tuple[Rule, ...] = (floor_accuracy, no_worse)


def judge(scores: Scores, policy: Policy) -> list[Outcome]:
    """
    What each rule says, in order. Quality is not asked of scores that are not sane.

    Under the policy `rollback` the comparison is shown and does not block: going back is for when production is bad
    in a way that the eval set may not show.
    """
    outcomes = [_outcome(rule, scores, policy) for rule in SANITY]
    if passes(outcomes):
        outcomes += [_outcome(rule, scores, policy) for rule in QUALITY]
    return outcomes


def passes(outcomes: list[Outcome]) -> bool:
    """Whether no blocking rule refused; without any outcome nothing passes."""
    return bool(outcomes) and all(outcome.passed for outcome in outcomes if outcome.blocking)


def _outcome(rule: Rule, scores: Scores, policy: Policy) -> Outcome:
    passed, reason = rule(scores, policy)
    blocking = not (rule is no_worse and policy.name == "rollback")
    return Outcome(rule.__name__, passed, blocking, reason)
