"""
Read and write tables: a pandas DataFrame, in a Parquet file with the target of each row.

The file keeps the types of the columns, including those of pandas: categories stay categories.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgate.rows.dataset import Rows
from modelgate.tracking.arrays import Unreadable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FILES = ("training.parquet", "eval.parquet")
TARGET = "target"  # the column of the file that holds the targets
MAX_BYTES = 8 * 2**30  # of all columns in memory
MAX_COLUMNS = 10_000
_KIND = b"modelgate.rows"  # in the file's own metadata: `tables` or `texts`
_BATCH_ROWS = 4096  # read at once, before the bytes so far are counted


def write(rows: Rows, path: Path) -> None:
    """Write a table and its targets so that the same rows give the same bytes."""
    write_frame(rows.x, rows.y, path, "tables")


def read(path: Path) -> Rows:
    """Return the table and its targets; Unreadable says what is wrong with the file."""
    return Rows(*read_frame(path))


def hash_rows(frame: pd.DataFrame) -> Any:
    """Return keys that are equal for rows that are the same: uint64 (N,), a hash of all columns."""
    import pandas as pd

    hashes: Any = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashes


def read_kind(path: Path) -> str:
    """Return the kind of row in a Parquet file, from its own metadata: `tables` or `texts`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"it is not a readable Parquet file: {_take_first_line(error)}") from error
    return "texts" if metadata.get(_KIND) == b"texts" else "tables"


# --- the file, which texts share -------------------------------------------------------------------------------------


def write_frame(frame: pd.DataFrame, targets: Any, path: Path, kind: str) -> None:
    """Write the columns and the targets of a table, or of the single column of texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)
    table = table.append_column(TARGET, pa.array(targets))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KIND: kind.encode()})
    pq.write_table(table, path, compression="zstd")


def read_frame(path: Path) -> tuple[pd.DataFrame, Any]:
    """Return the columns and the targets of a file; Unreadable says what is wrong with it."""
    import pyarrow as pa

    try:
        table = _read_bounded(path)
        names = table.schema.names
        if names.count(TARGET) != 1 or len(set(names)) < len(names):
            raise Unreadable(
                f"its columns are {', '.join(names[:10])}: each must appear once, and {TARGET!r} must be one of them"
            )
        targets = table.column(TARGET).to_numpy()
        if targets.dtype not in (np.int64, np.float64) or table.column(TARGET).null_count:
            raise Unreadable(f"its targets are {targets.dtype}, not int64 or float64")
        return table.drop_columns([TARGET]).to_pandas(), targets
    except Unreadable:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise Unreadable(f"it is not a readable Parquet file: {_take_first_line(error)}") from error


def _read_bounded(path: Path) -> pa.Table:
    """Read a file in parts, to stop in time if a small file unpacks to a huge one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if file.metadata.num_columns > MAX_COLUMNS:
            raise Unreadable(f"it has {file.metadata.num_columns} columns, but {MAX_COLUMNS} are allowed")
        batches, size = [], 0
        for batch in file.iter_batches(_BATCH_ROWS):
            batches.append(batch)
            size += batch.nbytes
            if size > MAX_BYTES:
                raise Unreadable(f"it unpacks to more than {MAX_BYTES} bytes")
        return pa.Table.from_batches(batches, schema=file.schema_arrow)


def _take_first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:300]
