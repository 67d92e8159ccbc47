"""
At least ten defects planted in each task's good rows, each refused by the check that is named for it.

    pytest tests/modelgate/test_planted_rows.py
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from modelgate.rows import image_checks, table_checks, text_checks
from modelgate.rows.dataset import Dataset

SHAPE = (4, 4, 1)
COLUMNS = {
    "age": pa.Column(float, pa.Check.in_range(0, 120), nullable=True),
    "city": pa.Column(str, pa.Check.isin(["Bern", "Basel"])),
    "visits": pa.Column(int),
}
SCHEMA = pa.DataFrameSchema(COLUMNS)
CLASSES = ("no", "yes")
DATA = SimpleNamespace(CLASSES=CLASSES, SHAPE=SHAPE, SCHEMA=SCHEMA)


def images():
    x = np.random.default_rng(0).random((60, *SHAPE), dtype=np.float32)
    return split(x, np.arange(60, dtype=np.int64) % 2)


def table():
    """Return 60 rows; one lacks its age and two are equal, and both are allowed."""
    number = np.arange(60)
    x = pd.DataFrame({"age": number + 0.5, "city": np.where(number % 3, "Bern", "Basel"), "visits": number})
    x.loc[4, "age"] = np.nan
    x.loc[9] = x.loc[8]
    return split(x, number.astype(np.int64) % 2)


def numbers():
    return replace(table(), y_train=np.arange(40) / 4, y_eval=np.arange(20) / 4)


def texts():
    return split([f"this is text {number}" for number in range(60)], np.arange(60, dtype=np.int64) % 2)


def split(x, y):
    return Dataset(x[:40], y[:40], x[40:], y[40:])


# For each task: good rows, its checks, and the names in data.py.
TASKS = {
    "image-classification": (images, image_checks.find_violations, DATA),
    "tabular-classification": (table, table_checks.find_violations, DATA),
    "tabular-regression": (numbers, table_checks.find_violations, SimpleNamespace(SCHEMA=SCHEMA)),
    "text-classification": (texts, text_checks.find_violations, DATA),
}


def put(name, value, row=3):
    """Return a function that replaces one row of `name`."""

    def spoil(good):
        rows = getattr(good, name)
        changed = rows[:] if isinstance(rows, list) else rows.copy()
        changed[row] = value
        return replace(good, **{name: changed})

    return spoil


def cell(column, value, row=3):
    """Return a function that replaces one cell of x_eval."""

    def spoil(good):
        x = good.x_eval.reset_index(drop=True)
        if isinstance(value, str) and column != "city":
            x[column] = x[column].astype(object)
        x.loc[row, column] = value
        return replace(good, x_eval=x)

    return spoil


def seen(good):
    """One eval row is a training row."""
    if isinstance(good.x_eval, pd.DataFrame):
        return replace(good, x_eval=pd.concat([good.x_eval[:-1], good.x_train[:1]]))
    return put("x_eval", good.x_train[0])(good)


def both(change):
    """Return a function that changes the rows of both splits."""
    return lambda good: replace(good, x_train=change(good.x_train), x_eval=change(good.x_eval))


# Each has the defect, the checks that refuse it, and how it changes good rows, or the names in data.py.
LABELS = (
    ("a label that is no class", "label_known", put("y_eval", 2)),
    ("a negative label", "label_known", put("y_eval", -1)),
    ("a class without rows", "label_present", lambda good: replace(good, y_eval=good.y_eval * 0)),
    ("labels that are fractions", "label_dtype", lambda good: replace(good, y_eval=good.y_eval.astype(float))),
    ("labels of eight bits", "label_dtype", lambda good: replace(good, y_train=good.y_train.astype(np.uint8))),
    ("more rows than labels", "label_dtype", lambda good: replace(good, y_train=good.y_train[:-1])),
    ("names of classes instead of labels", "label_dtype", lambda good: replace(good, y_train=["no", "yes"] * 20)),
    ("one class alone", "class_names", {"CLASSES": ("no",)}),
    ("no classes", "class_names", {"CLASSES": ()}),
    ("two classes of one name", "class_names", {"CLASSES": ("no", "no")}),
)
TABLES = (
    ("a row in both splits", "row_in_both", seen),
    ("a value out of range", "schema", cell("age", 130.0)),
    ("an unknown category", "schema", cell("city", "Bonn")),
    ("a missing value that may not be", "schema", cell("city", None)),
    ("a word in a column of numbers", "schema", cell("visits", "many")),
    ("an infinite number", "schema row_infinite", cell("age", np.inf)),
    ("a column that is not declared", "table_columns", both(lambda x: x.assign(leak=1))),
    ("a column named as the target", "table_columns", both(lambda x: x.assign(target=1))),
    ("a column that is missing", "table_columns", lambda good: replace(good, x_eval=good.x_eval.drop(columns="age"))),
    ("columns in another order", "table_columns", lambda good: replace(good, x_eval=good.x_eval[[*COLUMNS][::-1]])),
    ("an array", "table_columns", both(lambda x: x.to_numpy())),
    ("no rows", "table_columns", lambda good: replace(good, x_eval=good.x_eval[:0], y_eval=good.y_eval[:0])),
    ("a schema that converts", "schema_converts", {"SCHEMA": pa.DataFrameSchema(COLUMNS, coerce=True)}),
)
DEFECTS = {
    "image-classification": (
        *LABELS,
        ("images of another size", "row_shape", lambda good: replace(good, x_eval=good.x_eval[:, :3])),
        ("no rows", "row_shape", lambda good: replace(good, x_eval=good.x_eval[:0], y_eval=good.y_eval[:0])),
        ("other floats", "row_dtype", both(lambda x: x.astype(np.float64))),
        ("a pixel that is NaN", "row_nan", put("x_train", np.nan)),
        ("a pixel that is infinite", "row_nan row_range", put("x_train", np.inf)),
        ("pixels up to 255", "row_range", put("x_eval", 255)),
        ("a pixel just above 1", "row_range", put("x_eval", 1.01)),
        ("pixels below 0", "row_range", put("x_eval", -0.01)),
        ("a row in both splits", "row_in_both", seen),
    ),
    "tabular-classification": (*LABELS, *TABLES),
    "tabular-regression": (
        *TABLES,
        ("targets that are whole numbers", "target_dtype", lambda good: replace(good, y_eval=np.arange(20))),
        ("more rows than targets", "target_dtype", lambda good: replace(good, y_train=good.y_train[:-1])),
        ("a missing target", "target_finite", put("y_eval", np.nan)),
        ("an infinite target", "target_finite", put("y_train", np.inf)),
        ("targets that are all the same", "target_finite", lambda good: replace(good, y_train=np.ones(40))),
    ),
    "text-classification": (
        *LABELS,
        ("an empty text", "text_empty", put("x_eval", " \n")),
        ("a text as long as a library", "text_length", put("x_eval", "x" * 1_000_001)),
        ("half a character", "text_encoding", put("x_eval", "half a pair: \ud83d")),
        ("a number", "text_dtype", put("x_eval", 7)),
        ("a missing text", "text_dtype", put("x_train", None)),
        ("no list", "text_dtype", both(tuple)),
        ("no rows", "text_dtype", lambda good: replace(good, x_eval=[], y_eval=good.y_eval[:0])),
        ("a text in both splits", "row_in_both", seen),
    ),
}


@pytest.mark.parametrize(
    ("task", "check", "spoil"),
    [pytest.param(task, *rest, id=f"{task}: {name}") for task, defects in DEFECTS.items() for name, *rest in defects],
)
def test_a_planted_defect_is_refused_by_the_check_named_for_it(task, check, spoil):
    make, violations, data = TASKS[task]
    good = make()
    assert violations(good, data) == []
    if isinstance(spoil, dict):
        findings = violations(good, SimpleNamespace(**vars(data) | spoil))
    else:
        findings = violations(spoil(good), data)
    assert {finding.check for finding in findings} == set(check.split())


@pytest.mark.parametrize("task", DEFECTS)
def test_every_task_has_ten_defects(task):
    assert len(DEFECTS[task]) >= 10
