"""
Compute the candidate's value and its difference from production, with the bounds that these rows allow.

How a metric is computed from the rows decides the method. Each method has a name for people, and says whether its level
is exact or approximate. docs/explanation/gate.md has the measured rates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from modelgate.gate import metrics, statistics
from modelgate.gate.metrics import COUNTS, MEAN, RANKING, SHARE, Metric
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Answers, Losses, Scores
from modelgate.gate.statistics import CONFIDENCE, Z_80, Z_95, Interval

EXACT, APPROXIMATE = "exact", "approximate"


class Method(NamedTuple):
    """
    How a rule decides. level: EXACT if its error rate holds for all rows, otherwise APPROXIMATE. measured: how often
    such a method erred exactly at a limit, where 5 % are allowed, according to the table in docs/explanation/gate.md.
    """

    name: str
    level: str
    measured: str = ""


MCNEMAR = Method("McNemar's exact test", EXACT)
MCNEMAR_HOLM = Method("McNemar's exact test, with Holm's correction and a margin", EXACT)
PAIRED = Method("bound of the paired difference of shares", APPROXIMATE, "3.6 to 5.3 %")
_PAIRED_T = Method("Student's t on paired differences", APPROXIMATE, "2.5 to 7.6 %")
_BOOTSTRAP = Method("bootstrap of the rows within each class", APPROXIMATE, "4.0 to 6.6 %")
_DELONG = Method("DeLong's variance, with Student's t", APPROXIMATE, "4.0 to 5.8 %")
FLOOR = {
    SHARE: Method("Clopper and Pearson's bound", EXACT),
    COUNTS: _BOOTSTRAP,
    RANKING: _DELONG,
    MEAN: Method("Student's t", APPROXIMATE, "6.9 to 27.4 %"),
}
NO_WORSE = {SHARE: PAIRED, COUNTS: _BOOTSTRAP, RANKING: _DELONG, MEAN: _PAIRED_T}
BETTER = NO_WORSE | {SHARE: MCNEMAR}
NON_INFERIOR = NO_WORSE | {SHARE: Method("Tango's score bound", APPROXIMATE, "4.1 to 5.8 %")}
MEASURED = {
    method.name: method.measured for methods in (FLOOR, NO_WORSE, BETTER, NON_INFERIOR) for method in methods.values()
}


@dataclass(frozen=True)
class Difference:
    """
    Production compared with the candidate, in the metric's own unit. A drop above 0 is worse for every metric.

    ours, theirs: values. at_least, at_most: one-sided 95 % bounds of the drop. error: its standard error. margin: the
    allowed drop. gain_shown: whether the rows show that the candidate is better. shown: how much of the drop or of the
    gain the rows show; 0 if they show neither.
    """

    ours: float
    theirs: float
    drop: float
    at_least: float
    at_most: float
    error: float
    margin: float
    gain_shown: bool
    shown: float


def estimate(scores: Scores, policy: Policy) -> Interval:
    """Return the candidate's value with its bounds."""
    metric = metrics.get_metric(policy)
    if metric.made_of == SHARE:
        right = int(metrics.mark_both_correct(scores, policy)[0].sum())
        value = right / scores.rows
        lower = statistics.compute_lower_bound(right, scores.rows)
        upper = 1 - statistics.compute_lower_bound(scores.rows - right, scores.rows)
        return Interval(value, lower, upper, math.sqrt(value * (1 - value) / scores.rows))
    if metric.made_of == COUNTS:
        answered = metrics.pick_classes(scores.candidate)
        return statistics.bootstrap(metrics.get_count_metric(metric.name), scores.targets, answered, None)
    if metric.made_of == RANKING:
        return statistics.bound_area(*metrics.compute_placements(scores.targets, scores.candidate))
    return statistics.bound_mean(_compute_losses(scores, policy, scores.candidate, scores.own_candidate))


def reaches_limit(limits: Policy, value: Interval) -> bool:
    """Return whether the bound is on the right side of the policy's limit; without a limit, it never is."""
    if limits.at_most is not None:
        return value.upper <= limits.at_most
    return limits.at_least is not None and value.lower >= limits.at_least


def compute_difference(scores: Scores, policy: Policy) -> Difference | None:
    """Return how far the candidate is below production on the same rows; None if nothing is in production."""
    if scores.production is None:
        return None
    metric = metrics.get_metric(policy)
    ours, theirs = (
        metrics.compute_value(scores.targets, answers, policy, own)
        for answers, own in (
            (scores.candidate, scores.own_candidate),
            (scores.production, scores.own_production),
        )
    )
    drop = _drop(metric, scores, policy, scores.production)
    gain = -drop.upper
    gain_shown = gain > 0
    if metric.made_of == SHARE:
        regressed, improved = count_moved(scores, policy)
        gain_shown = statistics.compute_mcnemar(improved, regressed) <= 1 - CONFIDENCE
        gain = statistics.drop_lower_bound(improved, regressed, scores.rows)
    shown = max(0.0, drop.lower if drop.value > 0 else gain if gain_shown else 0.0)
    return Difference(ours, theirs, *drop, margin=policy.compute_margin(theirs), gain_shown=gain_shown, shown=shown)


def count_moved(scores: Scores, policy: Policy) -> tuple[int, int]:
    """Count the rows that regressed, and those that improved."""
    ours, theirs = metrics.mark_both_correct(scores, policy)
    return (0, 0) if theirs is None else metrics.count_regressed_and_improved(theirs, ours)


def _drop(metric: Metric, scores: Scores, policy: Policy, production: Answers) -> Interval:
    if metric.made_of == SHARE:
        regressed, improved = count_moved(scores, policy)
        churn, drop = (regressed + improved) / scores.rows, (regressed - improved) / scores.rows
        error = math.sqrt(max(churn - drop**2, 0.0) / scores.rows)
        lower = statistics.drop_lower_bound(regressed, improved, scores.rows)
        return Interval(drop, lower, statistics.bound_drop(regressed, improved, scores.rows), error)
    if metric.made_of == COUNTS:
        classes = (metrics.pick_classes(answers) for answers in (scores.candidate, production))
        return statistics.bootstrap(metrics.get_count_metric(metric.name), scores.targets, *classes)
    if metric.made_of == RANKING:
        pairs = zip(
            metrics.compute_placements(scores.targets, production),
            metrics.compute_placements(scores.targets, scores.candidate),
            strict=True,
        )
        return statistics.estimate_area(*(theirs - ours for theirs, ours in pairs))
    ours = _compute_losses(scores, policy, scores.candidate, scores.own_candidate)
    theirs = _compute_losses(scores, policy, production, scores.own_production)
    return statistics.bound_mean(ours - theirs if metric.error else theirs - ours)


def _compute_losses(scores: Scores, policy: Policy, answers: Answers, own: Losses | None) -> Losses:
    return metrics.compute_losses(scores.targets, answers, policy) if own is None else own


# --- what these rows can show ----------------------------------------------------------------------------------------


def find_smallest_drop(scores: Scores, policy: Policy, compared: Difference) -> float:
    """Return the smallest drop that `no_worse` refuses four times out of five on rows like these."""
    if metrics.get_metric(policy).made_of == SHARE:
        churn = 2 * min(count_moved(scores, policy)) / scores.rows
        return statistics.find_smallest_drop(churn, scores.rows, compared.margin)
    return compared.margin + (Z_95 + Z_80) * compared.error


def count_rows_needed(scores: Scores, policy: Policy, compared: Difference) -> int | None:
    """Return how many rows like these `non_inferior` needs to pass an equally good model four times out of five."""
    if not compared.margin:
        return None
    rows = scores.rows * ((Z_95 + Z_80) * compared.error / compared.margin) ** 2
    if metrics.get_metric(policy).made_of == SHARE:
        rows = max(rows, Z_95**2 * (1 - compared.margin) / compared.margin)
    return math.ceil(rows)
