"""
Store an evaluation as an artifact version: what was judged, unchangeable, so that promote can judge it again.

`evidence.json` says what was judged, `report.md` says the same for people, and `predictions.npz` has every answer.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelgate.errors import StepError
from modelgate.gate import metrics
from modelgate.gate.policy import Policy
from modelgate.gate.scores import REGRESSION, Pair, Scores
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, PerRow
from modelgate.tracking import arrays, client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

ARTIFACT_TYPE = "evaluation"
REPORT: Final = "report.md"
PREDICTIONS: Final = "predictions.npz"
# The most that a step reads of each file, and of the unpacked arrays: a million rows of ten classes, two models and ten
# variations are 250 MB.
MAX_BYTES = {form.FILE: 4_000_000, REPORT: 4_000_000, PREDICTIONS: 1_000_000_000}
MAX_UNPACKED_BYTES = 2_000_000_000
MAX_GROUPS = 1000  # of one slice; each group is checked separately


def get_name(use_case: str) -> str:
    """Return the artifact's name."""
    return f"{use_case}_evaluation"


def add_to(artifact: Artifact, evidence: str, report: str, scores: Scores, policy: Policy) -> None:
    """Add the three files to an artifact before it is logged. evidence: the text of its file."""
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **_pack_arrays(scores, policy))
    for name, content in (
        (form.FILE, evidence.encode()),
        (REPORT, report.encode()),
        (PREDICTIONS, packed.getvalue()),
    ):
        with artifact.new_file(name, mode="wb") as file:
            file.write(content)


def read(artifact: Artifact) -> tuple[Evidence, str, Scores]:
    """Return the evidence, the report and the scores of an evaluation's version; raise StepError
    `evidence_unreadable`.
    """
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
    """Read the three files; ValueError names what is wrong. Anyone who can log an artifact may have written them."""
    parsed = form.parse(evidence)
    stored = arrays.load(predictions, MAX_UNPACKED_BYTES)
    if "labels" in stored and "targets" not in stored:  # their names before there were regressions
        stored["targets"] = stored.pop("labels")
    if wrong := _find_wrong(stored, parsed):
        raise ValueError(f"{PREDICTIONS}: {wrong}")
    return parsed, report.decode(), _unpack_scores(stored, parsed)


def _find_wrong(stored: Mapping[str, Any], evidence: Evidence) -> str:
    """Return why these arrays cannot be answers; empty if they can. The gate counts missing rows."""
    if not {"targets", "candidate"} <= stored.keys():
        return "targets and candidate must both be present"
    if not all(array.shape and len(array) for array in (stored["targets"], stored["candidate"])):
        return "there are no answers"
    if ("production" in stored) != (evidence.production is not None):
        return "the answers of production and its name must both be present"
    if evidence.metric not in metrics.METRICS and "losses/candidate" not in stored:
        return f"the values of the rows for {evidence.metric} are missing"
    regression = evidence.task == REGRESSION
    if (metric := metrics.METRICS.get(evidence.metric)) and metric.regression != regression:
        return f"{evidence.metric} is not a metric of {evidence.task}"
    if regression and evidence.policy.tolerance is None:
        return "a regression was judged without a tolerance"
    return (_find_wrong_numbers if regression else _find_wrong_classes)(stored) or _find_wrong_groups(stored)


def _find_wrong_classes(stored: Mapping[str, Any]) -> str:
    classes = stored["candidate"].shape[-1:]
    for name, values in stored.items():
        answers = name in ("candidate", "production")
        if answers and (values.ndim != 2 or values.dtype.kind != "f" or values.shape[1:] != classes or not classes[0]):
            return f"{name} is {values.dtype} {values.shape}, not one row of probabilities per row"
        if not answers and (values.ndim != 1 or values.dtype.kind not in _get_kinds(name)):
            return f"{name} is {values.dtype} {values.shape}, not one number per row"
    targets = stored["targets"]
    if targets.dtype.kind == "f" or (len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes[0]):
        return f"labels are not classes from 0 to {classes[0] - 1}"
    if "classes" in stored and len(stored["classes"]) != classes[0]:
        return f"there are {classes[0]} classes, but {len(stored['classes'])} names"
    return ""


def _find_wrong_numbers(stored: Mapping[str, Any]) -> str:
    for name, values in stored.items():
        kinds = "f" if name in ("targets", "candidate", "production") else _get_kinds(name)
        if values.ndim != 1 or values.dtype.kind not in kinds:
            return f"{name} is {values.dtype} {values.shape}, not one number per row"
    targets = stored["targets"]
    return "" if np.isfinite(targets).all() else "a target is NaN or infinite"


def _get_kinds(name: str) -> str:
    """Return the kinds of NumPy types that an array other than the answers may have."""
    if name == "classes" or name.startswith("groups/"):
        return "U"
    return "iu" if name.startswith("slices/") else "iuf"


def _find_wrong_groups(stored: Mapping[str, Any]) -> str:
    for name, values in stored.items():
        if name.startswith("slices/") and (count := len(np.unique(values))) > MAX_GROUPS:
            return f"{name} has {count} groups, but {MAX_GROUPS} are allowed"
    return ""


def count_looks(api: wandb.Api, evaluations: str, judged: form.Hashes, before: int | None = None) -> int:
    """
    Count the different candidates that these eval rows have judged, including this one.

    evaluations: `entity/project/name`. The count comes from the evaluations' metadata, so anyone who can write to the
    project can lower it. before: count only versions before this one.
    """
    models = {judged.model}
    for version in client.list_versions(api, ARTIFACT_TYPE, evaluations):
        sha256 = version.metadata.get("sha256")
        counts = before is None or Reference.pin(version).number < before
        if counts and isinstance(sha256, dict) and sha256.get("eval_rows") == judged.eval_rows:
            models.add(str(sha256.get("model")))
    return len(models)


def locate_losses(scores: Scores) -> PerRow | None:
    """Return where the loss of each row is stored; None if a model has not answered every row."""
    if not _has_answers(scores):
        return None
    return PerRow(PREDICTIONS, "losses/candidate", None if scores.production is None else "losses/production")


def _pack_arrays(scores: Scores, policy: Policy) -> dict[str, Any]:
    stored: dict[str, Any] = {"targets": scores.targets, "candidate": scores.candidate}
    if scores.production is not None:
        stored["production"] = scores.production
    if scores.classes:
        stored["classes"] = np.array(scores.classes)
    stored |= {f"slices/{name}": groups for name, groups in scores.slices.items()}
    stored |= {f"groups/{name}": np.array(names) for name, names in scores.groups.items()}
    for name, varied in scores.varied.items():
        stored[f"varied/{name}/candidate"] = varied.candidate
        if varied.production is not None:
            stored[f"varied/{name}/production"] = varied.production
    return stored | _pack_losses(scores, policy)


def _has_answers(scores: Scores) -> bool:
    """Return whether each model has one answer per row."""
    answers = (scores.candidate, scores.production)
    return all(len(rows) == len(scores.targets) for rows in answers if rows is not None)


def _pack_losses(scores: Scores, policy: Policy) -> dict[str, Any]:
    if not _has_answers(scores):
        return {}
    own = {"candidate": scores.own_candidate, "production": scores.own_production}
    answered = {"candidate": scores.candidate, "production": scores.production}
    return {
        f"losses/{name}": metrics.compute_losses(scores.targets, rows, policy) if (mine := own[name]) is None else mine
        for name, rows in answered.items()
        if rows is not None
    }


def _unpack_scores(stored: Mapping[str, Any], evidence: Evidence) -> Scores:
    regression = evidence.task == REGRESSION
    slices = {key.removeprefix("slices/"): groups for key, groups in stored.items() if key.startswith("slices/")}
    varied = [
        key.removeprefix("varied/").removesuffix("/candidate")
        for key in stored
        if key.startswith("varied/") and key.endswith("/candidate")
    ]
    return Scores(
        targets=stored["targets"].astype(np.float64 if regression else np.int64),
        candidate=stored["candidate"],
        production=stored.get("production"),
        rows=evidence.dataset.eval_rows,
        seen=evidence.dataset.eval_rows_seen_in_training,
        task=evidence.task,
        classes=tuple(str(name) for name in stored.get("classes", ())),
        slices=slices,
        groups={
            key.removeprefix("groups/"): tuple(names.tolist())
            for key, names in stored.items()
            if key.startswith("groups/")
        },
        varied={
            name: Pair(stored[f"varied/{name}/candidate"], stored.get(f"varied/{name}/production")) for name in varied
        },
        own=None
        if evidence.metric in metrics.METRICS
        else Pair(stored["losses/candidate"], stored.get("losses/production")),
    )
