"""
What an approval is given for, frozen as an artifact version: which model, on which rows, against what, by which rules.

`evidence.json` says it, in the form that `evidence.schema.json` beside this file publishes; `predictions.npz` holds
every answer, so that promote can compute the verdict again.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import StepError
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores, Varied

if TYPE_CHECKING:
    from wandb import Artifact

ARTIFACT_TYPE = "evaluation"
SCHEMA = Path(__file__).with_name("evidence.schema.json")
EVIDENCE, REPORT, PREDICTIONS = "evidence.json", "report.md", "predictions.npz"


def name_of(use_case: str) -> str:
    """The artifact's name."""
    return f"{use_case}_evaluation"


def add_to(artifact: Artifact, evidence: Mapping[str, Any], report: str, scores: Scores) -> None:
    """Put the evidence's three files into an artifact that is about to be logged."""
    arrays: dict[str, Any] = {"labels": scores.labels, "candidate": scores.candidate}
    if scores.production is not None:
        arrays["production"] = scores.production
    arrays |= {f"slices/{name}": groups for name, groups in scores.slices.items()}
    for name, varied in scores.varied.items():
        arrays[f"varied/{name}/candidate"] = varied.candidate
        if varied.production is not None:
            arrays[f"varied/{name}/production"] = varied.production
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **arrays)
    for name, content in (
        (EVIDENCE, json.dumps(evidence, indent=2, sort_keys=True, allow_nan=False).encode()),
        (REPORT, report.encode()),
        (PREDICTIONS, packed.getvalue()),
    ):
        with artifact.new_file(name, mode="wb") as file:
            file.write(content)


def read(artifact: Artifact) -> tuple[dict[str, Any], str, Scores]:
    """The evidence, the report and the scores of an evaluation's version."""
    with tempfile.TemporaryDirectory() as folder:

        def content(name: str) -> bytes:
            return Path(artifact.get_entry(name).download(root=folder)).read_bytes()

        try:
            evidence = checked(json.loads(content(EVIDENCE)))
            with np.load(io.BytesIO(content(PREDICTIONS)), allow_pickle=False) as arrays:
                scores = Scores(
                    labels=arrays["labels"].astype(np.int64),
                    candidate=arrays["candidate"],
                    production=arrays.get("production", None),
                    rows=evidence["dataset"]["eval_rows"],
                    seen=tuple(evidence["dataset"]["eval_rows_seen_in_training"]),
                    slices={key.split("/")[1]: arrays[key] for key in arrays if key.startswith("slices/")},
                    varied={
                        name: Varied(arrays[f"varied/{name}/candidate"], arrays.get(f"varied/{name}/production", None))
                        for name in (key.split("/")[1] for key in arrays if key.endswith("/candidate"))
                    },
                )
            return evidence, content(REPORT).decode(), scores
        except (KeyError, ValueError) as error:
            raise StepError(
                "evidence_unreadable", f"{artifact.name} is no evidence: {error}", "evaluate the version again"
            ) from error


def checked(evidence: Any) -> dict[str, Any]:
    """The evidence, if it follows its published schema; else ValueError that names what is missing or wrong."""
    from jsonschema import Draft202012Validator

    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for error in sorted(Draft202012Validator(schema).iter_errors(evidence), key=lambda error: error.json_path):
        raise ValueError(f"{EVIDENCE} at {error.json_path}: {error.message}")
    return dict(evidence)


def policy_of(evidence: Mapping[str, Any]) -> Policy:
    """The policy that the evidence was judged by."""
    return Policy(**evidence["policy"])
