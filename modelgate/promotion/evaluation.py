"""
An evaluation as an artifact version: what was judged, frozen, so that promote can judge it again.

`evidence.json` says what was judged, `report.md` says the same for people, and `predictions.npz` holds every answer.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.gate import metrics
from modelgate.gate.scores import Scores, Varied
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, PerRow
from modelgate.tracking import files

if TYPE_CHECKING:
    from wandb import Artifact

ARTIFACT_TYPE = "evaluation"
REPORT, PREDICTIONS = "report.md", "predictions.npz"


def name_of(use_case: str) -> str:
    """The artifact's name."""
    return f"{use_case}_evaluation"


def add_to(artifact: Artifact, evidence: str, report: str, scores: Scores) -> None:
    """Put the three files into an artifact that is about to be logged. evidence: the text of its file."""
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **_arrays(scores))
    for name, content in (
        (form.FILE, evidence.encode()),
        (REPORT, report.encode()),
        (PREDICTIONS, packed.getvalue()),
    ):
        with artifact.new_file(name, mode="wb") as file:
            file.write(content)


def read(artifact: Artifact) -> tuple[Evidence, str, Scores]:
    """The evidence, the report and the scores of an evaluation's version."""
    with tempfile.TemporaryDirectory() as folder:

        def content(name: str) -> bytes:
            return files.fetch(artifact, name, Path(folder)).path.read_bytes()

        try:
            evidence = form.parse(content(form.FILE))
            with np.load(io.BytesIO(content(PREDICTIONS)), allow_pickle=False) as arrays:
                scores = _scores(arrays, evidence)
            return evidence, content(REPORT).decode(), scores
        except (files.FileRefused, KeyError, ValueError) as error:
            raise StepError(
                "evidence_unreadable", f"{artifact.name} is not evidence: {error}", "evaluate the version again"
            ) from error


def per_row(scores: Scores) -> PerRow | None:
    """Where the loss of each row is kept; None when a model has not answered each row."""
    if not _losses(scores):
        return None
    return PerRow("predictions.npz", "losses/candidate", None if scores.production is None else "losses/production")


def _arrays(scores: Scores) -> dict[str, Any]:
    arrays: dict[str, Any] = {"labels": scores.labels, "candidate": scores.candidate}
    if scores.production is not None:
        arrays["production"] = scores.production
    arrays |= {f"slices/{name}": groups for name, groups in scores.slices.items()}
    for name, varied in scores.varied.items():
        arrays[f"varied/{name}/candidate"] = varied.candidate
        if varied.production is not None:
            arrays[f"varied/{name}/production"] = varied.production
    return arrays | _losses(scores)


def _losses(scores: Scores) -> dict[str, Any]:
    models = {"candidate": scores.candidate, "production": scores.production}
    answered = {name: rows for name, rows in models.items() if rows is not None}
    if any(len(rows) != len(scores.labels) for rows in answered.values()):
        return {}
    return {f"losses/{name}": metrics.losses(scores.labels, rows) for name, rows in answered.items()}


def _scores(arrays: Any, evidence: Evidence) -> Scores:
    names = [key.split("/")[1] for key in arrays if key.startswith("varied/") and key.endswith("/candidate")]
    return Scores(
        labels=arrays["labels"].astype(np.int64),
        candidate=arrays["candidate"],
        production=arrays.get("production", None),
        rows=evidence.dataset.eval_rows,
        seen=evidence.dataset.eval_rows_seen_in_training,
        slices={key.split("/")[1]: arrays[key] for key in arrays if key.startswith("slices/")},
        varied={
            name: Varied(arrays[f"varied/{name}/candidate"], arrays.get(f"varied/{name}/production", None))
            for name in names
        },
    )
