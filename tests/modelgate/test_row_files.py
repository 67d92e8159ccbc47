"""
The Parquet files of tables and texts: what was written is read, the same rows are the same bytes, and other files are
refused before they are unpacked.

    pytest tests/modelgate/test_row_files.py
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import wandb

from modelgate import datasets
from modelgate.rows import tables, texts
from modelgate.rows.dataset import Rows
from modelgate.tracking import row_tables
from modelgate.tracking.arrays import Unreadable

TABLE = Rows(
    pd.DataFrame(
        {
            "amount": [1.5, np.nan, 3.0],
            "kind": pd.Categorical(["a", "b", "a"], categories=["b", "a", "c"]),
            "name": ["x", None, "z"],
            "count": pd.array([1, None, 3], dtype="Int64"),
            "at": pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]),
            "ok": [True, False, True],
        }
    ),
    np.array([0.5, 1.5, 2.5]),
)
TEXTS = Rows(["one", "two\nlines", "três"], np.array([0, 1, 0], dtype=np.int64))


def test_a_table_is_read_as_it_was_written(tmp_path):
    tables.write(TABLE, tmp_path / "rows.parquet")
    rows_read = tables.read(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(rows_read.x, TABLE.x)
    assert datasets.is_same(TABLE, rows_read)
    assert (rows_read.y.dtype, rows_read.y.tolist()) == (np.float64, [0.5, 1.5, 2.5])


def test_texts_are_read_as_they_were_written(tmp_path):
    texts.write(TEXTS, tmp_path / "rows.parquet")
    rows_read = texts.read(tmp_path / "rows.parquet")
    assert datasets.is_same(TEXTS, rows_read)
    assert rows_read.y.dtype == np.int64


@pytest.mark.parametrize(("kind", "rows"), [(tables, TABLE), (texts, TEXTS)])
def test_the_same_rows_are_the_same_bytes(tmp_path, kind, rows):
    kind.write(rows, tmp_path / "a.parquet")
    kind.write(rows, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_the_index_of_a_table_is_not_part_of_it(tmp_path):
    tables.write(TABLE, tmp_path / "a.parquet")
    tables.write(Rows(TABLE.x.set_index(pd.Index([7, 3, 9])), TABLE.y), tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_row_is_known_again_with_its_gaps_and_categories():
    first, second = (
        datasets.find_seen(TABLE.x, [TABLE.x[1:2].reset_index(drop=True)]),
        datasets.find_seen(TABLE.x, [TEXTS.x]),
    )
    assert (first, second) == ((1,), ())
    assert datasets.find_seen(TEXTS.x, [["two\nlines"], ["one"]]) == (0, 1)


def test_other_rows_are_not_the_same():
    assert not datasets.is_same(TABLE, Rows(TABLE.x, TABLE.y + 1))
    assert not datasets.is_same(TABLE, Rows(TABLE.x.assign(amount=1.0), TABLE.y))
    assert not datasets.is_same(TEXTS, Rows(["one", "two", "três"], TEXTS.y))
    assert not datasets.is_same(TEXTS, TABLE)


def parquet(path, columns, **more):
    pq.write_table(pa.table(columns), path, **more)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b"PAR1 and nothing else"), "not a readable Parquet file"),
        (lambda path: path.write_bytes(b""), "not a readable Parquet file"),
        (lambda path: parquet(path, {"a": [1]}), "its columns are a: each must appear once, and 'target'"),
        (lambda path: parquet(path, {"a": [1], "target": ["x"]}), "its targets are object"),
        (lambda path: parquet(path, {"a": [1, 2], "target": [1.0, None]}), "its targets are"),
        (lambda path: parquet(path, {"a": pa.array(["x" * 10**6] * 30), "target": [1] * 30}), "unpacks to more"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, monkeypatch, write, message):
    monkeypatch.setattr(tables, "MAX_BYTES", 10**7)
    write(tmp_path / "rows.parquet")
    with pytest.raises(Unreadable, match=message):
        tables.read(tmp_path / "rows.parquet")


def test_a_table_is_not_taken_for_texts(tmp_path):
    tables.write(TABLE, tmp_path / "rows.parquet")
    with pytest.raises(Unreadable, match="not one column of texts"):
        texts.read(tmp_path / "rows.parquet")


def test_the_table_of_a_dataset_shows_any_type_of_column_and_nothing_where_a_value_is_missing(tmp_path):
    artifact = wandb.Artifact("rows", type="dataset")
    row_tables.add(artifact, "train", TABLE, np.arange(2), SimpleNamespace(), tmp_path / "train")
    table = json.loads(Path(artifact.manifest.entries["train_table.table.json"].local_path).read_text())
    assert table["columns"] == [*TABLE.x.columns, "target"]
    first = [1.5, "a", "x", 1, "2026-01-01 00:00:00", True, 0.5]
    assert table["data"] == [first, [None, "b", None, None, "2026-01-02 00:00:00", False, 1.5]]
