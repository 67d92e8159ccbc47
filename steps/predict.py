"""
Answer a file of rows with the version in production.

    python -m steps.predict --use-case NAME --input rows.parquet --output answers.parquet

Reads   the ledger, the version in production, the rows.
Writes  the answers, all of them or none: one row each with the version and the ledger entry; a W&B run (job type
        predict) that used the version.
Exits   0 done, 1 the version or a row is refused and nothing was written, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from modelgate import answering, config, frameworks, incoming, row_files, usecase
from modelgate.answering import Model
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import WRONG_USE, StepError
from modelgate.promotion import deployed, ledger
from modelgate.promotion.deployed import Deployed
from modelgate.text import to_line
from modelgate.tracking import client
from modelgate.tracking.references import Reference

JOB_TYPE = "predict"
TELL_EVERY_S = 5.0


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument("--input", type=Path, required=True, metavar="FILE", help="rows: .parquet, .csv, or .npz")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="answers: .parquet; an existing file is replaced"
    )
    parser.add_argument(
        "--version", metavar="REF", help="an earlier version that was in production (default: production)"
    )
    parser.add_argument(
        "--unapproved",
        action="store_true",
        help="with --version: accept a version that was never promoted; the answers say so",
    )
    parser.add_argument(
        "--collection", default=parser.config.collection, help="the registered model (default: %(default)s)"
    )
    args = parser.parse()
    if args.unapproved and not args.version:
        parser.error("--unapproved: name the version, --version REF")
    if args.output.suffix != ".parquet":
        parser.error(f"--output {str(args.output)!r}: answers are written as .parquet")
    return args


# --- the work --------------------------------------------------------------------------------------------------------


def answer_all(
    path: Path, settings: config.Config, data: Any, model: Model, version: Deployed, to: Path
) -> dict[str, Any]:
    """Answer the rows batch by batch into a new file, and count them. Stop with an error at the first unexpected
    row.
    """
    expected, total = incoming.read_expected(settings.task, data), row_files.count(path)
    columns = row_files.read_columns(path, settings.task, data, partial(is_reserved, model.classes))
    if columns.carried.names:
        log(f"carried through to the answers: {to_line(', '.join(columns.carried.names))}")
    counted = Counted(model.classes)
    began = last_logged = time.monotonic()
    with Answers(to, model.classes, version, columns.carried) as answers:
        for x, carried in row_files.read_batches(path, settings.task, data, columns):
            expected.require(x, counted.rows)
            predicted = model.answer(x)
            answers.write(predicted, counted.rows, carried)
            counted.add(predicted)
            if (now := time.monotonic()) - last_logged >= TELL_EVERY_S:
                last_logged = now
                log(describe_progress(counted.rows, total, now - began))
    if not counted.rows:
        raise StepError("no_rows", f"--input {str(path)!r} has no rows", "choose a file with rows", WRONG_USE)
    log(describe_progress(counted.rows, total, time.monotonic() - began))
    return counted.as_json()


def is_reserved(classes: Sequence[str], name: str) -> bool:
    """Whether the answers themselves have, or with other classes could have, a column of this name."""
    return name in ("row", "answer", "version", "ledger_entry") or bool(classes and name.startswith("p_"))


def describe_progress(rows: int, total: int | None, seconds: float) -> str:
    """`answered 131,072 of 1,000,000 rows | 90,000 rows/s | 9 s left`."""
    rate = rows / max(seconds, 1e-3)
    if total is None:
        return f"answered {rows:,} rows | {rate:,.0f} rows/s"
    left = f" | {(total - rows) / rate:,.0f} s left" if rows < total else f" in {seconds:.1f} s"
    return f"answered {rows:,} of {total:,} rows | {rate:,.0f} rows/s{left}"


class Counted:
    """Count the answers: how often each class was given, or the mean, minimum and maximum of the numbers."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.rows, self._classes = 0, classes
        self._of_class = np.zeros(len(classes), dtype=np.int64)
        self._sum, self._low, self._high = 0.0, np.inf, -np.inf

    def add(self, answers: Any) -> None:
        self.rows += len(answers)
        if self._classes:
            self._of_class += np.bincount(answers.argmax(axis=1), minlength=len(self._classes))
        else:
            self._sum += float(answers.sum())
            self._low, self._high = min(self._low, float(answers.min())), max(self._high, float(answers.max()))

    def as_json(self) -> dict[str, Any]:
        if self._classes:
            return {"rows": self.rows, "answers": dict(zip(self._classes, self._of_class.tolist(), strict=True))}
        return {"rows": self.rows, "answers": {"mean": self._sum / self.rows, "min": self._low, "max": self._high}}


class Answers:
    """
    A Parquet file of answers, written batch by batch; the version is in each row and in the file's metadata.

    carried: the columns of the input that are in it, too, as a pyarrow schema.
    """

    def __init__(self, path: Path, classes: tuple[str, ...], version: Deployed, carried: Any) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        metadata = {f"modelgate.{name}": str(value) for name, value in version.as_json().items()}
        label = pa.dictionary(pa.int32(), pa.string())
        kinds: list[Any] = [("row", pa.int64()), *carried, ("answer", label if classes else pa.float64())]
        kinds += [(f"p_{name}", pa.float32()) for name in classes]
        kinds += [("version", label), ("ledger_entry", label)]
        self._pa, self._classes, self._version = pa, pa.array(classes, pa.string()), version
        self._schema = pa.schema(kinds, metadata=metadata)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, answers: Any, first: int, carried: Sequence[Any]) -> None:
        """Write answers to rows. The first row has this number. carried: the other columns of the rows."""
        pa, count = self._pa, len(answers)
        columns = [pa.array(np.arange(first, first + count, dtype=np.int64)), *carried]
        if len(self._classes):
            columns.append(self._label(self._classes, answers.argmax(axis=1)))
            columns += [pa.array(np.ascontiguousarray(answers[:, index])) for index in range(len(self._classes))]
        else:
            columns.append(pa.array(answers))
        for text in (self._version.version, self._version.ledger_entry):
            columns.append(self._label(pa.array([text]), np.zeros(count)))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def _label(self, names: Any, indices: Any) -> Any:
        return self._pa.DictionaryArray.from_arrays(self._pa.array(indices.astype(np.int32)), names)

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """
    Open a file that replaces `path` at the end of the block. After an error, no file is left.

    A leftover of a killed run has the same name, and is overwritten.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise StepError(
            "output_not_writable", f"--output {str(path)!r}: {error}", "choose a file that you may write", WRONG_USE
        ) from error
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = config.load(args.use_case)
    row_files.require_readable(args.input, settings.task)
    data = usecase.load_part(args.use_case, "data")
    other = Reference.parse(args.version, "--version") if args.version else None
    if other:
        other.require_in(args.collection, args.use_case)
    api = client.connect()
    project = client.get_project(settings.project)
    ledgers = ledger.find_names(api, client.get_entity(api), project, args.use_case)
    entries = ledger.read(api, *ledgers, registry=settings.registry)

    with tempfile.TemporaryDirectory() as folder, replace_file(args.output) as part:
        # 1) may the version answer?
        version = verify_version(api, entries, args, settings, other, Path(folder))
        log(f"{version.version} answers, by ledger entry {version.ledger_entry}")
        if version.entry is None:
            log("no one approved this version: the answers say so; use them only for trials")

        # 2) its answers
        model_format = frameworks.load_format(settings.framework)
        log(f"importing {model_format.NAME}")
        model_format.start(seed=0, threads=1)  # as evaluate did
        model = answering.load(settings, version.model, data, version.version)
        model.require_schema(data, version.commit)
        counted = answer_all(args.input, settings, data, model, version, part)

        # 3) first the run, then the file: a file of answers always has its run
        run_config = {"input": to_line(args.input.name)} | version.as_json()
        with client.start_run(api, JOB_TYPE, project, args.use_case, run_config) as run:
            run.use_artifact(version.version)
            run.summary.update(summarize(counted))
            answer = {**version.as_json(), **counted, "output": str(args.output), "run_url": run.url}
    log(f"wrote {args.output}")
    emit(answer, args.out)
    return 0


def verify_version(
    api: wandb.Api,
    entries: Sequence[ledger.Entry],
    args: argparse.Namespace,
    settings: config.Config,
    other: Reference | None,
    folder: Path,
) -> Deployed:
    """Return the verified version that answers. other: the one that --version names."""
    collection = other.collection if other else deployed.find_collection(api, settings.registry, args.collection)
    file = frameworks.MODEL_FILES[settings.framework]
    return deployed.verify(api, entries, collection, file, folder, version=other, unapproved=args.unapproved)


def summarize(counted: dict[str, Any]) -> dict[str, Any]:
    """Return the counts in the form of W&B's summary."""
    return {"predict/rows": counted["rows"]} | {f"predict/{name}": n for name, n in counted["answers"].items()}


if __name__ == "__main__":
    sys.exit(run_guarded(main))
