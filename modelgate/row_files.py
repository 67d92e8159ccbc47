"""
Read rows from a file, in batches: a Parquet or CSV file of a table or of texts, an `.npz` of images.

A table of a million rows does not have to fit into memory. A CSV file has no types, so each column is read as SCHEMA
declares it, and a value of another type is refused with its row and column.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.errors import WRONG_USE, StepError
from modelgate.incoming import Refused, is_time, read_times, require_none
from modelgate.rows import KINDS, tables, texts
from modelgate.text import to_line
from modelgate.tracking import arrays

if TYPE_CHECKING:
    import pandas as pd

BATCH_ROWS = 32_768
_FALSE, _TRUE = ("False", "false", "FALSE"), ("True", "true", "TRUE")
_KINDS = {"images": (".npz",), "tables": (".parquet", ".csv"), "texts": (".parquet", ".csv")}


def require_readable(path: Path, task: str) -> None:
    """Refuse a file that is missing, or whose kind does not fit the task."""
    allowed = _KINDS[KINDS[task]]
    if path.suffix not in allowed:
        raise _refuse(path, f"rows of {task} must be in {' or '.join(allowed)}")
    if not path.is_file():
        raise _refuse(path, "the file does not exist")


def count(path: Path) -> int | None:
    """Return how many rows a file says it has; None if it does not say."""
    if path.suffix != ".parquet":
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _refuse(path, error) from error


def read_batches(path: Path, task: str, data: ModuleType) -> Iterator[Any]:
    """Yield the rows in order, at most BATCH_ROWS at a time, in the form of x in `modelgate.rows.dataset`."""
    if path.suffix == ".npz":
        yield from _read_images(path)
        return
    frames = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, getattr(data, "SCHEMA", None))
    for frame in frames:
        yield _convert_texts(frame) if KINDS[task] == "texts" else frame


def _read_images(path: Path) -> Iterator[Any]:
    try:
        stored = arrays.load(path)
    except arrays.Unreadable as error:
        raise _refuse(path, error) from error
    if stored.keys() != {"x"}:
        raise _refuse(path, f"it has {', '.join(sorted(stored)[:10]) or 'nothing'}, not one array, x")
    for first in range(0, len(stored["x"]), BATCH_ROWS):
        yield stored["x"][first : first + BATCH_ROWS]


def _convert_texts(frame: pd.DataFrame) -> list[Any]:
    if list(frame.columns) != [texts.COLUMN]:
        names = to_line(", ".join(map(str, frame.columns[:10])))
        raise Refused("table_columns", f"the columns are {names}, not only {texts.COLUMN!r}", texts.COLUMN)
    converted: list[Any] = frame[texts.COLUMN].astype(object).where(frame[texts.COLUMN].notna(), None).tolist()
    return converted


def _read_parquet(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if file.metadata.num_columns > tables.MAX_COLUMNS:
                raise _refuse(path, f"it has {file.metadata.num_columns} columns, but {tables.MAX_COLUMNS} are allowed")
            for batch in file.iter_batches(BATCH_ROWS):
                yield batch.to_pandas()
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _refuse(path, error) from error


def _read_csv(path: Path, schema: Any) -> Iterator[pd.DataFrame]:
    import pandas as pd

    first = 0
    try:
        with pd.read_csv(path, dtype=str, chunksize=BATCH_ROWS) as chunks:
            for chunk in chunks:
                frame = chunk.reset_index(drop=True)
                declared = schema.columns if schema is not None else {}
                yield frame.assign(
                    **{name: _convert(frame[name], declared[name].dtype, first) for name in frame if name in declared}
                )
                first += len(frame)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise _refuse(path, error) from error


def _convert(values: Any, dtype: Any, first: int) -> Any:
    """Convert a column of texts to the declared type. first: the number of its first row."""
    wanted = getattr(dtype, "type", None)
    kind = getattr(wanted, "kind", "")
    if wanted is None or str(dtype).startswith("str"):
        return values
    missing = values.isna().to_numpy()
    if kind in "iuf":
        import pandas as pd

        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isnan(numbers) & ~missing
        if kind in "iu":
            require_none("not_nullable", missing, first, f"column {values.name!r} is missing", values.name)
            wrong |= numbers != np.floor(numbers)
        _require_type(values, wrong, first, dtype)
        return pd.Series(pd.to_numeric(values).to_numpy() if kind in "iu" else numbers, name=values.name).astype(wanted)
    if kind == "b":
        _require_type(values, ~values.isin((*_FALSE, *_TRUE)).to_numpy(), first, dtype)
        return values.isin(_TRUE)
    if is_time(dtype):
        return read_times(values, dtype, first)
    try:
        return values.astype(wanted)
    except (TypeError, ValueError) as error:
        message = f"column {values.name!r} cannot be read as {dtype}: {_take_first_line(error)}"
        raise Refused("type", message, str(values.name)) from error


def _require_type(values: Any, wrong: Any, first: int, dtype: Any) -> None:
    shown = ", ".join(dict.fromkeys(map(repr, values[wrong].head().tolist())))
    require_none("type", wrong, first, f"column {values.name!r} is not {dtype} ({to_line(shown, 200)})", values.name)


def _refuse(path: Path, error: object) -> StepError:
    message = f"--input {str(path)!r} is not readable: {_take_first_line(error)}"
    return StepError(
        "input_unreadable", message, "choose a file of rows; docs/how-to/production.md describes them", WRONG_USE
    )


def _take_first_line(error: object) -> str:
    return to_line(next(iter(str(error).splitlines()), type(error).__name__), 300)
