"""
Check incoming rows against the schema: the compiled checks agree with pandera.

    pytest tests/modelgate/test_incoming.py
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from modelgate import row_files
from modelgate.errors import StepError
from modelgate.incoming import Refused, read_expected

SCHEMA = pa.DataFrameSchema(
    {
        "mass": pa.Column(float, pa.Check.in_range(0, 10), nullable=True),
        "height": pa.Column(float, [pa.Check.gt(0), pa.Check.lt(5), pa.Check.ne(2.5)]),
        "year": pa.Column(int, [pa.Check.ge(2000), pa.Check.le(2009)]),
        "island": pa.Column(str, pa.Check.isin(["Dream", "Biscoe"]), nullable=True),
        "name": pa.Column(str, pa.Check.notin(["nobody"])),
    }
)
GOOD = {"mass": 1.0, "height": 1.0, "year": 2001, "island": "Dream", "name": "x"}
VALUES = {
    "mass": st.sampled_from([0.0, 10.0, -1.0, 11.0, None]),
    "height": st.sampled_from([1.0, 0.0, 5.0, 2.5, None]),
    "year": st.sampled_from([2000, 2009, 1999, 2010]),
    "island": st.sampled_from(["Dream", "Torgersen", "", None]),
    "name": st.sampled_from(["x", "nobody", "", None]),
}


def frame(rows):
    table = pd.DataFrame(rows)
    dtypes = {"mass": float, "height": float, "year": int, "island": "str", "name": "str"}
    return table.astype({name: dtype for name, dtype in dtypes.items() if name in table})


def table(schema=SCHEMA):
    return read_expected("tabular-classification", SimpleNamespace(SCHEMA=schema))


def refusal(rows, by=None, first=0):
    with pytest.raises(Refused) as stopped:
        (table() if by is None else by).require(rows, first)
    return stopped.value


@settings(max_examples=80, deadline=None)
@given(st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=4))
def test_what_is_compiled_refuses_what_pandera_refuses_and_nothing_else(rows):
    x = frame(rows)
    try:
        SCHEMA.validate(x, lazy=True)
        wrong = set()
    except SchemaErrors as error:
        wrong = set(error.failure_cases["column"])
    if not wrong:
        table().require(x)
    else:
        assert refusal(x).column in wrong


def test_pandera_is_not_asked_where_all_checks_are_plain(monkeypatch):
    """pandera takes tens of milliseconds per call."""
    monkeypatch.setattr(pa.DataFrameSchema, "validate", None)
    assert not table().needs_pandera
    table().require(frame([GOOD]))


@pytest.mark.parametrize(
    "schema",
    [
        pa.DataFrameSchema({"mass": pa.Column(float, pa.Check(lambda values: values < 5, name="small"))}),
        pa.DataFrameSchema({"mass": pa.Column(float, unique=True)}),
        pa.DataFrameSchema({"mass": pa.Column(float)}, checks=pa.Check(lambda frame: frame["mass"] < 5)),
        pa.DataFrameSchema({"mass": pa.Column(float, pa.Check(lambda value: value < 5, element_wise=True))}),
    ],
)
def test_a_check_of_any_other_kind_is_panderas_to_make(schema):
    table(schema).require(frame([{"mass": 1.0}, {"mass": 2.0}]))
    assert refusal(frame([{"mass": 7.0}, {"mass": 7.0}]), table(schema)).name == "schema"


def test_a_refusal_names_the_row_in_the_whole_file_and_the_first_ten_of_them():
    rows = frame([GOOD, *[GOOD | {"mass": 99.0}] * 12])
    assert str(refusal(rows, first=1000)) == (
        "column 'mass' does not pass in_range(0, 10): 99.0 in rows 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, "
        "1009, 1010 and 2 more"
    )
    infinite = pa.DataFrameSchema({"mass": pa.Column(float)})
    assert refusal(frame([{"mass": np.inf}]), table(infinite)).name == "row_infinite"


def test_columns_may_come_in_any_order_and_must_all_be_there():
    x = frame([GOOD])
    table().require(x[x.columns[::-1]])
    assert (refusal(x.drop(columns="year")).column, refusal(x.assign(more=1)).column) == ("year", "more")
    assert refusal(pd.concat([x, x[["year"]]], axis=1)).column == "year"
    assert refusal(x.astype({"year": float})).name == "type"


def test_images_and_texts_are_held_to_what_build_asks_of_them():
    images = read_expected("image-classification", SimpleNamespace(SHAPE=(2, 2, 1)))
    x = np.zeros((3, 2, 2, 1), dtype=np.float32)
    images.require(x)
    names = [
        refusal(changed, images).name
        for changed in (x.astype(float), x[:, :1], np.where(x == 0, np.nan, x), x + np.float32(2))
    ]
    assert names == ["row_dtype", "row_shape", "row_nan", "row_range"]
    texts = read_expected("text-classification", SimpleNamespace())
    texts.require(["some text"])
    names = [refusal([text], texts).name for text in (None, "  ", "x" * 1_000_001, "\ud800")]
    assert names == ["text_dtype", "text_empty", "text_length", "text_encoding"]


# --- files -----------------------------------------------------------------------------------------------------------

DATA = SimpleNamespace(SCHEMA=SCHEMA)


def read(path, task, data):
    """The batches of a file, as predict reads them."""
    columns = row_files.read_columns(path, task, data, lambda name: False)
    return [batch.x for batch in row_files.read_batches(path, task, data, columns)]


def test_a_csv_has_the_types_that_the_schema_declares_in_every_batch(tmp_path, monkeypatch):
    """A batch whose floats all look like whole numbers, and one without a text."""
    monkeypatch.setattr(row_files, "BATCH_ROWS", 2)
    (tmp_path / "rows.csv").write_text("mass,height,year,island,name\n1,1,2000,,x\n,2,2001,,y\n1.5,3,2002,Dream,z\n")
    batches = read(tmp_path / "rows.csv", "tabular-regression", DATA)
    assert [len(batch) for batch in batches] == [2, 1]
    for batch in batches:
        table().require(batch)
    assert batches[0]["mass"].tolist()[0] == 1.0 and batches[1]["year"].tolist() == [2002]


@pytest.mark.parametrize(
    ("row", "name", "message"),
    [
        ("1,1,2000.5,Dream,x", "type", r"column 'year' is not int64 \('2000.5'\) in row 0"),
        ("1,1,,Dream,x", "not_nullable", "column 'year' is missing in row 0"),
        ("one,1,2000,Dream,x", "type", r"column 'mass' is not float64 \('one'\) in row 0"),
    ],
)
def test_a_value_of_a_csv_that_is_not_of_its_type_is_named(tmp_path, row, name, message):
    (tmp_path / "rows.csv").write_text(f"mass,height,year,island,name\n{row}\n")
    with pytest.raises(Refused, match=message) as stopped:
        read(tmp_path / "rows.csv", "tabular-regression", DATA)
    assert stopped.value.name == name


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_of_a_file_of_texts_only_the_texts_reach_the_model(tmp_path, kind):
    frame = pd.DataFrame({"id": ["007", "NA"], "text": ["some text", "more"]}).set_index("id")
    path = tmp_path / f"rows.{kind}"
    frame.to_csv(path) if kind == "csv" else frame.to_parquet(path)
    columns = row_files.read_columns(path, "text-classification", SimpleNamespace(), lambda name: False)
    (batch,) = row_files.read_batches(path, "text-classification", SimpleNamespace(), columns)
    assert (batch.x, columns.carried.names) == (["some text", "more"], ["id"])
    assert [array.to_pylist() for array in batch.carried] == [["007", "NA"]]
    (tmp_path / "rows.csv").write_text("id,txt\n1,one\n")
    with pytest.raises(Refused, match="column 'text' is missing; the file has 'txt': did you mean 'text'") as stopped:
        read(tmp_path / "rows.csv", "text-classification", SimpleNamespace())
    assert stopped.value.column == "text"


def test_a_file_with_a_column_twice_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("mass,mass,height,year,island,name\n1,2,3,2000,Dream,x\n")
    with pytest.raises(Refused, match="column 'mass' appears twice"):
        read(tmp_path / "rows.csv", "tabular-regression", DATA)


HEAD = b"mass,height,year,island,name\n"


@pytest.mark.parametrize(
    ("name", "content", "task"),
    [
        ("rows.csv", HEAD + b"1,2,2000,Dream,x\n1\n1,2,3,4,5,6\n", "tabular-regression"),
        ("rows.csv", HEAD + b"0,1,2,2000,Dream,x\n", "tabular-regression"),  # pandas would take the first for an index
        ("rows.csv", b"\xff\xfe\x00", "tabular-regression"),
        ("rows.csv", b"", "tabular-regression"),
        ("rows.parquet", b"no parquet", "tabular-regression"),
        ("rows.npz", b"no zip", "image-classification"),
    ],
)
def test_a_damaged_file_is_refused_and_not_a_traceback(tmp_path, name, content, task):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StepError) as stopped:
        read(tmp_path / name, task, DATA)
    assert (stopped.value.name, stopped.value.exit_code) == ("input_unreadable", 2)
