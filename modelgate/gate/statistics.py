"""
Compute bounds and tests, each with its source. docs/explanation/gate.md has the formulas and the figures.

SciPy is imported where it is used: the import takes a second, and most runs have nothing to judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelgate.gate.scores import Losses, Targets

CONFIDENCE = 0.95
Z_95 = 1.6448536269514722  # the 95 % quantile of the normal distribution, for one-sided bounds
Z_80 = 0.8416212335729143
POWER = 0.80
RESAMPLES = 2000  # this gives the level of a 5 % bound to about half a point


def compute_lower_bound(successes: int, rows: int) -> float:
    """Return the one-sided 95 % lower bound of a fraction (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if successes == 0:
        return 0.0
    return float(betaincinv(successes, rows - successes + 1, 1 - CONFIDENCE))


def find_smallest_share(limit: float, rows: int) -> float:
    """Return the smallest share of this many rows whose lower bound reaches the limit; 1 if none does."""
    low, high = 0, rows
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if compute_lower_bound(middle, rows) >= limit else (middle + 1, high)
    return low / rows


def drop_lower_bound(regressed: int, improved: int, rows: int, z: float = Z_95) -> float:
    """
    Return the one-sided lower bound of a drop between two shares of the same rows; 95 % by default.

    With b rows that regressed and c that improved, of n, the difference is (b - c) / n with standard error
    sqrt(b + c - (b - c)^2 / n) / n (Agresti, Categorical Data Analysis, 11.1.1).
    """
    difference = (regressed - improved) / rows
    error = math.sqrt(regressed + improved - (regressed - improved) ** 2 / rows) / rows
    return difference - z * error


def compute_mcnemar(more: int, fewer: int) -> float:
    """Return the chance of at least `more` of `more + fewer` tosses of a fair coin: McNemar's exact one-sided test."""
    from scipy.special import bdtrc

    return float(bdtrc(more - 1, more + fewer, 0.5)) if more else 1.0


def bound_drop(regressed: int, improved: int, rows: int) -> float:
    """
    Return the one-sided 95 % upper bound of a drop between two shares of the same rows: the score bound of Tango
    (1998).

    If the models differ on few rows, the bound by the standard error is too small; this one is not.
    """
    from scipy.optimize import brentq

    if regressed == rows:
        return 1.0

    def measure_excess(drop: float) -> float:
        only_candidate = _estimate_improved_share(regressed, improved, rows, drop)
        variance = rows * max(2 * only_candidate + drop * (1 - drop), 0.0)
        return regressed - improved - rows * drop + Z_95 * math.sqrt(variance)

    seen = (regressed - improved) / rows + 1e-12  # at the drop itself, if no row changed, both sides are 0
    return float(brentq(measure_excess, seen, 1 - 1e-12))


def _estimate_improved_share(regressed: int, improved: int, rows: int, drop: float) -> float:
    """Return the likeliest share of rows that improve, given this drop (Tango, 1998)."""
    linear = -regressed - improved + (2 * rows - regressed + improved) * drop
    constant = -improved * drop * (1 - drop)
    return (math.sqrt(linear**2 - 8 * rows * constant) - linear) / (4 * rows)


def compute_chance_beyond(regressed: int, improved: int, rows: int, margin: float) -> float:
    """
    Return the approximate chance of a drop as large as this one, if the true drop is the margin.

    The counts of rows that regress and that improve have Poisson distributions, so their difference has a Skellam
    distribution. It is computed with the noncentral chi-squared distribution (Johnson, 1959).
    """
    from scipy.special import chndtr

    if regressed - improved <= margin * rows:
        return 1.0
    share = _estimate_improved_share(regressed, improved, rows, margin)
    return float(chndtr(2 * rows * (share + margin), 2 * (regressed - improved), 2 * rows * share))


class Interval(NamedTuple):
    """An estimate, its one-sided 95 % bounds, and its standard error."""

    value: float
    lower: float
    upper: float
    error: float


def bound_mean(values: Losses) -> Interval:
    """Estimate a mean by Student's t. This is approximate, and less exact for skewed values."""
    return _bound_by_t(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values) - 1)


def estimate_area(positive: Losses, negative: Losses) -> Interval:
    """
    Estimate an area under the ROC curve, or the difference of two, by its structural components (DeLong et al., 1988).

    The quantile is that of t with the number of rows of the rarer class minus one, which keeps the error rate for few
    rows.
    """
    variance = float(positive.var(ddof=1)) / len(positive) + float(negative.var(ddof=1)) / len(negative)
    return _bound_by_t(float(positive.mean()), math.sqrt(variance), min(len(positive), len(negative)) - 1)


def bound_area(positive: Losses, negative: Losses) -> Interval:
    """Estimate an area under the ROC curve by DeLong's variance, with its bounds on the logit scale, within 0 and 1."""
    interval = estimate_area(positive, negative)
    if not 0 < interval.value < 1:
        return interval
    odds = math.log(interval.value / (1 - interval.value))
    reach = (interval.upper - interval.value) / (interval.value * (1 - interval.value))
    lower, upper = (1 / (1 + math.exp(-edge)) for edge in (odds - reach, odds + reach))
    return Interval(interval.value, lower, upper, interval.error)


def _bound_by_t(value: float, error: float, freedom: int) -> Interval:
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, CONFIDENCE)) * error
    return Interval(value, value - reach, value + reach, error)


Counts = npt.NDArray[np.int64]


def bootstrap(
    measure: Callable[[Counts], npt.NDArray[np.float64]], targets: Targets, ours: Targets, theirs: Targets | None
) -> Interval:
    """
    Estimate a function of confusion matrices, or its difference between theirs and ours, by resampling rows within each
    class.

    Only the class of a row and the answers of both models count, so this draws the numbers of such rows, not the rows.
    The seed is fixed: the same answers have the same bounds.
    """
    classes = int(max(targets.max(), ours.max(), targets.max() if theirs is None else theirs.max())) + 1
    random = np.random.default_rng(0)
    drawn = np.zeros((2, RESAMPLES + 1, classes, classes), dtype=np.int64)  # the last one is the observed value
    for label in np.unique(targets):
        of_class = targets == label
        pairs = ours[of_class] * classes + (0 if theirs is None else theirs[of_class])
        kinds, rows = np.unique(pairs, return_counts=True)
        draws = np.concatenate([random.multinomial(rows.sum(), rows / rows.sum(), RESAMPLES), rows[None]])
        for model, answers in enumerate((kinds // classes, kinds % classes)):
            for answer in np.unique(answers):
                drawn[model, :, label, answer] = draws[:, answers == answer].sum(axis=1)
    values = measure(drawn[0]) if theirs is None else measure(drawn[1]) - measure(drawn[0])
    lower, upper = np.quantile(values[:-1], [1 - CONFIDENCE, CONFIDENCE])
    return Interval(float(values[-1]), float(lower), float(upper), float(values[:-1].std(ddof=1)))


def correct_by_holm(p_values: Mapping[str, float], alpha: float) -> list[str]:
    """Return which of many tests hold, with a chance of at most alpha that any holds without cause (Holm, 1979)."""
    rejected: list[str] = []
    for number, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p_value > alpha / (len(p_values) - number):
            break
        rejected.append(name)
    return rejected


def compute_power(drop: float, churn: float, rows: int, margin: float) -> float:
    """
    Return the chance that `no_worse` refuses a candidate that is truly worse by `drop` (a fraction).

    churn: the fraction of other rows on which the two models differ. The observed difference is normal around the drop,
    with variance (churn + drop - drop^2) / rows.
    """
    from scipy.special import ndtr

    error = math.sqrt((churn + drop - drop**2) / rows)
    return float(ndtr((drop - margin) / error - Z_95)) if error else float(drop > margin)


def find_smallest_drop(churn: float, rows: int, margin: float) -> float:
    """Return the smallest drop, a fraction to a tenth of a point, that `no_worse` refuses four times out of five."""
    return next(
        (points / 1000 for points in range(1, 1001) if compute_power(points / 1000, churn, rows, margin) >= POWER), 1.0
    )
