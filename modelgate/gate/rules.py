"""
May this model replace the one in production? Pure functions over per-row results; no W&B, no files.

A rule looks at the scores and says passed or not, with its reason. A verdict is `pass` only when every blocking rule
passed: no flag, default or missing number can turn a refusal into a pass. docs/gate.md has the formulas and figures.

SciPy is imported where it is used: it takes a second, and most runs find that there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from modelgate.gate.metrics import confusion, correct, regressed_and_improved
from modelgate.gate.scores import Marks, Scores
from modelgate.gate.statistics import CONFIDENCE, drop_lower_bound, holm, lower_bound, mcnemar

POLICIES = ("no_worse", "better", "rollback")
# Of the 5 % of good candidates that may be refused by chance, the many small tests get 1 % a family.
FAMILY_ALPHA = 0.01
# A slice of fewer rows can show nothing but chance.
MIN_SUPPORT = 30
# How much better a relabelling may be before the labels themselves are in doubt, as a fraction.
MAX_RELABELLING_GAIN = 0.05
# Models that differ only by their seed differ this much, as a fraction, on rows that they were not trained for.
BEHAVIOUR_MARGIN = 0.02


@dataclass(frozen=True)
class Policy:
    """What a candidate has to reach. floor_accuracy, margin: fractions."""

    name: str
    floor_accuracy: float
    margin: float


@dataclass(frozen=True)
class Outcome:
    """What one rule said. blocking: whether a `passed` of False refuses the model."""

    rule: str
    passed: bool
    blocking: bool
    reason: str


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
    answered = correct(scores.labels, scores.candidate)
    bound = lower_bound(int(answered.sum()), len(answered))
    reason = f"accuracy {answered.mean():.4f}, at least {bound:.4f} with 95 % confidence; "
    return bound >= policy.floor_accuracy, reason + f"the floor is {policy.floor_accuracy:.4f}"


# --- rules: is it as good as production? -----------------------------------------------------------------------------

_NOTHING_YET = True, "nothing is in production yet"


def no_worse(scores: Scores, policy: Policy) -> tuple[bool, str]:
    """The candidate is not shown to be below production by more than the margin, on the same rows."""
    if scores.production is None:
        return _NOTHING_YET
    ours, theirs = (correct(scores.labels, rows) for rows in (scores.candidate, scores.production))
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
    ours, theirs = (correct(scores.labels, rows) for rows in (scores.candidate, scores.production))
    regressed, improved = regressed_and_improved(theirs, ours)
    chance = mcnemar(improved, regressed)
    return (
        chance <= 1 - CONFIDENCE,
        f"{improved} rows improved and {regressed} regressed; by chance that happens {100 * chance:.1f} % of times",
    )


def slices_no_worse(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """No class, and no group that the use case names, is shown to be below production."""
    if scores.production is None:
        return _NOTHING_YET
    moves = {name: (regressed, improved) for name, _, regressed, improved in slice_table(scores)}
    held = holm({name: mcnemar(regressed, improved) for name, (regressed, improved) in moves.items()}, FAMILY_ALPHA)
    if held:
        worse = ", ".join(f"{name} ({moves[name][0]} rows regressed, {moves[name][1]} improved)" for name in held)
        return False, f"worse than production in {worse}"
    return True, f"none of {len(moves)} slices of at least {MIN_SUPPORT} rows is shown to be worse"


def slice_table(scores: Scores) -> list[tuple[str, int, int, int]]:
    """For each slice with enough rows: name, rows, how many regressed, how many improved."""
    if scores.production is None:
        return []
    ours, theirs = (correct(scores.labels, rows) for rows in (scores.candidate, scores.production))
    table = []
    for column, groups in {"class": scores.labels, **scores.slices}.items():
        for group in np.unique(groups):
            here = groups == group
            if (rows := int(here.sum())) >= MIN_SUPPORT:
                table.append((f"{column} {group}", rows, *regressed_and_improved(theirs[here], ours[here])))
    return table


def behaviour_no_worse(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """On rows varied in ways that leave the truth as it is, the candidate is not shown to be far below production."""
    from scipy.special import ndtri

    if scores.production is None:
        return _NOTHING_YET
    if not scores.varied:
        return True, "the use case names no variations"
    z = float(ndtri(1 - FAMILY_ALPHA / len(scores.varied)))
    bounds = {name: drop_lower_bound(theirs, ours, z) for name, ours, theirs in _varied_correct(scores)}
    worse = [
        f"{name} (by at least {100 * bound:.1f} points)" for name, bound in bounds.items() if bound > BEHAVIOUR_MARGIN
    ]
    if worse:
        return False, f"worse than production under {', '.join(worse)}; {100 * BEHAVIOUR_MARGIN:.1f} points are allowed"
    return True, f"no worse than production under {', '.join(bounds)}"


def behaviour_table(scores: Scores) -> list[tuple[str, float, float | None]]:
    """For each variation: name, the fraction that the candidate has right, and production (None without one)."""
    theirs = {name: float(marks.mean()) for name, _, marks in _varied_correct(scores)}
    return [
        (name, float((varied.candidate == scores.labels).mean()), theirs.get(name))
        for name, varied in scores.varied.items()
    ]


def _varied_correct(scores: Scores) -> Iterator[tuple[str, Marks, Marks]]:
    for name, varied in scores.varied.items():
        if varied.production is not None:
            yield name, varied.candidate == scores.labels, varied.production == scores.labels


# --- rules: is it a way back? ----------------------------------------------------------------------------------------


def was_in_production(scores: Scores, _policy: Policy) -> tuple[bool, str]:
    """The ledger knows the candidate to have been in production: going back is only to where one was."""
    if not scores.was_in_production:
        return False, "by the ledger this model was never in production; a new one is judged by no_worse or better"
    return True, "this model was in production before"


# --- the verdict -----------------------------------------------------------------------------------------------------

Rule = Callable[[Scores, Policy], tuple[bool, str]]
SANITY: tuple[Rule, ...] = (every_row_scored, finite_scores, unseen_rows)
QUALITY: tuple[Rule, ...] = (labels_plausible, floor_accuracy)
HISTORY: dict[str, tuple[Rule, ...]] = {"no_worse": (), "better": (), "rollback": (was_in_production,)}
COMPARISON: dict[str, tuple[Rule, ...]] = {
    "no_worse": (no_worse, slices_no_worse, behaviour_no_worse),
    "better": (better, slices_no_worse, behaviour_no_worse),
    "rollback": (no_worse, slices_no_worse, behaviour_no_worse),
}


def judge(scores: Scores, policy: Policy) -> list[Outcome]:
    """
    What each rule says, in order. Quality is not asked of scores that are not sane.

    Under the policy `rollback` the comparison is shown and does not block: going back is for when production is bad
    in a way that the eval set may not show. What blocks in its place is that the model was in production before.
    """
    outcomes = [_outcome(rule, scores, policy) for rule in SANITY]
    if sane(outcomes):
        outcomes += [_outcome(rule, scores, policy) for rule in (*QUALITY, *HISTORY[policy.name])]
        blocking = policy.name != "rollback"
        outcomes += [_outcome(rule, scores, policy, blocking) for rule in COMPARISON[policy.name]]
    return outcomes


def sane(outcomes: Sequence[Outcome]) -> bool:
    """Whether there is anything to judge by."""
    return all(outcome.passed for outcome in outcomes if outcome.rule in {rule.__name__ for rule in SANITY})


def passes(outcomes: Sequence[Outcome]) -> bool:
    """Whether no blocking rule refused; without any outcome nothing passes."""
    return bool(outcomes) and all(outcome.passed for outcome in outcomes if outcome.blocking)


def _outcome(rule: Rule, scores: Scores, policy: Policy, blocking: bool = True) -> Outcome:
    passed, reason = rule(scores, policy)
    return Outcome(rule.__name__, passed, blocking, reason)
