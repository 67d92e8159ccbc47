"""
Record the rows of a use case as a dataset: W&B Tables to look at, a file to train on, and a file to evaluate on.

    python -m steps.build --rows 6000 --eval-rows 1000

Reads   the rows from the source that the use case's data.py names.
Writes  artifact <use_case>_dataset (type dataset): tables train_table and eval_table, training.npz, eval.npz. The
        tables of a large dataset show a sample of its rows.
Exits   0 done; 1 a check of the rows failed and nothing was recorded; 2 wrong use, or data.py failed; 3 W&B is not
        reachable, or the source cannot be read.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import wandb

from modelgate import config, datasets, rows, usecase
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.rows.checks import Finding
from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable, SourceUnreadable
from modelgate.text import to_line
from modelgate.tracking import client, fingerprint, lineage, row_tables
from modelgate.tracking.references import Reference

TABLE_ROWS = 10_000  # the most rows of a split that its W&B Table shows; the files have all rows


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    defaults = parser.config.build
    rows = "rows to %s; the default is the use case's (default: %%(default)s)"
    parser.add_argument("--rows", type=int, default=defaults.rows, metavar="N", help=rows % "train on")
    parser.add_argument("--eval-rows", type=int, default=defaults.eval_rows, metavar="N", help=rows % "evaluate on")
    parser.add_argument("--no-cache", action="store_true", help="build even if this dataset was built before")
    args = parser.parse()
    if args.rows < 1 or args.eval_rows < 1:
        parser.error("--rows and --eval-rows must be at least 1")
    return args


# --- the work --------------------------------------------------------------------------------------------------------


@contextmanager
def report_data_errors(data: ModuleType) -> Iterator[None]:
    """
    Turn what a use case's data.py raises into one sentence and an exit code.

    3: the source cannot be read. 2: data.py itself fails and needs a fix; that is not 1, because no check of the rows
    failed.
    """
    file = f"usecases/{data.__name__.split('.')[1]}/data.py"
    try:
        yield
    except SourceUnavailable as error:
        kind = "unreadable" if isinstance(error, SourceUnreadable) else "unavailable"
        raise StepError(f"source_{kind}", to_line(error), error.hint, UNREACHABLE) from error
    except NotEnoughRows as error:
        raise StepError("too_many_rows", to_line(error), "ask for fewer rows", WRONG_USE) from error
    except Exception as error:
        meaning = " (there is no such column or key)" if isinstance(error, KeyError) else ""
        message = to_line(f"{usecase.locate_error(data, error)}: {type(error).__name__}: {error}{meaning}")
        if isinstance(error, (OSError, EOFError, zipfile.BadZipFile, zlib.error)):
            raise StepError("source_unreadable", message, "check the source that it reads", UNREACHABLE) from error
        hint = (
            f"fix {file}; the traceback: .venv/bin/python -c 'import {data.__name__} as data; data.source(); data.load"
        )
        raise StepError("data_failed", message, f"{hint}(100, 100)'", WRONG_USE) from error


def read_source(data: ModuleType) -> Source:
    """Return where the rows come from; exit 3 if the source cannot be read."""
    with report_data_errors(data):
        source: Source = data.source()
    return source


def read_rows(data: ModuleType, task: str, count: int, eval_count: int, *, may_repeat: bool = False) -> Dataset:
    """Return the checked rows; exit 1 if a check fails."""
    with report_data_errors(data):
        dataset: Dataset = data.load(count, eval_count)
        findings = rows.load_checks(task).find_violations(dataset, data, may_repeat=may_repeat)
    if findings:
        message = "; ".join(f"{finding.check}: {finding.message}" for finding in findings)
        hint = f"fix {data.__name__} or its source; nothing was recorded"
        expression = f".{get_split(findings[0])}{'.iloc' if rows.KINDS[task] == 'tables' else ''}[ROW]"
        command = f"import {data.__name__} as data; print(data.load({count}, {eval_count}){expression})"
        numbered = f". Rows count from 0 in each split. To see one: .venv/bin/python -c '{command}'"
        raise StepError(findings[0].check, message, hint + (numbered if " row" in message else ""))
    return dataset


def get_split(finding: Finding) -> str:
    """Return the split that a finding is about: x_train or x_eval."""
    return "x_train" if finding.message.partition(" ")[0].endswith("_train") else "x_eval"


def has_rows(version: wandb.Artifact, dataset: Dataset) -> bool:
    """Return whether a version has exactly these rows. Its alias is only a hint: anyone who can write to the project
    can set it.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            training, _ = datasets.fetch_training(version, Path(folder))
            evaluation, _ = datasets.fetch_eval(version, Path(folder))
        except StepError as error:
            if error.exit_code == UNREACHABLE:
                raise
            log(f"{version.name}: {error}")
            return False
    return datasets.is_same(dataset.training, training) and datasets.is_same(dataset.evaluation, evaluation)


def sample(count: int) -> npt.NDArray[np.int64]:
    """Return the rows that a W&B Table shows of `count`, in order: all, or always the same TABLE_ROWS of them."""
    if count <= TABLE_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, TABLE_ROWS, replace=False))


def describe(settings: config.Config, dataset: Dataset, data: ModuleType, source: Source) -> Mapping[str, Any]:
    """Return the metadata of a version: where its rows come from, how many there are, and how many per class."""
    splits = {"train": dataset.training, "eval": dataset.evaluation}
    metadata: dict[str, Any] = {
        "source": source.name,
        "sha256": source.sha256,
        "rows": len(dataset.x_train),
        "eval_rows": len(dataset.x_eval),
        "table_rows": {split: len(sample(len(part.y))) for split, part in splits.items()},
    }
    if classes := [str(name) for name in getattr(data, "CLASSES", ())]:
        metadata["class_counts"] = {
            split: dict(zip(classes, np.bincount(part.y, minlength=len(classes)).tolist(), strict=True))
            for split, part in splits.items()
        }
    if settings.data.rows_may_repeat:
        metadata["eval_rows_in_training"] = len(datasets.find_seen(dataset.x_eval, [dataset.x_train]))
    return metadata


def create_artifact(
    settings: config.Config, dataset: Dataset, source: Source, data: ModuleType, folder: Path
) -> wandb.Artifact:
    """Return the dataset as an artifact, not yet logged. The same rows give the same digest. folder: keep it until
    then.
    """
    artifact = wandb.Artifact(
        f"{settings.name}_dataset", type="dataset", metadata=dict(describe(settings, dataset, data, source))
    )
    kind = rows.load_kind(settings.task)
    for split, part, name in zip(("train", "eval"), (dataset.training, dataset.evaluation), kind.FILES, strict=True):
        row_tables.add(artifact, split, part, sample(len(part.y)), data, folder / split)
        kind.write(part, folder / name)
        artifact.add_file(str(folder / name), name=name, policy="immutable", skip_cache=True)
    return artifact


def log_rows(dataset: Dataset, source: Source) -> None:
    """Log how many rows there are, and how many of them the tables show."""
    log(f"{len(dataset.x_train)} rows to train on, {len(dataset.x_eval)} to evaluate on, from {source.name}")
    if max(len(dataset.y_train), len(dataset.y_eval)) > TABLE_ROWS:
        log(f"the W&B Tables show at most {TABLE_ROWS} rows of a split; the files have all rows")


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = config.load(args.use_case)
    data = usecase.load_part(args.use_case, "data")
    flags = {"rows": args.rows, "eval_rows": args.eval_rows}
    may_repeat = settings.data.rows_may_repeat

    # 1) has this been built before?
    source = read_source(data)
    parts = [data.__name__, rows.get_module(settings.task), rows.get_checks(settings.task)]
    inputs = fingerprint.compute_alias(
        "steps.build", parts, flags | {"rows_may_repeat": may_repeat}, {"source": source.sha256}
    )
    api = client.connect()
    project = client.get_project(settings.project)
    collection = f"{client.get_entity(api)}/{project}/{args.use_case}_dataset"
    version = None if args.no_cache else client.find(api, f"{collection}:{inputs}")

    # 2) read and check, before anything is recorded
    dataset = read_rows(data, settings.task, args.rows, args.eval_rows, may_repeat=may_repeat)
    if version and has_rows(version, dataset):
        log(f"reused {Reference.pin(version)}: it holds the rows of {source.name} ({inputs})")
        emit(client.describe_version("dataset", version), args.out)
        return 0
    if version:
        log(f"{Reference.pin(version)} has the alias {inputs}, but not these rows: building again")
    log_rows(dataset, source)

    # 3) record
    with (
        tempfile.TemporaryDirectory() as folder,
        client.start_run(api, lineage.BUILD, project, args.use_case, flags) as run,
    ):
        log("making the tables")
        artifact = create_artifact(settings, dataset, source, data, Path(folder))
        log(f"uploading {len(artifact.manifest.entries)} files")
        logged = client.log(run, artifact, ["latest", inputs])
        answer = client.describe_version("dataset", logged, run.url)
    emit(answer, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
