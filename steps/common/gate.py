"""
May this model replace the one in production? Pure functions over per-row results; no W&B, no files.

A rule looks at the scores and says passed or not, with its reason. A verdict is `pass` only when every blocking rule
passed: no flag, default or missing number can turn a refusal into a pass. docs/gate.md has the formulas and figures.

SciPy is imported where it is used: it takes a second, and most runs find that there is nothing to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

POLICIES = ("no_worse", "better", "rollback")
CONFIDENCE = 0.95
_Z_95 = 1.6448536269514722  # the 95 % quantile of the normal distribution, for one-sided bounds
# Of the 5 % of good candidates that may be refused by chance, the many small tests get 1 % a family.
FAMILY_ALPHA = 0.01
# A slice of fewer rows can show nothing but chance.
MIN_SUPPORT = 30
# How much better a relabelling may be before the labels themselves are in doubt, as a fraction.
MAX_RELABELLING_GAIN = 0.05
# Models that differ only by their seed differ this much, as a fraction, on rows that they were not trained for.
BEHAVIOUR_MARGIN = 0.02
POWER = 0.80
_SMALLEST = 1e-7  # a probability of 0 would make the loss infinite; Keras clips at the same value
CALIBRATION_BINS = 10

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Policy:
    """What a candidate has to reach. floor_accuracy, margin: fractions."""

    name: str
    floor_accuracy: float
    margin: float


@dataclass(frozen=True)
class Varied:
    """What the models answer when the rows are varied in a way that leaves the truth as it is: int64 (N,) each."""

    candidate: Labels
    production: Labels | None


@dataclass(frozen=True)
class Scores:
    """
    What the models said about each row of the eval set.

    labels: int64 (N,), the truth. candidate, production: float32 (N, classes), probabilities; production is None when
    there is none yet. rows: how many rows the eval set has. seen: indices of eval rows that are also training rows.
    slices: for each column that the use case names, the group of each row, int64 (N,). varied: by variation.
    """

    labels: Labels
    candidate: Probabilities
    production: Probabilities | None
    rows: int
    seen: tuple[int, ...]
    slices: Mapping[str, Labels] = field(default_factory=dict)
    varied: Mapping[str, Varied] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one rule said. blocking: whether a `passed` of False refuses the model."""

    rule: str
    passed: bool
    blocking: bool
    reason: str


# --- measures --------------------------------------------------------------------------------------------------------


def right(labels: Labels, probabilities: Probabilities) -> Marks:
    """Which rows are answered rightly: bool (N,)."""
    answer: Marks = probabilities.argmax(axis=1) == labels
    return answer


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """The fraction of rows answered rightly, 0 to 1."""
    return float(right(labels, probabilities).mean())


def loss(labels: Labels, probabilities: Probabilities) -> float:
    """The cross-entropy, in nats per row."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1)).mean())


def confusion(labels: Labels, probabilities: Probabilities) -> Labels:
    """How often a row of class i was called j: int64 (classes, classes)."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def reliability(labels: Labels, probabilities: Probabilities) -> list[tuple[float, int, float, float]]:
    """For each bin of confidence that has rows: its upper edge, rows, mean confidence, fraction right."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    answered = right(labels, probabilities)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int), 1, CALIBRATION_BINS)
    return [
        (number / CALIBRATION_BINS, int(here.sum()), float(confidence[here].mean()), float(answered[here].mean()))
        for number in range(1, CALIBRATION_BINS + 1)
        if (here := bins == number).any()
    ]


def calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """The expected calibration error, a fraction: the mean gap between confidence and accuracy, weighted by rows."""
    table = reliability(labels, probabilities)
    return sum(rows * abs(confidence - answered) for _, rows, confidence, answered in table) / len(labels)


# --- statistics ------------------------------------------------------------------------------------------------------


def lower_bound(successes: int, rows: int) -> float:
    """The one-sided 95 % lower bound of a fraction (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if successes == 0:
        return 0.0
    return float(betaincinv(successes, rows - successes + 1, 1 - CONFIDENCE))


def lost_and_won(production_right: Marks, candidate_right: Marks) -> tuple[int, int]:
    """How many rows only production has right, and how many only the candidate has."""
    return int((production_right & ~candidate_right).sum()), int((~production_right & candidate_right).sum())


def drop_lower_bound(production_right: Marks, candidate_right: Marks, z: float = _Z_95) -> float:
    """
    The one-sided lower bound of accuracy(production) - accuracy(candidate), on the same rows; 95 % by default.

    With b rows that only production has right and c that only the candidate has right, of n: the difference is
    (b - c) / n with standard error sqrt(b + c - (b - c)^2 / n) / n (Agresti, Categorical Data Analysis, 11.1.1).
    """
    rows = len(production_right)
    lost, won = lost_and_won(production_right, candidate_right)
    difference = (lost - won) / rows
    error = math.sqrt(lost + won - (lost - won) ** 2 / rows) / rows
    return difference - z * error


def mcnemar(more: int, fewer: int) -> float:
    """The chance of at least `more` of `more + fewer` tosses of a fair coin: McNemar's exact one-sided test."""
    from scipy.special import bdtrc

    return float(bdtrc(more - 1, more + fewer, 0.5)) if more else 1.0


def holm(p_values: Mapping[str, float], alpha: float) -> list[str]:
    """Which of many tests hold, with a chance of at most alpha that any does without cause (Holm, 1979)."""
    held: list[str] = []
    for number, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value > alpha / (len(p_values) - number):
            break
        held.append(name)
    return held


def power(drop: float, churn: float, rows: int, margin: float) -> float:
    """
    How likely `no_worse` refuses a candidate that is truly worse by `drop` (a fraction).

    churn: the fraction of rows on which the two models differ besides. The observed difference is normal around the
    drop with variance (churn + drop - drop^2) / rows.
    """
    from scipy.special import ndtr

    error = math.sqrt((churn + drop - drop**2) / rows)
    return float(ndtr((drop - margin) / error - _Z_95)) if error else float(drop > margin)


def smallest_drop(churn: float, rows: int, margin: float) -> float:
    """The smallest drop, a fraction to a tenth of a point, that `no_worse` refuses four times in five."""
    return next((points / 1000 for points in range(1, 1001) if power(points / 1000, churn, rows, margin) >= POWER), 1.0)


# --- rules: is there anything to judge by? ---------------------------------------------------------------------------


def every_row_scored(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """Each eval row was scored once by each model, and none is missing."""
    wrong = [f"{count} {name}" for name, count in _counts(scores) if count != scores.rows]
    if wrong or scores.rows == 0:
        return False, f"the eval set has {scores.rows} rows, and there are {', '.join(wrong) or 'none to judge by'}"
    return True, f"all {scores.rows} rows were scored"


def _counts(scores: Scores) -> Iterator[tuple[str, int]]:
    yield "labels", len(scores.labels)
    yield "answers of candidate", len(scores.candidate)
    if scores.production is not None:
        yield "answers of production", len(scores.production)
    for name, groups in scores.slices.items():
        yield f"groups of {name}", len(groups)
    for name, varied in scores.varied.items():
        yield f"answers of candidate to {name}", len(varied.candidate)
        if scores.production is not None:
            yield f"answers of production to {name}", 0 if varied.production is None else len(varied.production)


def finite_scores(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """Every probability is a number, and each row's sum to 1."""
    for name, rows in (("candidate", scores.candidate), ("production", scores.production)):
        if rows is None:
            continue
        if bad := int((~np.isfinite(rows)).any(axis=1).sum()):
            return False, f"{name} answered {bad} rows with NaN or infinity"
        sums = np.abs(rows.sum(axis=1, dtype=np.float64) - 1) > 1e-3
        if bad := int((sums | (rows < 0).any(axis=1)).sum()):
            return False, f"{name} answered {bad} rows with numbers that are no probabilities"
    return True, "every answer is a probability"


def unseen_rows(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """No eval row is a training row."""
    if scores.seen:
        return False, f"{len(scores.seen)} eval rows are training rows, the first {scores.seen[0]}"
    return True, "no eval row was trained on"


# --- rules: is it good enough? ---------------------------------------------------------------------------------------


def labels_plausible(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """No renaming of the classes makes the candidate much better: it learned the names that the eval set has."""
    from scipy.optimize import linear_sum_assignment

    counts = confusion(scores.labels, scores.candidate)
    truth, answer = linear_sum_assignment(counts, maximize=True)
    as_labelled = np.trace(counts) / len(scores.labels)
    gain = counts[truth, answer].sum() / len(scores.labels) - as_labelled
    renamed = [f"{i} as {j}" for i, j in zip(truth, answer, strict=True) if i != j]
    if gain > MAX_RELABELLING_GAIN:
        return False, f"answers fit {100 * gain:.1f} points better with classes renamed: {', '.join(renamed)}"
    return True, f"no renaming of classes fits more than {100 * MAX_RELABELLING_GAIN:.0f} points better"


def floor_accuracy(scores: Scores, policy: Policy) -> tuple[bool, str]:
    """The lower bound of the accuracy reaches the policy's floor."""
    answered = right(scores.labels, scores.candidate)
    bound = lower_bound(int(answered.sum()), len(answered))
    reason = f"accuracy {answered.mean():.4f}, at least {bound:.4f} with 95 % confidence; "
    return bound >= policy.floor_accuracy, reason + f"the floor is {policy.floor_accuracy:.4f}"


# --- rules: is it as good as production? -----------------------------------------------------------------------------

_NOTHING_YET = True, "nothing is in production yet"


def no_worse(scores: Scores, policy: Policy) -> tuple[bool, str]:
    """The candidate is not shown to be below production by more than the margin, on the same rows."""
    if scores.production is None:
        return _NOTHING_YET
    ours, theirs = (right(scores.labels, rows) for rows in (scores.candidate, scores.production))
    bound = drop_lower_bound(theirs, ours)
    reason = (
        f"accuracy {ours.mean():.4f} against production's {theirs.mean():.4f}; the drop is at least "
        f"{100 * bound:.2f} points with 95 % confidence, and {100 * policy.margin:.2f} are allowed"
    )
    return bound <= policy.margin, reason


def better(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """The candidate is shown to be above production, on the same rows."""
    if scores.production is None:
        return _NOTHING_YET
    ours, theirs = (right(scores.labels, rows) for rows in (scores.candidate, scores.production))
    lost, won = lost_and_won(theirs, ours)
    chance = mcnemar(won, lost)
    return (
        chance <= 1 - CONFIDENCE,
        f"won {won} rows and lost {lost}; by chance that happens {100 * chance:.1f} % of times",
    )


def slices_no_worse(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """No class, and no group that the use case names, is shown to be below production."""
    if scores.production is None:
        return _NOTHING_YET
    lost_won = {name: (lost, won) for name, _, lost, won in slice_table(scores)}
    held = holm({name: mcnemar(lost, won) for name, (lost, won) in lost_won.items()}, FAMILY_ALPHA)
    if held:
        worse = ", ".join(f"{name} (lost {lost_won[name][0]} rows, won {lost_won[name][1]})" for name in held)
        return False, f"worse than production in {worse}"
    return True, f"none of {len(lost_won)} slices of at least {MIN_SUPPORT} rows is shown to be worse"


def slice_table(scores: Scores) -> list[tuple[str, int, int, int]]:
    """For each slice with enough rows: name, rows, rows lost to production, rows won from it."""
    if scores.production is None:
        return []
    ours, theirs = (right(scores.labels, rows) for rows in (scores.candidate, scores.production))
    table = []
    for column, groups in {"class": scores.labels, **scores.slices}.items():
        for group in np.unique(groups):
            here = groups == group
            if (rows := int(here.sum())) >= MIN_SUPPORT:
                table.append((f"{column} {group}", rows, *lost_and_won(theirs[here], ours[here])))
    return table


def behaviour_no_worse(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """On rows varied in ways that leave the truth as it is, the candidate is not shown to be far below production."""
    from scipy.special import ndtri

    if scores.production is None:
        return _NOTHING_YET
    if not scores.varied:
        return True, "the use case names no variations"
    z = float(ndtri(1 - FAMILY_ALPHA / len(scores.varied)))
    bounds = {name: drop_lower_bound(theirs, ours, z) for name, ours, theirs in _varied_right(scores)}
    worse = [
        f"{name} (by at least {100 * bound:.1f} points)" for name, bound in bounds.items() if bound > BEHAVIOUR_MARGIN
    ]
    if worse:
        return False, f"worse than production under {', '.join(worse)}; {100 * BEHAVIOUR_MARGIN:.1f} points are allowed"
    return True, f"no worse than production under {', '.join(bounds)}"


def behaviour_table(scores: Scores) -> list[tuple[str, float, float | None]]:
    """For each variation: name, the fraction that the candidate has right, and production (None without one)."""
    theirs = {name: float(right.mean()) for name, _, right in _varied_right(scores)}
    return [
        (name, float((varied.candidate == scores.labels).mean()), theirs.get(name))
        for name, varied in scores.varied.items()
    ]


def _varied_right(scores: Scores) -> Iterator[tuple[str, Marks, Marks]]:
    for name, varied in scores.varied.items():
        if varied.production is not None:
            yield name, varied.candidate == scores.labels, varied.production == scores.labels


# --- the verdict -----------------------------------------------------------------------------------------------------

Rule = Callable[[Scores, Policy], tuple[bool, str]]
SANITY: tuple[Rule, ...] = (every_row_scored, finite_scores, unseen_rows)
QUALITY: tuple[Rule, ...] = (labels_plausible, floor_accuracy)
COMPARISON: dict[str, tuple[Rule, ...]] = {
    "no_worse": (no_worse, slices_no_worse, behaviour_no_worse),
    "better": (better, slices_no_worse, behaviour_no_worse),
    "rollback": (no_worse, slices_no_worse, behaviour_no_worse),
}


def judge(scores: Scores, policy: Policy) -> list[Outcome]:
    """
    What each rule says, in order. Quality is not asked of scores that are not sane.

    Under the policy `rollback` the comparison is shown and does not block: going back is for when production is bad
    in a way that the eval set may not show.
    """
    outcomes = [_outcome(rule, scores, policy) for rule in SANITY]
    if passes(outcomes):
        outcomes += [_outcome(rule, scores, policy) for rule in QUALITY]
        blocking = policy.name != "rollback"
        outcomes += [_outcome(rule, scores, policy, blocking) for rule in COMPARISON[policy.name]]
    return outcomes


def passes(outcomes: list[Outcome]) -> bool:
    """Whether no blocking rule refused; without any outcome nothing passes."""
    return bool(outcomes) and all(outcome.passed for outcome in outcomes if outcome.blocking)


def _outcome(rule: Rule, scores: Scores, policy: Policy, blocking: bool = True) -> Outcome:
    passed, reason = rule(scores, policy)
    return Outcome(rule.__name__, passed, blocking, reason)
