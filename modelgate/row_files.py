"""
Read rows from a file, in batches: a Parquet or CSV file of a table or of texts, an `.npz` of images.

A table of a million rows does not have to fit into memory. Columns that SCHEMA does not declare never reach the model:
they are carried through to the answers, so that a row keeps its id. A CSV file has no types, so each column is read as
SCHEMA declares it, and a value of another type is refused with its row and column.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from modelgate.errors import WRONG_USE, StepError
from modelgate.incoming import Refused, is_time, read_times, require_none
from modelgate.rows import KINDS, tables, texts
from modelgate.text import to_line
from modelgate.tracking import arrays

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BATCH_ROWS = 32_768
_NUMBERS = "__index_level_"  # how pandas names the column with the numbers of the rows
# The texts of a CSV file that mean a missing value, as in pandas.
_MISSING = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"),
    *("NULL", "NaN", "None", "n/a", "nan", "null"),
)
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


class Columns(NamedTuple):
    """
    The columns of a file. known: those that the model may get. carried: those that SCHEMA does not declare, which go to
    the answers unchanged, as a pyarrow schema.
    """

    known: tuple[str, ...]
    carried: pa.Schema


class Batch(NamedTuple):
    """Rows, x in the form of `modelgate.rows.dataset`. carried: a pyarrow array per column that is carried through."""

    x: Any
    carried: list[Any]


def read_columns(path: Path, task: str, data: ModuleType, reserved: Callable[[str], bool]) -> Columns:
    """Return which columns a file has; refuse one that lacks a required column. reserved: whether the answers have a
    column of this name.
    """
    import pyarrow as pa

    if path.suffix == ".npz":
        return Columns((), pa.schema([]))
    required = _list_declared(task, data)
    schema = _read_schema(path) if path.suffix == ".parquet" else _read_header(path)
    if len(schema) > tables.MAX_COLUMNS:
        raise _refuse(path, f"it has {len(schema)} columns, but {tables.MAX_COLUMNS} are allowed")
    if twice := next((name for name in schema.names if schema.names.count(name) > 1), None):
        raise _refuse_column(f"column {twice!r} appears twice", twice)
    carried = [name for name in schema.names if name not in required]
    for name in required:
        if required[name] and name not in schema.names:
            similar = difflib.get_close_matches(name, carried, n=1)
            question = f"; the file has {similar[0]!r}: did you mean {name!r}?" if similar else ""
            origin = ", which SCHEMA declares," if KINDS[task] == "tables" else ""
            raise _refuse_column(f"column {name!r}{origin} is missing{question}", name)
    if taken := next((name for name in carried if reserved(name)), None):
        raise _refuse_column(
            f"column {taken!r} has the name of a column of the answers: rename it or leave it out", taken
        )
    known = tuple(name for name in schema.names if name in required)
    return Columns(known, pa.schema([schema.field(name) for name in carried]))


def read_batches(path: Path, task: str, data: ModuleType, columns: Columns) -> Iterator[Batch]:
    """Yield the rows in order, at most BATCH_ROWS at a time."""
    if path.suffix == ".npz":
        yield from (Batch(x, []) for x in _read_images(path))
        return
    schema = getattr(data, "SCHEMA", None)
    pairs = _read_parquet(path, columns) if path.suffix == ".parquet" else _read_csv(path, columns, schema)
    for frame, carried in pairs:
        yield Batch(_convert_texts(frame) if KINDS[task] == "texts" else frame, carried)


def _list_declared(task: str, data: ModuleType) -> dict[str, bool]:
    """Return the names of the columns that the model may get, and whether each is required."""
    if KINDS[task] == "texts":
        return {texts.COLUMN: True}
    return {name: bool(column.required) for name, column in data.SCHEMA.columns.items()}


def _read_schema(path: Path) -> pa.Schema:
    """Return the columns of a Parquet file, without pandas' numbers of the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _refuse(path, error) from error
    return pa.schema([field for field in schema if not field.name.startswith(_NUMBERS)])


def _read_header(path: Path) -> pa.Schema:
    """Return the columns of a CSV file, all of them texts."""
    import pandas as pd
    import pyarrow as pa

    try:
        first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
        names = pd.read_csv(path, nrows=0).columns  # those without a name are `Unnamed: 0`
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise _refuse(path, error) from error
    written = first.iloc[0].tolist()
    return pa.schema([(own or name, pa.string()) for own, name in zip(written, names, strict=True)])


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
    converted: list[Any] = frame[texts.COLUMN].astype(object).where(frame[texts.COLUMN].notna(), None).tolist()
    return converted


def _read_parquet(path: Path, columns: Columns) -> Iterator[tuple[pd.DataFrame, list[Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                carried = [batch.column(field.name).cast(field.type) for field in columns.carried]
                frame = batch.select(list(columns.known)).to_pandas()
                yield (frame.reset_index() if any(frame.index.names) else frame), carried
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _refuse(path, error) from error


def _read_csv(path: Path, columns: Columns, schema: Any) -> Iterator[tuple[pd.DataFrame, list[Any]]]:
    import pandas as pd
    import pyarrow as pa

    first, carried = 0, columns.carried.names
    missing = dict.fromkeys(columns.known, _MISSING)  # what is carried through stays as it is written
    try:
        with pd.read_csv(path, dtype=str, keep_default_na=False, na_values=missing, chunksize=BATCH_ROWS) as chunks:
            for chunk in chunks:
                if not isinstance(chunk.index, pd.RangeIndex):
                    raise _refuse(path, "its rows have more values than its first line has names")
                frame = chunk[list(columns.known)].reset_index(drop=True)
                declared = schema.columns if schema is not None else {}
                read = {name: _convert(frame[name], declared[name].dtype, first) for name in frame if name in declared}
                yield frame.assign(**read), [pa.array(chunk[name], pa.string()) for name in carried]
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


def _refuse_column(message: str, name: object) -> Refused:
    return Refused("table_columns", to_line(message), to_line(name))


def _refuse(path: Path, error: object) -> StepError:
    message = f"--input {str(path)!r} is not readable: {_take_first_line(error)}"
    return StepError(
        "input_unreadable", message, "choose a file of rows; docs/how-to/production.md describes them", WRONG_USE
    )


def _take_first_line(error: object) -> str:
    return to_line(next(iter(str(error).splitlines()), type(error).__name__), 300)
