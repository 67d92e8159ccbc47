"""
Bounds and tests, each with its source. docs/gate.md has the formulas and the figures.

SciPy is imported where it is used: it takes a second, and most runs find that there is nothing to judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from modelgate.gate.metrics import regressed_and_improved
from modelgate.gate.scores import Marks

CONFIDENCE = 0.95
Z_95 = 1.6448536269514722  # the 95 % quantile of the normal distribution, for one-sided bounds
POWER = 0.80


def lower_bound(successes: int, rows: int) -> float:
    """The one-sided 95 % lower bound of a fraction (Clopper and Pearson, 1934)."""
    from scipy.special import betaincinv

    if successes == 0:
        return 0.0
    return float(betaincinv(successes, rows - successes + 1, 1 - CONFIDENCE))


def drop_lower_bound(production_correct: Marks, candidate_correct: Marks, z: float = Z_95) -> float:
    """
    The one-sided lower bound of accuracy(production) - accuracy(candidate), on the same rows; 95 % by default.

    With b rows that only production has right and c that only the candidate has right, of n: the difference is
    (b - c) / n with standard error sqrt(b + c - (b - c)^2 / n) / n (Agresti, Categorical Data Analysis, 11.1.1).
    """
    rows = len(production_correct)
    regressed, improved = regressed_and_improved(production_correct, candidate_correct)
    difference = (regressed - improved) / rows
    error = math.sqrt(regressed + improved - (regressed - improved) ** 2 / rows) / rows
    return difference - z * error


def mcnemar(more: int, fewer: int) -> float:
    """The chance of at least `more` of `more + fewer` tosses of a fair coin: McNemar's exact one-sided test."""
    from scipy.special import bdtrc

    return float(bdtrc(more - 1, more + fewer, 0.5)) if more else 1.0


def shown_drop(production_correct: Marks, candidate_correct: Marks) -> float:
    """How far below production the candidate is at least, as `no_worse` sees it; 0 when no drop is shown."""
    return max(0.0, drop_lower_bound(production_correct, candidate_correct))


def shown_gain(production_correct: Marks, candidate_correct: Marks) -> float:
    """How far above production the candidate is at least; 0 when `better` would call the gain chance."""
    regressed, improved = regressed_and_improved(production_correct, candidate_correct)
    if mcnemar(improved, regressed) > 1 - CONFIDENCE:
        return 0.0
    return max(0.0, drop_lower_bound(candidate_correct, production_correct))


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
    return float(ndtr((drop - margin) / error - Z_95)) if error else float(drop > margin)


def smallest_drop(churn: float, rows: int, margin: float) -> float:
    """The smallest drop, a fraction to a tenth of a point, that `no_worse` refuses four times in five."""
    return next((points / 1000 for points in range(1, 1001) if power(points / 1000, churn, rows, margin) >= POWER), 1.0)
