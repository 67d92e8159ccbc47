"""Check tables before anything is recorded. A refusal names its check."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from modelgate.rows import tables
from modelgate.rows.checks import (
    SHOWN,
    Finding,
    class_names,
    label_dtype,
    label_known,
    label_present,
    list_splits,
    name_rows,
    run_checks,
    target_dtype,
    target_finite,
)
from modelgate.rows.dataset import Dataset, is_in_training
from modelgate.text import name_columns


def find_violations(dataset: Dataset, data: ModuleType, *, may_repeat: bool = False) -> list[Finding]:
    """
    Return everything that is wrong with the rows; empty if they may be recorded. Equal rows in one split are allowed.

    data: has the SCHEMA, and for a classification the CLASSES. may_repeat: whether an eval row may equal a training
    row, which is natural for rows with few columns.
    """
    labels = hasattr(data, "CLASSES")
    form = (class_names, label_dtype) if labels else (target_dtype,)
    values = (label_known, label_present) if labels else (target_finite,)
    return run_checks((table_columns, schema_converts, *form), dataset, data) or run_checks(
        (schema, row_infinite, *values, *(() if may_repeat else (row_in_both,))), dataset, data
    )


def table_columns(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that each split is a DataFrame with rows, and has exactly the columns that SCHEMA declares, in one
    order.
    """
    import pandas as pd

    for split, rows in list_splits(dataset):
        if not isinstance(rows.x, pd.DataFrame) or len(rows.x) == 0:
            yield f"x_{split} is {_format(rows.x)}, not a DataFrame with at least one row"
            return
        names = list(rows.x.columns)
        if tables.TARGET in names:
            yield f"x_{split} has a column {tables.TARGET!r}, but the file uses this name for the targets"
        if undeclared := [name for name in names if name not in data.SCHEMA.columns]:
            yield f"x_{split} has {name_columns(undeclared)}, which SCHEMA does not declare"
        missing = [name for name, column in data.SCHEMA.columns.items() if column.required and name not in names]
        if missing:
            yield f"x_{split} lacks {name_columns(missing)}, which SCHEMA declares"
    if list(dataset.x_train.columns) != list(dataset.x_eval.columns):
        yield "x_train and x_eval do not have the same columns in the same order"


def schema_converts(_dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that SCHEMA does not convert: converted rows would not be the recorded rows."""
    if data.SCHEMA.coerce or any(column.coerce for column in data.SCHEMA.columns.values()):
        yield "SCHEMA has coerce=True: convert the columns in load, and let it check them"


def schema(dataset: Dataset, data: ModuleType) -> Iterator[str]:
    """Check that the columns have the types, ranges and categories that SCHEMA declares, and nulls only where it allows
    them.
    """
    from pandera.errors import SchemaErrors

    mistyped: dict[str, str] = {}  # by column: a cell of another type changes the type of the column in both splits
    for split, rows in list_splits(dataset):
        try:
            data.SCHEMA.validate(rows.x.reset_index(drop=True), lazy=True)
        except SchemaErrors as error:
            cases = error.failure_cases
            wrong = dict.fromkeys(cases["column"][cases["check"].str.startswith("dtype(")])
            for name in wrong:
                text = _describe_mistyped(rows.x[name], data.SCHEMA.columns[name].dtype)
                if " in row" in text or name not in mistyped:
                    mistyped[name] = f"x_{split} {text}"
            # The other checks of such a column could only fail or raise.
            yield from (f"x_{split} {text}" for text in _describe_failures(cases[~cases["column"].isin(list(wrong))]))
    yield from mistyped.values()


def _describe_mistyped(values: Any, dtype: Any) -> str:
    """Return the type that a column has and should have, and the cells that keep it from having it."""
    import pandas as pd

    kind = getattr(getattr(dtype, "type", None), "kind", "")
    problem = f"column {values.name!r} is {values.dtype}, not {dtype}"
    if kind not in tuple("iufM") or values.dtype.kind != "O":
        return problem
    convert = pd.to_datetime if kind == "M" else pd.to_numeric
    wrong = (convert(values, errors="coerce").isna() & values.notna()).to_numpy()
    shown = ", ".join(dict.fromkeys(map(repr, values[wrong].head(SHOWN).tolist())))
    return f"{problem}, because of {shown[:200]} in {name_rows(wrong)}" if wrong.any() else problem


def _describe_failures(cases: Any) -> Iterator[str]:
    """Yield one sentence per column and check: what it requires, and which rows fail."""
    for (column, check), group in cases.groupby(["column", "check"], dropna=False, sort=False):
        subject = f"column {column!r}" if isinstance(column, str) else "as a whole"
        rows = sorted({int(row) for row in group["index"].dropna()})
        values = ", ".join(dict.fromkeys(map(repr, group["failure_case"].tolist()[:SHOWN])))
        text = f" in {_name_numbers(rows)}" if rows else ""
        yield f"{subject} does not pass {check}{text}: {values[:200]}"


def _name_numbers(rows: list[int]) -> str:
    """`rows 3, 8 and 40 more`."""
    wrong = np.zeros(max(rows) + 1, dtype=np.bool_)
    wrong[rows] = True
    return name_rows(wrong)


def row_infinite(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no number is infinite. SCHEMA decides whether it may be missing."""
    for split, rows in list_splits(dataset):
        for name in rows.x.select_dtypes("number").columns:
            if text := name_rows(np.isinf(rows.x[name].to_numpy(dtype=np.float64, na_value=np.nan))):
                yield f"x_{split} column {name!r} is infinite in {text}"


def row_in_both(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no row is in both splits: a model is not judged on what it has seen."""
    if text := name_rows(is_in_training(dataset.x_eval, dataset.x_train, tables.hash_rows)):
        hint = "if rows repeat naturally, set rows_may_repeat = true below [data] in config.toml"
        yield f"x_eval repeats rows of x_train in {text}; {hint}"


def _format(x: Any) -> str:
    return f"a {type(x).__name__}" + (f" of {len(x)} rows" if hasattr(x, "__len__") else "")
