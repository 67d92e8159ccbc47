"""
Decide whether a model may replace the one in production. Pure functions over per-row results; no W&B, no files.

A rule looks at the scores and returns passed or not, with its reason and its method. A verdict is `pass` only if every
blocking rule passed: no flag, default or missing number can turn a refusal into a pass. docs/explanation/gate.md has
the formulas and figures.

SciPy is imported where it is used: the import takes a second, and most runs have nothing to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from modelgate.gate import comparison, metrics, wording
from modelgate.gate.comparison import Method
from modelgate.gate.metrics import count_confusion, count_regressed_and_improved, get_metric
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Answers, Marks, Scores
from modelgate.gate.statistics import compute_chance_beyond, compute_mcnemar, correct_by_holm, drop_lower_bound

# The fraction of the eval rows that may nearly equal training rows, because some things look alike.
MAX_NEAR = 0.05
# Fewer rows show almost nothing.
MIN_ROWS = 100
# With fewer rows of the rarer class, no method keeps its error rate for the area under the ROC curve. With fewer rows
# of any class, none keeps it for a function of how often each class is answered correctly.
MIN_RARER_ROWS, MIN_CLASS_ROWS = 30, 20
# Of the 5 % of good candidates that may be refused by chance, each family of small tests gets 1 %.
FAMILY_ALPHA = 0.01
# A slice with fewer rows shows only chance.
MIN_SUPPORT = 30
# How much better a relabelling may be, as a fraction, before the labels themselves are in doubt.
MAX_RELABELLING_GAIN = 0.05
# If renaming the classes corrects more than this fraction of production's mistakes, the labels changed their meaning.
MIN_RELABELLED = 0.5
# Models that differ only in their seed differ this much, as a fraction, on rows that they were not trained for.
SEED_MARGIN = 0.02
# Models that differ in some of their training rows differ this much in small groups of rows.
SLICE_MARGIN = 0.03
# Answers that vary less than this fraction of the targets' variation count as one answer to all rows.
MIN_SPREAD = 0.01
# The correlation of answers and targets has the wrong sign if it is this many standard errors below zero.
WRONG_SIGN = 3


@dataclass(frozen=True)
class Outcome:
    """
    The result of one rule. blocking: whether a `passed` of False refuses the model.

    method, level: how the rule decides, and whether its error rate is `exact` or `approximate`; None if chance plays no
    part.
    """

    rule: str
    passed: bool
    blocking: bool
    reason: str
    method: str | None = None
    level: str | None = None


class Ruling(NamedTuple):
    """What a rule says about the scores."""

    passed: bool
    reason: str
    method: Method | None = None


# --- rules: can these rows judge at all? ---------------------------------------------------------------------------


def every_row_scored(scores: Scores, _policy: Policy) -> Ruling:
    """Check that each model scored each eval row once."""
    wrong = [f"{count} {name}" for name, count in _count_answers(scores) if count != scores.rows]
    if wrong or scores.rows == 0:
        return Ruling(False, f"the eval set has {scores.rows} rows, but there are {', '.join(wrong) or 'no answers'}")
    return Ruling(True, f"all {scores.rows} rows were scored")


def _count_answers(scores: Scores) -> Iterator[tuple[str, int]]:
    yield "labels", len(scores.targets)
    yield "answers of candidate", len(scores.candidate)
    if scores.production is not None:
        yield "answers of production", len(scores.production)
    for name, groups in scores.slices.items():
        yield f"groups of {name}", len(groups)
    pairs = {f"answers of {{}} to {name}": pair for name, pair in scores.varied.items()}
    for name, pair in (pairs | ({"values of {}": scores.own} if scores.own else {})).items():
        yield name.format("candidate"), len(pair.candidate)
        if scores.production is not None:
            yield name.format("production"), 0 if pair.production is None else len(pair.production)


def finite_scores(scores: Scores, _policy: Policy) -> Ruling:
    """Check that every answer is a number; for a classifier, that each is a probability and that each row adds up to
    1.
    """
    for name, rows in (("candidate", scores.candidate), ("production", scores.production)):
        if rows is None:
            continue
        by_row = rows if rows.ndim == 2 else rows[:, None]
        if bad := int((~np.isfinite(by_row)).any(axis=1).sum()):
            return Ruling(False, f"{name} answered {bad} rows with NaN or infinity")
        if scores.is_regression:
            continue
        sums = np.abs(by_row.sum(axis=1, dtype=np.float64) - 1) > 1e-3
        if bad := int((sums | (by_row < 0).any(axis=1)).sum()):
            return Ruling(False, f"{name} answered {bad} rows with numbers that are not probabilities")
    values = scores.own and (scores.own.candidate, scores.own.production)
    if any(not np.isfinite(rows).all() for rows in values or () if rows is not None):
        return Ruling(False, "the use case's own metric has values that are NaN or infinity")
    return Ruling(True, "every answer is a number" if scores.is_regression else "every answer is a probability")


def unseen_rows(scores: Scores, policy: Policy) -> Ruling:
    """
    Check that no eval row is a training row.

    If the training rows are gone, a rollback passes: the model was judged when they existed.
    """
    if not scores.training_known:
        gone = "the rows that the candidate was trained on are gone"
        return Ruling(policy.name == "rollback" and scores.was_in_production, gone)
    if scores.seen:
        return Ruling(False, f"{len(scores.seen)} eval rows are training rows, the first {scores.seen[0]}")
    return Ruling(True, "no eval row was trained on")


def near_duplicates(scores: Scores, _policy: Policy) -> Ruling:
    """Check that few eval rows are nearly a training row: the model may answer these from memory."""
    message = f"{scores.near} of {scores.rows} eval rows are nearly a training row"
    if scores.near > MAX_NEAR * scores.rows:
        return Ruling(False, f"{message}, but at most {MAX_NEAR:.0%} may be: use other eval rows")
    return Ruling(True, message)


def enough_rows(scores: Scores, policy: Policy) -> Ruling:
    """Check that there are enough rows to judge by the policy's metric."""
    if scores.rows < MIN_ROWS:
        return Ruling(False, f"{scores.rows} eval rows show too little: at least {MIN_ROWS} are needed")
    made_of = get_metric(policy).made_of
    if made_of == metrics.COUNTS:
        labels, counts = np.unique(scores.targets, return_counts=True)
        if counts.min() < MIN_CLASS_ROWS:
            rarest = f"class {scores.get_class_name(int(labels[counts.argmin()]))} has {counts.min()} eval rows"
            title = get_metric(policy).title
            return Ruling(False, f"cannot be compared: {rarest}, but {title} needs at least {MIN_CLASS_ROWS} of each")
    if made_of == metrics.RANKING:
        if scores.candidate.shape[1] != 2:
            return Ruling(False, f"ROC AUC needs two classes, but there are {scores.candidate.shape[1]}")
        rarer = min(int((scores.targets == label).sum()) for label in (0, 1))
        if rarer < MIN_RARER_ROWS:
            reason = f"the rarer class has {rarer} eval rows, but ROC AUC needs at least {MIN_RARER_ROWS}"
            return Ruling(False, f"cannot be compared: {reason}")
    return Ruling(True, f"{scores.rows} eval rows are enough to judge by")


# --- rules: is it good enough? ---------------------------------------------------------------------------------------


def labels_plausible(scores: Scores, _policy: Policy) -> Ruling:
    """Check that no renaming of the classes makes the candidate much better: it learned the names of the eval set."""
    if scores.is_regression:
        return Ruling(True, "does not apply: the answers are numbers")
    right, renamed, names = measure_relabelled(scores, scores.candidate)
    if (gain := renamed - right) > MAX_RELABELLING_GAIN:
        return Ruling(False, f"answers fit {100 * gain:.1f} points better with classes renamed: {', '.join(names)}")
    return Ruling(True, f"no renaming of classes fits more than {100 * MAX_RELABELLING_GAIN:.0f} points better")


def measure_relabelled(scores: Scores, answers: Answers) -> tuple[float, float, list[str]]:
    """Return the share of right answers, the same share after the best renaming of classes, and what it renames."""
    from scipy.optimize import linear_sum_assignment

    counts = count_confusion(scores.targets, answers)
    pairs = list(zip(*linear_sum_assignment(counts, maximize=True), strict=True))
    renamed = sum(counts[pair] for pair in pairs) / len(scores.targets)
    names = [
        f"{scores.get_class_name(truth)} as {scores.get_class_name(answer)}"
        for truth, answer in pairs
        if truth != answer
    ]
    return np.trace(counts) / len(scores.targets), renamed, names


def sign_plausible(scores: Scores, _policy: Policy) -> Ruling:
    """Check that the answers do not fall when the targets rise: the sign was not flipped."""
    if scores.is_regression:
        rises = compute_correlation(scores.targets, scores.candidate)
        label = "answers"
    elif scores.candidate.shape[1] == 2:
        rises = compute_correlation(scores.targets, scores.candidate[:, 1])
        label = "probabilities of the second class"
    else:
        return Ruling(True, "does not apply: more than two classes")
    if rises * np.sqrt(scores.rows) < -WRONG_SIGN:
        return Ruling(False, f"the {label} fall when the targets rise: their correlation is {rises:.2f}")
    return Ruling(True, f"the {label} do not fall when the targets rise: their correlation is {rises:.2f}")


def compute_correlation(targets: Answers, answers: Answers) -> float:
    """Return Pearson's correlation; 0 if either is constant."""
    x, y = (rows.astype(np.float64) - rows.mean(dtype=np.float64) for rows in (targets, answers))
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / size if size else 0.0


def not_constant(scores: Scores, policy: Policy) -> Ruling:
    """Check that the candidate does not give the same answer to all rows."""
    if scores.is_regression:
        spread, of_targets = float(scores.candidate.std()), float(scores.targets.std())
        if spread <= MIN_SPREAD * of_targets:
            return Ruling(False, f"it answers about {scores.candidate.mean():.4g} for every row")
        return Ruling(
            True, f"the standard deviation of the answers is {spread:.4g}, and that of the targets {of_targets:.4g}"
        )
    if get_metric(policy).made_of in (metrics.RANKING, metrics.MEAN):
        answers = np.ptp(scores.candidate, axis=0).max() > 0
        return Ruling(
            bool(answers), "the probabilities vary" if answers else "it gives every row the same probabilities"
        )
    classes = np.unique(metrics.pick_classes(scores.candidate))
    if len(classes) == 1 and len(np.unique(scores.targets)) > 1:
        return Ruling(False, f"it answers {scores.get_class_name(int(classes[0]))!r} for every row")
    return Ruling(True, f"the answers have {len(classes)} classes")


def floor(scores: Scores, policy: Policy) -> Ruling:
    """Check that the metric's bound reaches the policy's limit."""
    metric, value = get_metric(policy), comparison.estimate(scores, policy)
    most = policy.at_most is not None
    bound, limit = (value.upper, policy.at_most) if most else (value.lower, policy.at_least)
    side = "at most" if most else "at least"
    return Ruling(
        comparison.reaches_limit(policy, value),
        f"{metric.title} {value.value:.4f}, {side} {bound:.4f} with 95 % confidence; "
        f"the {'limit' if most else 'floor'} is {'not set' if limit is None else f'{limit:.4f}'}",
        comparison.FLOOR[metric.made_of],
    )


# --- rules: is it as good as production? -----------------------------------------------------------------------------

_NOTHING_YET = Ruling(True, "nothing is in production yet")


def production_plausible(scores: Scores, policy: Policy) -> Ruling:
    """
    Check that the labels mean what they meant when production was judged: neither a renaming nor a flip corrects it.

    Production passed `labels_plausible` and `sign_plausible` then. If it does not pass them now, a comparison shows
    nothing. If the world changes, production makes mistakes of many kinds, and no renaming corrects most of them.
    """
    if scores.production is None:
        return _NOTHING_YET
    check = "check that the labels in data.py mean what they meant when production was judged"
    if not scores.is_regression:
        right, renamed, names = measure_relabelled(scores, scores.production)
        if renamed - right > max(MAX_RELABELLING_GAIN, MIN_RELABELLED * (1 - right)):
            shares = f"production has {right:.4f} of these rows right, and {renamed:.4f} with classes renamed"
            return Ruling(False, f"{shares} ({', '.join(names)}): {check}")
    if not (ruling := sign_plausible(replace(scores, candidate=scores.production), policy)).passed:
        return Ruling(False, f"of production, {ruling.reason}: {check}")
    return Ruling(True, "production's answers fit the labels as they are named")


def no_worse(scores: Scores, policy: Policy) -> Ruling:
    """Check that the rows do not show the candidate below production by more than the margin."""
    if (compared := comparison.compute_difference(scores, policy)) is None:
        return _NOTHING_YET
    metric = get_metric(policy)
    least, allowed = (wording.format_amount(metric, drop) for drop in (compared.at_least, compared.margin))
    return Ruling(
        compared.at_least <= compared.margin,
        f"{wording.format_values(metric, compared)}; the {wording.drop(metric)} is at least {least} "
        f"with 95 % confidence, and {allowed} are allowed",
        comparison.NO_WORSE[metric.made_of],
    )


def better(scores: Scores, policy: Policy) -> Ruling:
    """Check that the rows show the candidate above production."""
    if (compared := comparison.compute_difference(scores, policy)) is None:
        return _NOTHING_YET
    metric = get_metric(policy)
    if metric.made_of == metrics.SHARE:
        regressed, improved = comparison.count_moved(scores, policy)
        chance = 100 * compute_mcnemar(improved, regressed)
        reason = (
            f"{improved} rows improved and {regressed} regressed; by chance this happens {chance:.1f} % of the time"
        )
    else:
        gain = wording.format_amount(metric, -compared.at_most)
        values = wording.format_values(metric, compared)
        reason = f"{values}; the gain is at least {gain} with 95 % confidence, and must be above 0"
    return Ruling(compared.gain_shown, reason, comparison.BETTER[metric.made_of])


def non_inferior(scores: Scores, policy: Policy) -> Ruling:
    """Check that the rows rule out a drop below production of more than the margin."""
    if (compared := comparison.compute_difference(scores, policy)) is None:
        return _NOTHING_YET
    metric = get_metric(policy)
    needed = comparison.count_rows_needed(scores, policy, compared)
    most, allowed = (wording.format_amount(metric, drop) for drop in (compared.at_most, compared.margin))
    return Ruling(
        compared.at_most <= compared.margin,
        f"{wording.format_values(metric, compared)}; the {wording.drop(metric)} is at most {most} "
        f"with 95 % confidence, and {allowed} are allowed; a model as good as production passes four times out of "
        f"five with {'no number of' if needed is None else f'{needed:,}'} rows like these",
        comparison.NON_INFERIOR[metric.made_of],
    )


def slices_no_worse(scores: Scores, policy: Policy) -> Ruling:
    """Check that the rows do not show any class, or any group of the use case, below production."""
    if scores.production is None:
        return _NOTHING_YET
    table = {name: (regressed, improved, rows) for name, rows, regressed, improved in measure_slices(scores, policy)}
    chances = {name: compute_mcnemar(regressed, improved) for name, (regressed, improved, _) in table.items()}
    failed = [
        name
        for name in correct_by_holm(chances, FAMILY_ALPHA)
        if compute_chance_beyond(*table[name], SLICE_MARGIN) <= FAMILY_ALPHA
    ]
    if failed:
        worse = ", ".join(f"{name} ({table[name][0]} rows regressed, {table[name][1]} improved)" for name in failed)
        return Ruling(False, f"worse than production in {worse}", comparison.MCNEMAR_HOLM)
    allowed = f"by more than {100 * SLICE_MARGIN:.0f} points"
    reason = f"none of the {len(table)} slices with at least {MIN_SUPPORT} rows is shown to be worse {allowed}"
    return Ruling(True, reason, comparison.MCNEMAR_HOLM)


def measure_slices(scores: Scores, policy: Policy) -> list[tuple[str, int, int, int]]:
    """Return for each slice with enough rows: name, rows, how many regressed, how many improved."""
    ours, theirs = metrics.mark_both_correct(scores, policy)
    if theirs is None:
        return []
    table = []
    for name, rows in list_groups(scores):
        if (count := int(rows.sum())) >= MIN_SUPPORT:
            table.append((name, count, *count_regressed_and_improved(theirs[rows], ours[rows])))
    return table


def list_groups(scores: Scores) -> Iterator[tuple[str, Marks]]:
    """Yield every group of rows: its name and which rows are in it. The classes come first."""
    if not scores.is_regression:
        labels = np.unique(scores.targets)
        yield from ((f"class {scores.get_class_name(int(label))}", scores.targets == label) for label in labels)
    for column, values in scores.slices.items():
        yield from ((scores.group_name(column, int(value)), values == value) for value in np.unique(values))


def behaviour_no_worse(scores: Scores, policy: Policy) -> Ruling:
    """Check that varied rows, whose truth is unchanged, do not show the candidate far below production."""
    from scipy.special import ndtri

    if scores.production is None:
        return _NOTHING_YET
    if not scores.varied:
        return Ruling(True, "the use case names no variations")
    z = float(ndtri(1 - FAMILY_ALPHA / len(scores.varied)))
    bounds = {
        name: drop_lower_bound(*count_regressed_and_improved(theirs, ours), scores.rows, z)
        for name, ours, theirs in _mark_varied(scores, policy)
        if theirs is not None
    }
    worse = [f"{name} (by at least {100 * bound:.1f} points)" for name, bound in bounds.items() if bound > SEED_MARGIN]
    if worse:
        reason = f"worse than production under {', '.join(worse)}; {100 * SEED_MARGIN:.1f} points are allowed"
        return Ruling(False, reason, comparison.PAIRED)
    return Ruling(True, f"no worse than production under {', '.join(bounds)}", comparison.PAIRED)


def measure_behaviour(scores: Scores, policy: Policy) -> list[tuple[str, float, float | None]]:
    """Return for each variation: name, the fraction that the candidate gets right, and production's (None without
    one).
    """
    return [
        (name, float(ours.mean()), None if theirs is None else float(theirs.mean()))
        for name, ours, theirs in _mark_varied(scores, policy)
    ]


def _mark_varied(scores: Scores, policy: Policy) -> Iterator[tuple[str, Marks, Marks | None]]:
    tolerance = policy.tolerance if scores.is_regression else None
    for name, pair in scores.varied.items():
        ours = metrics.mark_correct(scores.targets, pair.candidate, tolerance)
        yield (
            name,
            ours,
            None if pair.production is None else metrics.mark_correct(scores.targets, pair.production, tolerance),
        )


# --- rules: was it in production before? -----------------------------------------------------------------------------


def was_in_production(scores: Scores, _policy: Policy) -> Ruling:
    """Check that the candidate was in production before, according to the ledger."""
    if not scores.was_in_production:
        reason = "according to the ledger, this model was never in production; judge a new one by no_worse or better"
        return Ruling(False, reason)
    return Ruling(True, "this model was in production before")


# --- the verdict -----------------------------------------------------------------------------------------------------

Rule = Callable[[Scores, Policy], Ruling]
SANITY: tuple[Rule, ...] = (every_row_scored, finite_scores, unseen_rows)
LEAKS: tuple[Rule, ...] = (near_duplicates,)  # applies if there is one
SUPPORT: tuple[Rule, ...] = (enough_rows,)
QUALITY: tuple[Rule, ...] = (labels_plausible, sign_plausible, not_constant, floor)
HISTORY: dict[str, tuple[Rule, ...]] = {
    "no_worse": (),
    "better": (),
    "non_inferior": (),
    "rollback": (was_in_production,),
}
COMPARISON: dict[str, tuple[Rule, ...]] = {
    "no_worse": (production_plausible, no_worse, slices_no_worse, behaviour_no_worse),
    "better": (production_plausible, better, slices_no_worse, behaviour_no_worse),
    "non_inferior": (production_plausible, non_inferior, slices_no_worse, behaviour_no_worse),
    "rollback": (production_plausible, no_worse, slices_no_worse, behaviour_no_worse),
}


def judge(scores: Scores, policy: Policy) -> list[Outcome]:
    """
    Return the result of each rule, in order. Quality is not judged if the scores are invalid or too few.

    Under the policy `rollback`, the comparison is shown but does not block: you go back when production is bad in a way
    that the eval set may not show. Instead, the rule that the model was in production before blocks.
    """
    outcomes = [_apply_rule(rule, scores, policy) for rule in SANITY]
    if is_sane(outcomes):
        outcomes += [_apply_rule(rule, scores, policy) for rule in SUPPORT]
    if is_sane(outcomes):
        leaks = LEAKS if scores.near else ()
        outcomes += [_apply_rule(rule, scores, policy) for rule in (*leaks, *QUALITY, *HISTORY[policy.name])]
        blocking = policy.name != "rollback"
        outcomes += [_apply_rule(rule, scores, policy, blocking) for rule in COMPARISON[policy.name]]
    return outcomes


def is_sane(outcomes: Sequence[Outcome]) -> bool:
    """Return whether the scores can be judged."""
    names = {rule.__name__ for rule in (*SANITY, *SUPPORT)}
    return all(outcome.passed for outcome in outcomes if outcome.rule in names)


def passes_gate(outcomes: Sequence[Outcome]) -> bool:
    """Return whether no blocking rule refused; without any outcome, nothing passes."""
    return bool(outcomes) and all(outcome.passed for outcome in outcomes if outcome.blocking)


def _apply_rule(rule: Rule, scores: Scores, policy: Policy, blocking: bool = True) -> Outcome:
    passed, reason, method = rule(scores, policy)
    stated_method = (method.name, method.level) if method else (None, None)
    return Outcome(rule.__name__, bool(passed), blocking, reason, *stated_method)
