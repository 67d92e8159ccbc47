"""
Record the rows of a use case as a dataset: W&B Tables to look at, and the arrays in one file to train on.

    python -m steps.build --rows 6000 --eval-rows 1000

Reads   the use case's source of rows, as its data.py finds it.
Writes  artifact <use_case>_dataset (type dataset): tables train_table and eval_table, arrays.npz.
Exits   0 done; 1 a check of the rows failed, and nothing was recorded; 2 wrong use, or data.py failed; 3 W&B is not
        reachable, or the source cannot be read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import wandb
from PIL import Image

from modelgate import config, datasets, usecase
from modelgate.cli import StepParser, emit, guarded, say
from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.rows.checks import violations
from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable, SourceUnreadable
from modelgate.text import one_line
from modelgate.tracking import client, files, fingerprint, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from types import ModuleType

Picture = Callable[[Any], npt.NDArray[np.uint8]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    defaults = parser.config.build
    rows = "rows to %s; the default is the use case's (default: %%(default)s)"
    parser.add_argument("--rows", type=int, default=defaults.rows, metavar="N", help=rows % "train on")
    parser.add_argument("--eval-rows", type=int, default=defaults.eval_rows, metavar="N", help=rows % "evaluate on")
    parser.add_argument("--no-cache", action="store_true", help="build even when this was built before")
    args = parser.parse()
    if args.rows < 1 or args.eval_rows < 1:
        parser.error("--rows and --eval-rows must be at least 1")
    return args


# --- the work --------------------------------------------------------------------------------------------------------


@contextmanager
def reading(data: ModuleType) -> Iterator[None]:
    """
    What a use case's data.py raises, as one sentence and the exit code that it means.

    3: the source cannot be read, now or like this. 2: data.py itself fails, so it is to be changed; that is not 1, for
    no check of the rows has said no.
    """
    file = f"usecases/{data.__name__.split('.')[1]}/data.py"
    try:
        yield
    except SourceUnavailable as error:
        kind = "unreadable" if isinstance(error, SourceUnreadable) else "unavailable"
        raise StepError(f"source_{kind}", one_line(error), error.hint, UNREACHABLE) from error
    except NotEnoughRows as error:
        raise StepError("too_many_rows", one_line(error), "ask for fewer rows", WRONG_USE) from error
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == data.__file__]
        where = f"{file}, line {lines[-1]}" if lines else file
        said = one_line(f"{where}: {type(error).__name__}: {error}")
        if isinstance(error, (OSError, EOFError, zipfile.BadZipFile, zlib.error)):
            raise StepError("source_unreadable", said, "look at the source that it reads", UNREACHABLE) from error
        hint = (
            f"fix {file}; the traceback: .venv/bin/python -c 'import {data.__name__} as data; data.source(); data.load"
        )
        raise StepError("data_failed", said, f"{hint}(100, 100)'", WRONG_USE) from error


def read_source(data: ModuleType) -> Source:
    """Where the rows come from; exit 3 when the source cannot be read."""
    with reading(data):
        source: Source = data.source()
    return source


def read_rows(data: ModuleType, rows: int, eval_rows: int) -> Dataset:
    """The rows, checked; exit 1 when a check is violated."""
    with reading(data):
        dataset: Dataset = data.load(rows, eval_rows)
        found = violations(dataset, data.CLASSES, data.SHAPE)
    if found:
        message = "; ".join(f"{finding.check}: {finding.message}" for finding in found)
        raise StepError(found[0].check, message, f"fix {data.__name__} or its source; nothing was recorded")
    return dataset


def holds(version: wandb.Artifact, dataset: Dataset) -> bool:
    """Whether a version has these very rows. Its alias is a hint: whoever may write to the project can give it."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            stored, _ = datasets.fetch(version, Path(folder))
        except StepError as error:
            if error.exit_code == UNREACHABLE:
                raise
            say(f"{version.name}: {error}")
            return False
    return all(np.array_equal(rows, vars(stored)[name]) for name, rows in vars(dataset).items())


def add_table(artifact: wandb.Artifact, split: str, images: Any, labels: Any, picture: Picture, folder: Path) -> None:
    """
    The walkthrough's table: columns `x_<split>` (float32 images), `y_<split>` (labels) and `img` (to look at).

    The pictures are written to `folder`, which has to stay until the artifact is logged, and added to it together:
    one by one, the SDK would copy each of them twice.
    """
    folder.mkdir()
    paths = [folder / f"{row:05d}.png" for row in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(picture(image)).save(path, compress_level=1)
    artifact.add_dir(str(folder), name=f"media/images/{split}", policy="immutable", skip_cache=True)
    table = wandb.Table(columns=[], data=[])
    table.add_column(f"x_{split}", images)
    table.add_column(f"y_{split}", labels)
    table.add_column("img", [wandb.Image(str(path)) for path in paths])
    artifact.add(table, f"{split}_table")


def dataset_artifact(use_case: str, dataset: Dataset, source: Source, picture: Picture, folder: Path) -> wandb.Artifact:
    """The dataset as an artifact, not yet logged; the same rows give the same digest. folder: stays until it is."""
    counts = {
        split: {str(label): int(count) for label, count in zip(*np.unique(labels, return_counts=True), strict=True)}
        for split, labels in (("train", dataset.y_train), ("eval", dataset.y_eval))
    }
    artifact = wandb.Artifact(
        f"{use_case}_dataset",
        type="dataset",
        metadata={
            "source": source.name,
            "sha256": source.sha256,
            "rows": len(dataset.x_train),
            "eval_rows": len(dataset.x_eval),
            "class_counts": counts,
        },
    )
    add_table(artifact, "train", dataset.x_train, dataset.y_train, picture, folder / "train")
    add_table(artifact, "eval", dataset.x_eval, dataset.y_eval, picture, folder / "eval")
    with artifact.new_file(files.ROWS, mode="wb") as file:
        np.savez_compressed(file, **vars(dataset))
    return artifact


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = config.load(args.use_case)
    data = usecase.part(args.use_case, "data")
    flags = {"rows": args.rows, "eval_rows": args.eval_rows}

    # 1) has this been built before?
    source = read_source(data)
    inputs = fingerprint.alias("steps.build", [data.__name__], flags, {"source": source.sha256})
    api = client.connect()
    project = client.project_of(settings.project)
    collection = f"{client.entity_of(api)}/{project}/{args.use_case}_dataset"
    found = None if args.no_cache else client.find(api, f"{collection}:{inputs}")

    # 2) read and check, before anything is recorded
    dataset = read_rows(data, args.rows, args.eval_rows)
    if found and holds(found, dataset):
        say(f"reused {Reference.of(found)}: it holds the rows of {source.name} ({inputs})")
        emit(client.made("dataset", found), args.out)
        return 0
    if found:
        say(f"{Reference.of(found)} has the alias {inputs}, and does not hold these rows: building again")
    say(f"{len(dataset.x_train)} rows to train on, {len(dataset.x_eval)} to evaluate on, from {source.name}")

    # 3) record
    with (
        tempfile.TemporaryDirectory() as folder,
        client.run(api, lineage.BUILD, project, flags | {"use_case": args.use_case}) as run,
    ):
        say("making the tables")
        artifact = dataset_artifact(args.use_case, dataset, source, data.picture, Path(folder))
        say(f"uploading {len(artifact.manifest.entries)} files")
        logged = client.log(run, artifact, ["latest", inputs])
        answer = client.made("dataset", logged, run.url)
    emit(answer, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
