"""
The messages that refuse tables and texts. test_planted_rows.py has the defects that are refused.

    pytest tests/modelgate/test_table_checks.py
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from modelgate.rows import table_checks, text_checks
from modelgate.rows.dataset import Dataset

COLUMNS = {
    "age": pa.Column(float, pa.Check.in_range(0, 120), nullable=True),
    "city": pa.Column(str, pa.Check.isin(["Bern", "Basel"])),
    "visits": pa.Column(int),
}
DATA = SimpleNamespace(CLASSES=("no", "yes"), SCHEMA=pa.DataFrameSchema(COLUMNS))


@pytest.fixture
def good():
    """Return 60 rows; one lacks its age and two are equal, and both are allowed."""
    number = np.arange(60)
    table = pd.DataFrame({"age": number + 0.5, "city": np.where(number % 3, "Bern", "Basel"), "visits": number})
    table.loc[4, "age"] = np.nan
    table.loc[9] = table.loc[8]
    labels = number.astype(np.int64) % 2
    return Dataset(table[:40], labels[:40], table[40:], labels[40:])


def checks(dataset, data=DATA, **more):
    return [finding.check for finding in table_checks.find_violations(dataset, data, **more)]


def changed(dataset, split, column, row, value):
    """Return the dataset with one cell changed. row: its index in the split."""
    table = getattr(dataset, split).reset_index(drop=True)
    if isinstance(value, str) and column != "city":
        table[column] = table[column].astype(object)
    table.loc[row, column] = value
    return replace(dataset, **{split: table})


def test_good_tables_have_no_violation(good):
    assert checks(good) == []


def test_targets_may_be_a_series_whatever_its_index_or_a_list(good):
    as_series = replace(good, y_train=pd.Series(good.y_train, index=np.arange(40)[::-1] + 7), y_eval=[*good.y_eval])
    assert checks(as_series) == []
    assert as_series.y_train[0] == good.y_train[0] and as_series.y_eval.dtype == np.int64


def test_a_column_that_the_schema_does_not_declare_is_refused(good):
    wider = replace(good, x_train=good.x_train.assign(leak=1), x_eval=good.x_eval.assign(leak=1))
    findings = table_checks.find_violations(wider, DATA)
    assert {finding.check for finding in findings} == {"table_columns"}
    assert "'leak', which SCHEMA does not declare" in findings[0].message


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", 130.0, "column 'age' does not pass in_range(0, 120) in row 3: 130.0"),
        ("city", "Bonn", "column 'city' does not pass isin(['Bern', 'Basel']) in row 3: 'Bonn'"),
        ("city", None, "column 'city' does not pass not_nullable in row 3"),
        ("visits", "many", "column 'visits' is object, not int64, because of 'many' in row 3"),
    ],
)
def test_a_value_that_the_schema_does_not_allow_is_refused_and_named(good, column, value, message):
    (finding,) = table_checks.find_violations(changed(good, "x_eval", column, 3, value), DATA)
    assert finding.check == "schema"
    assert finding.message.startswith("x_eval ") and message in finding.message


@pytest.mark.parametrize("cell", ["many", "1.2.2026"])
@pytest.mark.parametrize("split", ["x_train", "x_eval"])
def test_one_cell_of_another_type_in_a_file_is_one_finding_and_no_exception(good, tmp_path, split, cell):
    """It turns a whole column into text, in both splits, and comparing text with numbers raises."""
    table = pd.concat([good.x_train, good.x_eval], ignore_index=True).assign(seen="2026-03-04").astype({"seen": object})
    column = "visits" if cell == "many" else "seen"
    table[column] = table[column].astype(object)
    table.loc[7 if split == "x_train" else 47, column] = cell
    table.to_csv(tmp_path / "rows.csv", index=False)
    read = pd.read_csv(tmp_path / "rows.csv", parse_dates=["seen"])
    columns = COLUMNS | {
        "visits": pa.Column(int, [pa.Check.ge(0), pa.Check.lt(100)]),
        "seen": pa.Column("datetime64[us]", pa.Check.ge(pd.Timestamp("2026-01-01"))),
    }
    read["seen"] = read["seen"].astype("datetime64[ns]") if column == "visits" else read["seen"]
    schema = pa.DataFrameSchema(columns)
    spoiled = replace(good, x_train=read[:40], x_eval=read[40:])
    (finding,) = table_checks.find_violations(spoiled, SimpleNamespace(CLASSES=DATA.CLASSES, SCHEMA=schema))
    wanted = "int64" if cell == "many" else "datetime64[ns]"
    assert finding.message == f"{split} column '{column}' is str, not {wanted}, because of '{cell}' in row 7"


@pytest.mark.parametrize("split", ["y_train", "y_eval"])
def test_one_text_among_the_targets_is_named_with_its_row_in_its_own_split(good, split):
    """It makes texts of all targets, in both splits."""
    targets = {"y_train": np.arange(40).astype(str).astype(object), "y_eval": np.arange(20).astype(str).astype(object)}
    targets[split][[7, 9]] = "n/a?"
    (finding,) = table_checks.find_violations(replace(good, **targets), SimpleNamespace(SCHEMA=DATA.SCHEMA))
    assert finding == ("target_dtype", f"{split} is object, not float64, because of 'n/a?' in row 7")


def test_a_row_in_both_splits_is_refused_unless_rows_repeat_by_nature(good):
    both = replace(good, x_eval=pd.concat([good.x_eval[:-1], good.x_train[:1]]))
    (finding,) = table_checks.find_violations(both, DATA)
    assert (finding.check, "row 19" in finding.message) == ("row_in_both", True)
    assert checks(both, may_repeat=True) == []


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def texts():
    sentences = [f"this is text {number}" for number in range(60)]
    labels = np.arange(60, dtype=np.int64) % 2
    return Dataset(sentences[:40], labels[:40], sentences[40:], labels[40:])


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("text_empty", " \n"),
        ("text_length", "x" * 1_000_001),
        ("text_encoding", "half a pair: \ud83d"),
        ("text_dtype", 7),
        ("text_dtype", None),
        ("row_in_both", "this is text 2"),
    ],
)
def test_texts_are_refused_by_the_check_named_for_the_defect(texts, check, text):
    spoiled = replace(texts, x_eval=[*texts.x_eval[:3], text, *texts.x_eval[4:]])
    (finding,) = text_checks.find_violations(spoiled, DATA)
    assert (finding.check, "row 3" in finding.message) == (check, True)


def test_good_texts_have_no_violation(texts):
    assert text_checks.find_violations(texts, DATA) == []
    again = replace(texts, x_eval=[*texts.x_eval[:3], texts.x_train[0], *texts.x_eval[4:]])
    assert text_checks.find_violations(again, DATA, may_repeat=True) == []
    assert text_checks.find_violations(replace(texts, x_train=tuple(texts.x_train)), DATA)[0].check == "text_dtype"
