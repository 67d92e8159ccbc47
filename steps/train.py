"""
Train the use case's model on a dataset.

    python -m steps.train --dataset team/model-registry-dev/NAME_dataset:v0

Reads   the dataset version, declared as the run's input.
Writes  metrics of the training (Keras: epoch/loss, epoch/accuracy, epoch/val_loss, epoch/val_accuracy);
        artifact <use_case>_model (type model): model.keras. The same inputs give the same bytes, and no new version.
Exits   0 done, 1 the dataset was not made by build, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wandb

from modelgate import config, datasets, frameworks, usecase
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import WRONG_USE, StepError
from modelgate.text import to_line
from modelgate.tracking import client, fingerprint, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from wandb import Artifact

UNSHOWN = ("epoch/epoch", "epoch/learning_rate")  # shown in the lines for people


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument("--dataset", required=True, metavar="REF", help="the dataset: entity/project/name:vN")
    # hyperparameters: each key of [train] in the use case's config.toml
    parser.add_hyperparameters()
    # reproducibility
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads to train with; a different number may give a different model (default: %(default)s)",
    )
    parser.add_argument("--no-cache", action="store_true", help="train even if this model was trained before")
    args = parser.parse()
    if args.threads < 1:
        parser.error(f"--threads {args.threads}: must be at least 1")
    return args


# --- the work --------------------------------------------------------------------------------------------------------


def load_model_part(args: argparse.Namespace, settings: config.Config) -> tuple[ModuleType, dict[str, Any]]:
    """Return the use case's model.py and its hyperparameters; refuse it if it does not take one of them."""
    model_part = usecase.load_part(args.use_case, "model")
    hyperparameters = {key: vars(args)[key] for key in settings.train}
    usecase.require_keywords(args.use_case, model_part, hyperparameters)
    return model_part, hyperparameters


def find_dataset(api: wandb.Api, reference: Reference) -> Artifact:
    """Return the dataset that --dataset names; refuse one that build did not make."""
    version = client.get(api, reference, "--dataset")
    built = lineage.require(version, lineage.BUILD)
    datasets.require_apart(version)
    log(f"{reference} was built by {to_line(built.account)}")
    return version


def fingerprint_inputs(
    settings: config.Config, model_part: ModuleType, chosen: Mapping[str, Any], dataset: Artifact
) -> str:
    """Return the alias under which a model of the same inputs by the same code is stored. chosen: the flags."""
    modules = [model_part.__name__, *usecase.list_modules(settings)]
    return fingerprint.compute_alias("steps.train", modules, chosen, {"dataset": dataset.digest})


def start_format(model_format: ModuleType, run: wandb.Run, args: argparse.Namespace) -> None:
    """Import the framework, seed it, and record its versions."""
    log(f"importing {model_format.NAME}")
    model_format.start(args.seed, args.threads)
    run.config.update(model_format.describe_versions())  # type: ignore[no-untyped-call]


@contextmanager
def report_fit_errors(model: ModuleType) -> Iterator[None]:
    """Turn what a use case's model.py or the framework raises into one sentence and exit code 2."""
    try:
        yield
    except StepError:
        raise
    except Exception as error:
        message = to_line(f"{usecase.locate_error(model, error)}: {type(error).__name__}: {error}")
        raise StepError(
            "model_failed", message, "fix the model, or the rows that it cannot handle", WRONG_USE
        ) from error


def create_recorder(run: wandb.Run) -> Callable[[str, Mapping[str, float]], None]:
    """Return the callback for training progress: per epoch, a line for people and the metrics on the run."""
    started = time.monotonic()
    run.define_metric("epoch/epoch")
    run.define_metric("epoch/*", step_metric="epoch/epoch")

    def record(label: str, metrics: Mapping[str, float]) -> None:
        shown = [f"{name.removeprefix('epoch/')} {metrics[name]:.4f}" for name in metrics if name not in UNSHOWN]
        log(" | ".join([label, *shown, *([f"{time.monotonic() - started:.1f} s"] if metrics else [])]))
        if metrics:
            run.log(dict(metrics))

    return record


def require_loadable(model_format: ModuleType, path: Path, use_case: str) -> None:
    """Refuse a model that no later step could load, before it is logged."""
    try:
        model_format.load(path, usecase.read_trusted(use_case))
    except StepError as error:
        raise StepError(error.name, str(error), error.hint, WRONG_USE) from error


def is_of_same_training(api: wandb.Api, version: Artifact, config: Mapping[str, Any], dataset: Artifact) -> bool:
    """Return whether the same training logged this version, and log the answer.

    Its alias is a hint: anyone who can write to the project can set it on any version, even on production's.
    """
    inputs = config["inputs"]
    if before := lineage.find_same_training(api, version, config, dataset):
        log(f"reused {Reference.pin(version)}: {to_line(before.account)} ran the same training before ({inputs})")
        return True
    log(f"{Reference.pin(version)} has the alias {inputs}, but no matching training logged it: training again")
    return False


def create_artifact(use_case: str, path: Path, metadata: Mapping[str, Any]) -> Artifact:
    """Return the artifact of a trained model, with its file."""
    artifact = wandb.Artifact(f"{use_case}_model", type="model", metadata=dict(metadata))
    artifact.add_file(str(path), name=path.name)
    return artifact


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    reference = Reference.parse(args.dataset, "--dataset")
    settings = config.load(args.use_case)
    project = client.get_project(settings.project)
    model_part, hyperparameters = load_model_part(args, settings)

    # 1) has this been trained before?
    api = client.connect()
    dataset_version = find_dataset(api, reference)
    chosen = hyperparameters | {"threads": args.threads}
    inputs = fingerprint_inputs(settings, model_part, chosen, dataset_version)
    collection = f"{client.get_entity(api)}/{project}/{args.use_case}_model"
    recorded = chosen | {"use_case": args.use_case}
    version = None if args.no_cache else client.find(api, f"{collection}:{inputs}")
    if version and is_of_same_training(api, version, recorded | {"inputs": inputs}, dataset_version):
        emit(client.describe_version("model", version), args.out)
        return 0

    recorded |= {"dataset": str(reference)}
    model_format = frameworks.load_format(settings.framework)
    started = client.start_run(api, lineage.TRAIN, project, args.use_case, recorded | {"inputs": inputs})
    with started as run, tempfile.TemporaryDirectory() as folder:
        # 2) the input, through the run, so that W&B records the lineage; the eval rows are not downloaded
        training, _ = datasets.fetch_training(run.use_artifact(str(reference)), Path(folder))

        # 3) the training
        start_format(model_format, run, args)
        with report_fit_errors(model_part):
            model = model_format.fit(training, model_part, hyperparameters, settings.task, create_recorder(run))

        # 4) the output
        metadata = recorded | model_format.describe_versions() | {"dataset_digest": dataset_version.digest}
        path = Path(folder) / model_format.MODEL_FILE
        model_format.save(model, path)
        require_loadable(model_format, path, args.use_case)
        logged = client.log(run, create_artifact(args.use_case, path, metadata), ["latest", inputs])
        answer = client.describe_version("model", logged, run.url)
    emit(answer, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
