"""Read and write texts: a list of str, in a Parquet file with the class of each text."""

from __future__ import annotations

from pathlib import Path

from modelgate.rows import tables
from modelgate.rows.dataset import Rows
from modelgate.tracking.arrays import Unreadable

FILES = tables.FILES
COLUMN = "text"


def write(rows: Rows, path: Path) -> None:
    """Write texts and labels so that the same rows give the same bytes."""
    import pandas as pd

    tables.write_frame(pd.DataFrame({COLUMN: pd.array(rows.x, dtype="str")}), rows.y, path, "texts")


def read(path: Path) -> Rows:
    """Return the texts and their labels; Unreadable says what is wrong with the file."""
    frame, targets = tables.read_frame(path)
    texts = frame[COLUMN].tolist() if list(frame.columns) == [COLUMN] else [None]
    if not all(isinstance(text, str) for text in texts):
        raise Unreadable(
            f"its columns are {', '.join(map(str, frame.columns[:10]))}, not one column of texts, {COLUMN!r}"
        )
    return Rows(texts, targets)


def hash_rows(texts: list[str]) -> list[str]:
    """Return keys that are equal for texts that are the same: the texts themselves."""
    return texts
