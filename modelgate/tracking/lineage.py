"""
Where a version comes from, by W&B's own record: the run that logged it, whose that was, and what it had used.

A record and not a proof: whoever may log a version may give their run any job type and any inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wandb.errors import CommError

from modelgate.errors import StepError
from modelgate.tracking import client

if TYPE_CHECKING:
    from wandb import Artifact

BUILD, TRAIN = "build_dataset", "train_model"


@dataclass(frozen=True)
class Origin:
    """The run that logged a version: its job type, its account, the datasets that it used, its config and its page."""

    job_type: str
    account: str
    datasets: tuple[Artifact, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


def origin(version: Artifact) -> Origin | None:
    """Where a version comes from; None if no run is known, or it was deleted."""
    try:
        if (run := version.logged_by()) is None:
            return None
        used = tuple(artifact for artifact in run.used_artifacts() if artifact.type == "dataset")
        account = client.account_of_run(run) or "nobody"
        return Origin(str(run.job_type), account, used, dict(run.config), str(run.url))
    except (CommError, ValueError):
        return None


def training(version: Artifact) -> Origin:
    """The run that trained a model; refused as `lineage_unknown` if W&B does not know it or its datasets."""
    found = origin(version)
    if found is None or found.job_type != TRAIN or not found.datasets:
        raise StepError(
            "lineage_unknown",
            f"{version.name} was logged by {_named(found)}, so nobody knows which rows it was trained on",
            "register a model that the step train has logged",
        )
    return found


def require(version: Artifact, job_type: str) -> Origin:
    """Where a version comes from; refused as `unknown_origin` if no run of this job type logged it."""
    found = origin(version)
    if found is None or found.job_type != job_type:
        raise StepError(
            "unknown_origin",
            f"{version.name} was logged by {_named(found)}, and not by one with the job type {job_type!r}",
            "give a version that the step before has made",
        )
    return found


def _named(found: Origin | None) -> str:
    return f"a run of {found.account} with the job type {found.job_type!r}" if found else "no run that W&B knows"
