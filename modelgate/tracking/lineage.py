"""
Find where a version comes from, in W&B's own record: the run that logged it, its account, and what it used.

This is a record, not a proof: anyone who can log a version can give their run any job type and any inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from wandb.errors import CommError

from modelgate.errors import StepError
from modelgate.tracking import client
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

BUILD, TRAIN = "build_dataset", "train_model"
MAX_RUNS = 20  # the most runs to look at for one training; if none matches, it runs again


@dataclass(frozen=True)
class Origin:
    """The run that logged a version: its job type, its account, the datasets that it used, its config and its page."""

    job_type: str
    account: str
    datasets: tuple[Artifact, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


def find_origin(version: Artifact) -> Origin | None:
    """Return where a version comes from; None if no run is known, or it was deleted."""
    try:
        run = version.logged_by()
        return None if run is None else _describe_run(run)
    except (CommError, ValueError):
        return None


def _describe_run(run: Any) -> Origin:
    used = tuple(artifact for artifact in run.used_artifacts() if artifact.type == "dataset")
    account = client.get_run_account(run) or "no one"
    return Origin(str(run.job_type), account, used, dict(run.config), str(run.url))


def find_same_training(
    api: wandb.Api, version: Artifact, wanted: Mapping[str, Any], dataset: Artifact
) -> Origin | None:
    """
    Return a training run that logged this exact model, has the config `wanted`, and used the dataset; None without one.

    wanted: hyperparameters, and as `inputs` the fingerprint of code, lock and data (`modelgate.tracking.fingerprint`).

    This does not only check the run that first logged the model: other code may make the same bytes, and so the same
    version.
    """
    filters = {"jobType": TRAIN, "config.inputs": wanted["inputs"]}
    try:
        for run in islice(api.runs(f"{version.source_entity}/{version.source_project}", filters=filters), MAX_RUNS):
            origin = _describe_run(run)
            digests = {logged.digest for logged in run.logged_artifacts() if logged.type == "model"}
            same_config = {key: origin.config.get(key) for key in wanted} == dict(wanted)
            if (
                same_config
                and version.digest in digests
                and dataset.digest in {used.digest for used in origin.datasets}
            ):
                return origin
    except (CommError, ValueError):
        pass
    return None


def find_training(api: wandb.Api, version: Artifact, *, was_in_production: bool = False) -> Origin:
    """
    Return the run that trained a model, with the datasets that it learned from.

    Raise `lineage_unknown` if W&B does not know the run, or has lost one of its datasets. was_in_production: then the
    model was judged when they existed, and the run is returned without datasets.
    """
    origin = find_origin(version)
    if origin is not None and origin.job_type == TRAIN and (learned := _list_datasets(api, version, origin)):
        return replace(origin, datasets=learned)
    if was_in_production:
        return replace(origin or Origin("", "no one", ()), datasets=())
    if origin is not None and origin.job_type == TRAIN:
        raise StepError(
            "lineage_unknown",
            f"the dataset that {version.name} was trained on is gone, so its rows are unknown",
            "build it again from the same source, or train on another one",
        )
    raise StepError(
        "lineage_unknown",
        f"{version.name} was logged by {_format_name(origin)}, so it is unknown which rows it was trained on",
        "register a model that the step train logged",
    )


def _list_datasets(api: wandb.Api, version: Artifact, run: Origin) -> tuple[Artifact, ...]:
    """
    Return the datasets that a training run used; none if one is lost.

    A deleted dataset is no longer an input of the run. But run and model recorded its name and its digest, so it can be
    found if it was built again.
    """
    digest, name = version.metadata.get("dataset_digest"), run.config.get("dataset")
    if not isinstance(digest, str) or any(used.digest == digest for used in run.datasets):
        return run.datasets
    try:
        collection = Reference.parse(str(name), "").collection
    except StepError:
        return ()
    again = client.find_by_digest(api, collection, "dataset", digest)
    return (again, *run.datasets) if again else ()


def require(version: Artifact, job_type: str) -> Origin:
    """Return where a version comes from; raise `unknown_origin` if no run of this job type logged it."""
    origin = find_origin(version)
    if origin is None or origin.job_type != job_type:
        raise StepError(
            "unknown_origin",
            f"{version.name} was logged by {_format_name(origin)}, not by one with the job type {job_type!r}",
            "use a version that the previous step made",
        )
    return origin


def _format_name(origin: Origin | None) -> str:
    return f"a run of {origin.account} with the job type {origin.job_type!r}" if origin else "no run that W&B knows"
