"""
Report columns that predict the target by themselves. Only a person knows whether their values are known in time.

For a regression, a numeric column is compared with the target by rank. Any other column predicts, for each of its
values or bins, what half of the eval rows say, and the other half measures how good that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from modelgate.gate.scores import Targets

MIN_ROWS, MAX_ROWS = 100, 20_000  # the most rows to look at
BINS = 50  # for numbers with more values; texts with more are left out
# What a column must explain to be reported, as a fraction of the error of the best constant answer, or of the ranks'
# variance.
TELLS = 0.95
MAX_COLUMNS = 5


def sample(rows: int) -> npt.NDArray[np.int64]:
    """Return the indices of the rows to look at, in an order that does not depend on them."""
    return np.random.default_rng(0).permutation(rows)[:MAX_ROWS]


def find_leaks(columns: Mapping[str, npt.NDArray[Any]], targets: Targets) -> tuple[str, ...]:
    """Return one line for each column that predicts nearly all targets, at most MAX_COLUMNS."""
    shares = {name: share_told(values, targets) for name, values in columns.items()}
    names = sorted((name for name, share in shares.items() if share >= TELLS), key=lambda name: -shares[name])
    return tuple(
        f"The column {name!r} alone predicts {100 * shares[name]:.0f} % of the target: make sure that it is "
        "known before the target is."
        for name in names[:MAX_COLUMNS]
    )


def share_told(values: npt.NDArray[Any], targets: Targets) -> float:
    """Return how much of the target this column alone predicts, as a fraction; 0 or below: nothing."""
    if len(targets) < MIN_ROWS:
        return 0.0
    order = sample(len(targets))
    values, targets = values[order], targets[order]
    number, regression = values.dtype.kind in "iuf", targets.dtype.kind == "f"
    if number and regression:
        return _measure_ranks(values, targets)
    groups = _assign_bins(values) if number else _number_values(values)
    return 0.0 if groups is None else _measure_error(groups, targets, regression)


def _measure_ranks(values: npt.NDArray[Any], targets: Targets) -> float:
    """Return the square of Spearman's correlation, over the rows that have a value."""
    from scipy.stats import spearmanr

    known = np.isfinite(values)
    if known.sum() < MIN_ROWS or np.ptp(values[known]) == 0 or np.ptp(targets[known]) == 0:
        return 0.0
    return float(spearmanr(values[known], targets[known]).statistic) ** 2


def _measure_error(groups: npt.NDArray[np.int64], targets: Targets, regression: bool) -> float:
    half = len(targets) // 2
    known, held_out = targets[:half], targets[half:]
    answer = np.median if regression else _find_commonest
    constant = float(answer(known))
    answers = np.full(len(held_out), constant)
    for group in np.unique(groups[:half]):
        answers[groups[half:] == group] = answer(known[groups[:half] == group])
    if regression:
        error, of_constant = (float(np.abs(held_out - predicted).sum()) for predicted in (answers, constant))
    else:
        error, of_constant = (float((held_out != predicted).sum()) for predicted in (answers, constant))
    return 1 - error / of_constant if of_constant else 0.0


def _assign_bins(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    distinct, group = np.unique(values, return_inverse=True)
    if len(distinct) <= BINS:
        return np.asarray(group, dtype=np.int64)
    edges = np.nanquantile(values.astype(np.float64), np.linspace(0, 1, BINS + 1)[1:-1])
    bins: npt.NDArray[np.int64] = np.digitize(values, edges).astype(np.int64)
    return bins


def _number_values(values: npt.NDArray[Any]) -> npt.NDArray[np.int64] | None:
    distinct, group = np.unique(values.astype(str), return_inverse=True)
    return np.asarray(group, dtype=np.int64) if len(distinct) <= BINS else None


def _find_commonest(targets: Targets) -> float:
    return float(np.bincount(targets).argmax())
