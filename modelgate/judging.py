"""
Derive the verdict from the answers of two models, and check stored evidence against it.

Stored evidence is only a hint: anyone who can write to the project may have put it there. So everything that follows
from its answers is computed again, and if it would lead to a promotion, the models also answer again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelgate import predictions
from modelgate.gate import metrics, report, rules
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.predictions import Predictions
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence
from modelgate.rows.dataset import Rows

# This many rows are answered again, or all if there are fewer. If one in a hundred of 1,000 answers was changed, 512
# rows miss it less than once in a thousand times.
SAMPLE_ROWS = 512
# On another machine, or in other batches, the same model differs in the last digits of a float32: a fraction of the
# largest answer.
_TOLERANCE = 1e-4


class Answers(NamedTuple):
    """
    The rows, the SHA-256 of the files of candidate and rows, and the models' answers to the rows in `chosen`.

    trained_on: None if the training rows are gone. seen: the indices of all eval rows that the candidate was trained
    on, unless rows repeat naturally. chosen: int64, indices of eval rows.
    """

    rows: Rows
    sha256: form.Hashes
    trained_on: form.TrainedOn | None
    seen: tuple[int, ...]
    chosen: npt.NDArray[np.int64]
    candidate: Predictions
    production: Predictions | None


def conclude(
    scores: Scores, policy: Policy, measured: form.Measured, drops_before: float, looks: int | None
) -> dict[str, Any]:
    """Return the fields of evidence that follow from the answers; of the warnings, the first."""
    outcomes = rules.judge(scores, policy)
    compared = predictions.describe_comparison(scores, policy, drops_before) if rules.is_sane(outcomes) else None
    complete = report.complete(outcomes)
    mistakes = metrics.count_mistakes(scores.targets, scores.candidate) if complete and not scores.is_regression else []
    value = metrics.get_value(vars(measured.candidate), policy.metric)
    return {
        "verdict": "pass" if rules.passes_gate(outcomes) else "fail",
        "headline": report.write_headline(outcomes, compared, value, scores.rows, policy),
        "warnings": report.list_warnings(outcomes, scores, policy, looks),
        "rules": tuple(form.Outcome(**vars(outcome)) for outcome in outcomes),
        "policy": form.record_policy(policy),
        "metrics": measured,
        "comparison": form.Comparison(**compared) if compared else None,
        "slices": form.list_slices(report.list_moved_slices(scores, policy)) if complete else (),
        "confusion": form.list_confusion(
            [(scores.get_class_name(truth), scores.get_class_name(answer), rows) for truth, answer, rows in mistakes]
        ),
        "per_row": evaluation.locate_losses(scores),
    }


def restore_outcomes(evidence: Evidence) -> list[rules.Outcome]:
    """Return the result of each rule, from the evidence."""
    return [rules.Outcome(**vars(outcome)) for outcome in evidence.rules]


def list_warnings(answers: Answers, may_repeat: bool) -> tuple[str, ...]:
    """Return what a person should know first about the rows. may_repeat: whether they repeat naturally."""
    leaks = predictions.find_leaking(answers.rows)
    if again := answers.trained_on and answers.trained_on.near_duplicates:
        how_many = f"{again:,} of the eval rows {'equal' if may_repeat else 'nearly equal'} rows that the candidate"
        reason = "; the use case says that its rows repeat naturally" if may_repeat else ""
        leaks = (f"{how_many} was trained on{reason}.", *leaks)
    return leaks


def measure(scores: Scores, policy: Policy, candidate: Predictions, production: Predictions | None) -> form.Measured:
    """Return the metrics of each model on the rows."""

    def take(answers: Predictions, own: Any) -> form.Metrics:
        return form.Metrics(**predictions.measure(scores, policy, answers, own))

    return form.Measured(
        take(candidate, scores.own_candidate), take(production, scores.own_production) if production else None
    )


# --- stored evidence ------------------------------------------------------------------------------------


def find_contradiction(evidence: Evidence, text: str, scores: Scores, policy: Policy, drops_before: float) -> str:
    """Return the first field of evidence that does not follow from its own answers; empty if all do. text: its
    report.
    """

    def build_predictions(measured: form.Metrics | None, answers: Any) -> Predictions | None:
        if measured is None or answers is None:
            return None
        return Predictions(answers, {}, measured.latency_ms or 0.0, measured.size_bytes or 0)

    candidate = build_predictions(evidence.metrics.candidate, scores.candidate)
    production = build_predictions(evidence.metrics.production, scores.production)
    if candidate is None or (production is None) != (evidence.production is None):
        return "metrics"
    measured = measure(scores, policy, candidate, production)
    expected = conclude(scores, policy, measured, drops_before, evidence.looks)
    recorded = vars(evidence) | {"warnings": evidence.warnings[: len(expected["warnings"])]}
    wrong = [name for name, value in expected.items() if recorded[name] != value]
    if not wrong and report.report(form.as_json(evidence), restore_outcomes(evidence), scores, policy) != text:
        return "report"
    return wrong[0] if wrong else ""


def pick_rows(rows: int) -> npt.NDArray[np.int64]:
    """Return the rows to answer again, which no one can know in advance: int64 (at most SAMPLE_ROWS,)."""
    return np.sort(np.random.default_rng().choice(rows, min(rows, SAMPLE_ROWS), replace=False))


def find_other_answer(stored_evidence: Evidence, stored: Scores, now: Scores, answers: Answers) -> str:
    """
    Return what in the stored evidence differs from the models and rows of today; empty if nothing does. now: only the
    chosen rows.
    """
    if stored_evidence.sha256 != answers.sha256:
        return "sha256"
    if stored_evidence.trained_on != answers.trained_on:
        return "trained_on"
    if not np.array_equal(stored.targets, answers.rows.y):
        return "targets"
    chosen = answers.chosen
    for name, then, today in (
        ("candidate", stored.candidate, now.candidate),
        ("production", stored.production, now.production),
        ("own metric", stored.own_candidate, now.own_candidate),
        ("own metric", stored.own_production, now.own_production),
        *((name, groups, now.slices.get(name)) for name, groups in stored.slices.items()),
    ):
        if not _is_alike(then, today, chosen):
            return name
    if stored.slices.keys() != now.slices.keys() or stored.varied.keys() != now.varied.keys():
        return "behaviour"
    for name, varied in stored.varied.items():
        pair = now.varied[name]
        if not _is_alike(varied.candidate, pair.candidate, chosen):
            return name
        if not _is_alike(varied.production, pair.production, chosen):
            return name
    if (stored.classes, stored.groups) != (now.classes, now.groups):
        return "names"
    return "" if stored.seen == now.seen else "eval_rows_seen_in_training"


def _is_alike(then: Any, today: Any, chosen: npt.NDArray[np.int64]) -> bool:
    """
    Return whether the stored answers to the chosen rows are those of today.

    Numbers may differ in their last digits, and therefore one class in a hundred, where a model is undecided.
    """
    if then is None or today is None:
        return then is today
    if then.dtype.kind != "f":
        return bool((then[chosen] != today).mean() <= 0.01)
    near = _TOLERANCE * float(np.abs(then).max())
    return then.shape[1:] == today.shape[1:] and np.allclose(then[chosen], today, rtol=0, atol=near)
