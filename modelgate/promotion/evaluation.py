"""
An evaluation as an artifact version: what was judged, frozen, so that promote can judge it again.

`evidence.json` says what was judged, `report.md` says the same for people, and `predictions.npz` holds every answer.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.gate import metrics
from modelgate.gate.scores import Scores, Varied
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, PerRow
from modelgate.tracking import arrays, files

if TYPE_CHECKING:
    from wandb import Artifact

ARTIFACT_TYPE = "evaluation"
REPORT, PREDICTIONS = "report.md", "predictions.npz"
# What a step reads of each file at most, and of the arrays when they are unpacked: a million rows of ten classes, two
# models and ten variations are 250 MB.
MAX_BYTES = {form.FILE: 4_000_000, REPORT: 4_000_000, PREDICTIONS: 1_000_000_000}
MAX_UNPACKED_BYTES = 2_000_000_000


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
    """The evidence, the report and the scores of an evaluation's version; StepError `evidence_unreadable`."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            contents = [
                files.fetch(artifact, name, Path(folder), limit).path.read_bytes() for name, limit in MAX_BYTES.items()
            ]
        return unpack(*contents)
    except (files.FileRefused, ValueError) as error:
        raise StepError(
            "evidence_unreadable", f"{artifact.name} is not evidence: {error}", "evaluate the version again"
        ) from error


def unpack(evidence: bytes, report: bytes, predictions: bytes) -> tuple[Evidence, str, Scores]:
    """What the three files say; ValueError names what is wrong. Whoever may log an artifact can have written them."""
    found = form.parse(evidence)
    stored = arrays.load(predictions, MAX_UNPACKED_BYTES)
    if wrong := _wrong(stored, found):
        raise ValueError(f"{PREDICTIONS}: {wrong}")
    return found, report.decode(), _scores(stored, found)


def _wrong(stored: Mapping[str, Any], evidence: Evidence) -> str:
    """What keeps these arrays from being answers; empty if nothing does. Missing rows are for the gate to count."""
    if not {"labels", "candidate"} <= stored.keys():
        return "labels and candidate are not both there"
    if ("production" in stored) != (evidence.production is not None):
        return "the answers of production and its name are not both there"
    classes = stored["candidate"].shape[-1:]
    for name, values in stored.items():
        answers = name in ("candidate", "production")
        if answers and (values.ndim != 2 or values.dtype.kind != "f" or values.shape[1:] != classes or not classes[0]):
            return f"{name} is {values.dtype} {values.shape}, and not one row of probabilities per row"
        if not answers and (values.ndim != 1 or values.dtype.kind not in "iuf"):
            return f"{name} is {values.dtype} {values.shape}, and not one number per row"
    labels = stored["labels"]
    if labels.dtype.kind == "f" or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes[0]):
        return f"labels are not classes from 0 to {classes[0] - 1}"
    return ""


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
