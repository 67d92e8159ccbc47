"""What models answer to the rows of an eval set, and the numbers that are made of it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from modelgate.gate import metrics as measures
from modelgate.gate import statistics
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores, Varied
from modelgate.rows.dataset import Images, Rows

FIRST_ROWS = 256  # of a call whose time is not taken: it compiles


class Predictions(NamedTuple):
    """
    What one model says of the eval rows, and what it took.

    probabilities: float32 (N, classes). varied: by variation, the class that is answered, int64 (N,).
    latency_ms: milliseconds a row, in batches. size_bytes, sha256: of the model's file.
    """

    probabilities: Any
    varied: dict[str, Any]
    latency_ms: float
    size_bytes: int
    sha256: str


def ask(model_format: ModuleType, model_path: Path, images: Images, variations: dict[str, Images]) -> Predictions:
    """Load a model and let it answer. model_format: a module of `modelgate.frameworks`."""
    model = model_format.load(model_path)

    def predict(rows: Images) -> Any:
        return model_format.predict(model, rows)

    predict(images[:FIRST_ROWS])
    began = time.perf_counter()
    probabilities = predict(images)
    latency_ms = 1000 * (time.perf_counter() - began) / len(images)
    varied = {name: predict(rows).argmax(axis=1) for name, rows in variations.items()}
    file = model_path.read_bytes()
    return Predictions(probabilities, varied, latency_ms, len(file), hashlib.sha256(file).hexdigest())


def side_by_side(
    rows: Rows,
    behaviour: ModuleType | None,
    candidate: Predictions,
    production: Predictions | None,
    seen: tuple[int, ...],
    chosen: Any = slice(None),
) -> Scores:
    """
    Both models' answers, side by side.

    seen: the eval rows that the candidate was trained on. chosen: those that the answers are to, if not to all.
    """
    labels = rows.y[chosen]
    slices = behaviour.slices(rows.x, rows.y) if behaviour else {}
    return Scores(
        labels=labels,
        candidate=candidate.probabilities,
        production=production and production.probabilities,
        rows=len(labels),
        seen=seen,
        slices={name: groups[chosen] for name, groups in slices.items()},
        varied={
            name: Varied(answers, production and production.varied[name]) for name, answers in candidate.varied.items()
        },
    )


def measure(labels: Any, answers: Predictions) -> dict[str, Any]:
    """accuracy and calibration_error (fractions), loss (nats per row), latency_ms, size_bytes; None if not finite."""
    with np.errstate(invalid="ignore"):
        values = {
            "accuracy": measures.accuracy(labels, answers.probabilities),
            "loss": measures.loss(labels, answers.probabilities),
            "calibration_error": measures.calibration_error(labels, answers.probabilities),
            "latency_ms": answers.latency_ms,
            "size_bytes": answers.size_bytes,
        }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def comparison(scores: Scores, policy: Policy, drops_before: float) -> dict[str, float] | None:
    """
    What a person should know of a comparison that passes; None when there is nothing to compare with.

    drop: production's accuracy less the candidate's. shown: how much of it, or of the gain, the rows show with 95 %
    confidence, by the bound and the test that the gate itself uses; 0 when it is within what they can tell.
    smallest_drop: what `no_worse` would refuse four times in five on rows like these. drops_since_first: the sum of all
    drops since the first promotion, this one included. Fractions.
    """
    if scores.production is None or len(scores.production) != len(scores.candidate):
        return None
    ours, theirs = (measures.correct(scores.labels, rows) for rows in (scores.candidate, scores.production))
    regressed, improved = measures.regressed_and_improved(theirs, ours)
    drop = (regressed - improved) / scores.rows
    churn = 2 * min(regressed, improved) / scores.rows
    return {
        "drop": drop,
        "shown": statistics.shown_drop(theirs, ours) if drop > 0 else statistics.shown_gain(theirs, ours),
        "smallest_drop": statistics.smallest_drop(churn, scores.rows, policy.margin),
        "drops_since_first": drops_before + drop,
    }
