"""
What follows from the answers of two models, and whether stored evidence says just that.

Evidence that is found again is a hint: whoever may write to the project can have put it there. What follows from its
answers is computed again, and where it would lead to a promotion the models are asked again too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from modelgate import predictions
from modelgate.gate import metrics, report, rules
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores
from modelgate.predictions import Predictions
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence
from modelgate.rows.dataset import Rows

# Of the rows, so many are asked again, or all if there are fewer. Where one answer in a hundred of 1,000 was changed,
# 512 of them miss it less than once in a thousand times.
SAMPLE_ROWS = 512
_TOLERANCE = 1e-4  # the same model on another machine, or in other batches, differs in the last digits of a float32


class Answers(NamedTuple):
    """
    The rows, the SHA-256 of the files of candidate and rows, and what the models answer to the rows in `chosen`.

    chosen: int64, indices of eval rows. seen: those of all eval rows that the candidate was trained on.
    """

    rows: Rows
    sha256: form.Hashes
    trained_on: form.TrainedOn
    seen: tuple[int, ...]
    chosen: npt.NDArray[np.int64]
    candidate: Predictions
    production: Predictions | None


def conclusions(scores: Scores, policy: Policy, measured: form.Measured, drops_before: float) -> dict[str, Any]:
    """The fields of evidence that follow from the answers."""
    outcomes = rules.judge(scores, policy)
    compared = predictions.comparison(scores, policy, drops_before)
    complete = report.complete(outcomes)
    return {
        "verdict": "pass" if rules.passes(outcomes) else "fail",
        "headline": report.headline(outcomes, compared, measured.candidate.accuracy, scores.rows),
        "rules": tuple(form.Outcome(**vars(outcome)) for outcome in outcomes),
        "policy": form.limits_of(policy),
        "metrics": measured,
        "comparison": form.Comparison(**compared) if compared else None,
        "slices": form.slices_of(report.moved_slices(scores)) if complete else (),
        "confusion": form.confusion_of(metrics.mistakes(scores.labels, scores.candidate)) if complete else (),
        "per_row": evaluation.per_row(scores),
    }


def measure(scores: Scores, candidate: Predictions, production: Predictions | None) -> form.Measured:
    """What each model measures on the rows."""

    def of(answers: Predictions) -> form.Metrics:
        return form.Metrics(**predictions.measure(scores.labels, answers), other={})

    return form.Measured(of(candidate), of(production) if production else None)


# --- evidence that is found again ------------------------------------------------------------------------------------


def contradicted(found: Evidence, text: str, scores: Scores, policy: Policy, drops_before: float) -> str:
    """The first field of evidence that does not follow from its own answers; empty if all do. text: its report."""

    def answers(measured: form.Metrics | None, probabilities: Any) -> Predictions | None:
        if measured is None or probabilities is None:
            return None
        return Predictions(probabilities, {}, measured.latency_ms or 0.0, measured.size_bytes or 0, "")

    candidate = answers(found.metrics.candidate, scores.candidate)
    production = answers(found.metrics.production, scores.production)
    if candidate is None or (production is None) != (found.production is None):
        return "metrics"
    expected = conclusions(scores, policy, measure(scores, candidate, production), drops_before)
    wrong = [name for name, value in expected.items() if getattr(found, name) != value]
    if not wrong and report.report(form.as_json(found), rules.judge(scores, policy), scores) != text:
        return "report"
    return wrong[0] if wrong else ""


def some_rows(rows: int) -> npt.NDArray[np.int64]:
    """Rows to ask again, which nobody can know before: int64 (at most SAMPLE_ROWS,)."""
    return np.sort(np.random.default_rng().choice(rows, min(rows, SAMPLE_ROWS), replace=False))


def answered_otherwise(found: Evidence, stored: Scores, now: Scores, answers: Answers) -> str:
    """
    What of the stored evidence is not what models and rows say today; empty if all is. now: of the chosen rows alone.
    """
    if found.sha256 != answers.sha256:
        return "sha256"
    if found.trained_on != answers.trained_on:
        return "trained_on"
    if not np.array_equal(stored.labels, answers.rows.y):
        return "labels"
    chosen = answers.chosen
    for name, then, today in (
        ("candidate", stored.candidate, now.candidate),
        ("production", stored.production, now.production),
        *((name, groups, now.slices.get(name)) for name, groups in stored.slices.items()),
    ):
        if not _alike(then, today, chosen):
            return name
    if stored.slices.keys() != now.slices.keys() or stored.varied.keys() != now.varied.keys():
        return "behaviour"
    for name, varied in stored.varied.items():
        asked = now.varied[name]
        if not _alike(varied.candidate, asked.candidate, chosen):
            return name
        if not _alike(varied.production, asked.production, chosen):
            return name
    return "" if stored.seen == now.seen else "eval_rows_seen_in_training"


def _alike(then: Any, today: Any, chosen: npt.NDArray[np.int64]) -> bool:
    """
    Whether stored answers are, in the chosen rows, those of today.

    Probabilities may differ in their last digits, and so one class in a hundred, where a model is in two minds.
    """
    if then is None or today is None:
        return then is today
    if then.ndim == 1:
        return bool((then[chosen] != today).mean() <= 0.01)
    return then.shape[1:] == today.shape[1:] and np.allclose(then[chosen], today, atol=_TOLERANCE)
