"""
Train the use case's model on a dataset.

    python -m steps.train --dataset team/model-registry-dev/NAME_dataset:v0

Reads   the dataset version, declared as the run's input.
Writes  metrics per epoch (epoch/loss, epoch/accuracy, epoch/val_loss, epoch/val_accuracy);
        artifact <use_case>_model (type model): model.keras. The same inputs give the same bytes, and no new version.
Exits   0 done, 1 the dataset is not one that build made, 2 wrong use, 3 W&B not reachable.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from modelgate import config, datasets, usecase
from modelgate.cli import StepParser, emit, guarded, say
from modelgate.frameworks import keras_format
from modelgate.rows.dataset import Dataset
from modelgate.text import one_line
from modelgate.tracking import client, files, fingerprint, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import keras


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument("--dataset", required=True, metavar="REF", help="the dataset: entity/project/name:vN")
    # hyperparameters: each key of [train] in the use case's config.toml
    parser.add_hyperparameters()
    # reproducibility
    parser.add_argument(
        "--threads", type=int, default=1, help="TensorFlow's; another number gives other weights (default: %(default)s)"
    )
    parser.add_argument("--no-cache", action="store_true", help="train even when this was trained before")
    args = parser.parse()
    if args.threads < 1:
        parser.error(f"--threads {args.threads}: must be at least 1")
    return args


# --- the work --------------------------------------------------------------------------------------------------------


def split(x: Any, y: Any, validation_split: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """Rows to learn from and rows held out, each class in both in the same proportion: x_t, x_v, y_t, y_v."""
    from sklearn.model_selection import train_test_split

    x_t, x_v, y_t, y_v = train_test_split(x, y, test_size=validation_split, random_state=seed, stratify=y)
    return x_t, x_v, y_t, y_v


def fit(
    dataset: Dataset, build_model: Callable[..., Any], hyperparameters: Mapping[str, Any], callbacks: list[Any]
) -> keras.Model:
    """
    The trained model. hyperparameters: those of `[train]`, all of which `build_model` gets as keywords.

    A model that `build_model` has compiled itself is trained as it is; it has to take labels as one-hot rows.
    """
    import keras

    classes = int(dataset.y_train.max()) + 1
    model: keras.Model = build_model(classes, dataset.x_train.shape[1:], **hyperparameters)
    if not model.compiled:
        model.compile(loss="categorical_crossentropy", optimizer=hyperparameters["optimizer"], metrics=["accuracy"])
    x_t, x_v, y_t, y_v = split(
        dataset.x_train, dataset.y_train, hyperparameters["validation_split"], hyperparameters["seed"]
    )
    say(f"{model.count_params():,} parameters; {len(x_t)} rows to learn from, {len(x_v)} held out")
    one_hot = keras.utils.to_categorical
    model.fit(
        x_t,
        one_hot(y_t, classes),
        batch_size=hyperparameters["batch_size"],
        epochs=hyperparameters["epochs"],
        validation_data=(x_v, one_hot(y_v, classes)),
        callbacks=callbacks,
        verbose=0,
    )
    return model


def epoch_lines(epochs: int) -> Any:
    """A Keras callback that says one line an epoch."""
    import keras

    started = time.monotonic()

    def line(epoch: int, logs: dict[str, float]) -> None:
        shown = " | ".join(f"{key} {logs[key]:.4f}" for key in ("loss", "accuracy", "val_loss", "val_accuracy"))
        say(f"epoch {epoch + 1:02d}/{epochs:02d} | {shown} | {time.monotonic() - started:.1f} s")

    return keras.callbacks.LambdaCallback(on_epoch_end=line)


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    reference = Reference.parse(args.dataset, "--dataset")
    settings = config.load(args.use_case)
    project = client.project_of(settings.project)
    model_part = usecase.part(args.use_case, "model")
    hyperparameters = {key: vars(args)[key] for key in settings.train}
    usecase.require_keywords(args.use_case, model_part.build_model, hyperparameters)

    # 1) has this been trained before?
    api = client.connect()
    dataset_version = client.get(api, reference, "--dataset")
    built = lineage.require(dataset_version, lineage.BUILD)
    say(f"{reference} was built by {one_line(built.account)}")
    inputs = fingerprint.alias(
        "steps.train",
        [model_part.__name__],
        hyperparameters | {"threads": args.threads},
        {"dataset": dataset_version.digest},
    )
    collection = f"{client.entity_of(api)}/{project}/{args.use_case}_model"
    if not args.no_cache and (found := client.find(api, f"{collection}:{inputs}")):
        # The alias is a hint: whoever may write to the project can give it to any version.
        before = lineage.origin(found)
        if before and before.job_type == lineage.TRAIN:
            by = one_line(before.account)
            say(f"reused {Reference.of(found)}: the same training was run before by {by} ({inputs})")
            emit(client.made("model", found), args.out)
            return 0
        say(f"{Reference.of(found)} has the alias {inputs}, and no training logged it: training again")

    recorded = hyperparameters | {
        "threads": args.threads,
        "use_case": args.use_case,
        "dataset": str(reference),
        "onednn_max_cpu_isa": keras_format.ONEDNN_MAX_CPU_ISA,
    }
    with client.run(api, lineage.TRAIN, project, recorded) as run, tempfile.TemporaryDirectory() as folder:
        # 2) the input, through the run, so that W&B knows the lineage
        dataset, _ = datasets.fetch(run.use_artifact(str(reference)), Path(folder))

        # 3) the training
        say("importing TensorFlow")
        keras_format.start(args.seed, args.threads)
        from wandb.integration.keras import WandbMetricsLogger

        callbacks = [WandbMetricsLogger(), epoch_lines(args.epochs)]
        model = fit(dataset, model_part.build_model, hyperparameters, callbacks)

        # 4) the output
        path = Path(folder) / files.MODEL
        keras_format.save(model, path)
        artifact = model_artifact(args.use_case, path, recorded | {"dataset_digest": dataset_version.digest})
        logged = client.log(run, artifact, ["latest", inputs])
        answer = client.made("model", logged, run.url)
    emit(answer, args.out)
    return 0


def model_artifact(use_case: str, path: Path, settings: dict[str, Any]) -> wandb.Artifact:
    """The model as an artifact, not yet logged."""
    import keras
    import tensorflow as tf

    made_by = {"keras": keras.__version__, "tensorflow": tf.__version__, "machine": platform.machine()}
    artifact = wandb.Artifact(f"{use_case}_model", type="model", metadata=settings | made_by)
    artifact.add_file(str(path), name=files.MODEL)
    return artifact


if __name__ == "__main__":
    sys.exit(guarded(main))
