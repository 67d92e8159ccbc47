"""
Check incoming rows against what the model expects.

The requirements are those for the rows of a dataset, but without targets, and the check is fast enough for one row at a
time. For a table, pandera's checks that are plain comparisons are compiled once, because pandera itself takes tens of
milliseconds per call. Other checks go to pandera unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from modelgate.errors import StepError
from modelgate.rows.checks import SHOWN, name_rows
from modelgate.rows.text_checks import MAX_CHARS
from modelgate.text import to_line


class Refused(StepError):
    """Rows that a model does not accept. column: the wrong column, if it is one."""

    def __init__(self, check: str, message: str, column: str | None = None) -> None:
        super().__init__(check, message, "correct the rows; nothing was answered")
        self.column = column


class Expected(Protocol):
    """What a model accepts."""

    def require(self, x: Any, first: int = 0) -> None:
        """Raise Refused if a row is not as expected. first: the number of the first row, for the message."""


def read_expected(task: str, data: ModuleType) -> Expected:
    """Return what a use case's `data.py` says about its rows. StepError `part_missing` has been raised if it says
    nothing.
    """
    if task == "image-classification":
        return Images(data.SHAPE)
    return Texts() if task == "text-classification" else Table(data.SCHEMA)


def require_none(check: str, wrong: Any, first: int, message: str, column: str | None = None) -> None:
    """Raise Refused if any row is wrong. wrong: bool (N,)."""
    if text := name_rows(wrong, first):
        raise Refused(check, f"{message} in {text}", column)


# --- times, which a CSV file and a request have as texts -------------------------------------------------------------

# One form, so that no day is taken for a month.
_TIME = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?"
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2})"


def read_times(texts: Any, dtype: Any, first: int = 0) -> Any:
    """
    A column of times from its texts in ISO 8601; Refused names the rows that hold another text.

    dtype: pandera's, of a column of times. Whether it has a time zone decides whether each text has an offset from UTC.
    """
    import pandas as pd

    wanted = dtype.type
    zone = getattr(wanted, "tz", None)
    unit = wanted.unit if zone else np.datetime_data(wanted)[0]
    missing = texts.isna().to_numpy(dtype=np.bool_)
    in_form = texts.str.fullmatch(_TIME + _OFFSET if zone else _TIME).fillna(False).to_numpy(dtype=np.bool_)
    read = pd.to_datetime(texts.where(in_form), format="ISO8601", errors="coerce", utc=True)
    if unit == "ns":  # which is from 1677 to 2262 only
        read = read.where(read.between(*(end.tz_localize("UTC") for end in (pd.Timestamp.min, pd.Timestamp.max))))
    times = (read if zone else read.dt.tz_localize(None)).astype(wanted)
    exact = (times if zone else times.dt.tz_localize("UTC")) == read
    wrong = ~missing & ~exact.to_numpy(dtype=np.bool_)
    shown = ", ".join(dict.fromkeys(map(repr, texts[wrong].head(SHOWN).tolist())))
    example = f"2026-03-04T15:30:00{'+01:00' if zone else ''}"
    problem = f"is not a time such as {example}{'' if zone else ' or 2026-03-04'} ({to_line(shown, 200)})"
    require_none("type", wrong, first, f"column {texts.name!r} {problem}", texts.name)
    return times


def is_time(dtype: Any) -> bool:
    """Whether a column of this type, which is pandera's, holds times."""
    return getattr(getattr(dtype, "type", None), "kind", "") == "M"


# --- images and texts ------------------------------------------------------------------------------------------------


class Images(NamedTuple):
    """Images float32 (N, *shape) in [0, 1]."""

    shape: tuple[int, ...]

    def require(self, x: Any, first: int = 0) -> None:
        """See Expected."""
        if x.dtype != np.float32:
            raise Refused("row_dtype", f"the images are {x.dtype}, not float32")
        if x.shape[1:] != tuple(self.shape):
            raise Refused("row_shape", f"the images are {x.shape}, not (N, {', '.join(map(str, self.shape))})")
        pixels = x.reshape(len(x), -1)
        require_none("row_nan", ~np.isfinite(pixels).all(axis=1), first, "NaN or infinite pixels")
        require_none("row_range", ((pixels < 0) | (pixels > 1)).any(axis=1), first, "pixels outside [0, 1]")


class Texts:
    """A list of texts."""

    def require(self, x: Any, first: int = 0) -> None:
        """See Expected."""
        checks: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
            ("text_dtype", lambda text: not isinstance(text, str), "items that are not text"),
            ("text_empty", lambda text: not text.strip(), "empty texts"),
            ("text_length", lambda text: len(text) > MAX_CHARS, f"texts of more than {MAX_CHARS} characters"),
            ("text_encoding", lambda text: any("\ud800" <= char <= "\udfff" for char in text), "half characters"),
        )
        for check, wrong, message in checks:
            require_none(check, [wrong(text) for text in x], first, message, "text")


# --- tables ----------------------------------------------------------------------------------------------------------

Holds = Callable[[Any], Any]  # from the values of a column that are not missing, an array, to which of them are right


def _is_in_range(
    values: Any, *, min_value: Any, max_value: Any, include_min: bool = True, include_max: bool = True
) -> Any:
    above = values >= min_value if include_min else values > min_value
    return above & (values <= max_value if include_max else values < max_value)


def _is_among(values: Any, allowed: Collection[Any]) -> Any:
    return np.array([value in allowed for value in values.tolist()], dtype=np.bool_)


# pandera's own checks that are plain comparisons, by name. Each gets the check's statistics as keywords.
_PLAIN: Mapping[str, Callable[..., Any]] = {
    "equal_to": lambda values, value: values == value,
    "greater_than": lambda values, min_value: values > min_value,
    "greater_than_or_equal_to": lambda values, min_value: values >= min_value,
    "in_range": _is_in_range,
    "isin": lambda values, allowed_values: _is_among(values, allowed_values),
    "less_than": lambda values, max_value: values < max_value,
    "less_than_or_equal_to": lambda values, max_value: values <= max_value,
    "not_equal_to": lambda values, value: values != value,
    "notin": lambda values, forbidden_values: ~_is_among(values, forbidden_values),
}


class _Column:
    """The checks of one column, compiled if they are plain."""

    def __init__(self, name: str, column: Any) -> None:
        self.name = name
        self.nullable = bool(column.nullable)
        self.dtype = column.dtype
        self._is_text = str(column.dtype).startswith("str")
        # pandera knows more about times and categories.
        self._is_simple = self._is_text or getattr(getattr(column.dtype, "type", None), "kind", "") in tuple("iufb")
        compiled = [(check, _compile(check) if self._is_simple else None) for check in column.checks]
        self.plain = [(check, holds) for check, holds in compiled if holds is not None]
        plain = self._is_simple and len(self.plain) == len(compiled)
        self.is_plain = plain and not (column.unique or column.parsers)
        self._known: set[Any] = set()  # the types of a Series that passed, and that do not depend on its values

    def find_failures(self, values: Any) -> Iterator[tuple[str, str, Any]]:
        """Yield what is wrong with the values: the check, its message, and which rows, bool (N,)."""
        if not self._is_typed(values):
            yield "type", f"is {values.dtype}, not {get_type_name(self.dtype)}", np.ones(len(values), dtype=np.bool_)
            return
        if not self._is_simple:
            return
        array = values.to_numpy(dtype=object) if self._is_text else values.to_numpy()
        missing = _is_missing(array)
        if not self.nullable and missing.any():
            yield "not_nullable", "is missing", missing
        present = array[~missing] if missing.any() else array
        for check, holds in self.plain:
            right = np.asarray(holds(present), dtype=np.bool_)
            if not right.all():
                wrong = np.zeros(len(values), dtype=np.bool_)
                wrong[~missing] = ~right
                shown = ", ".join(dict.fromkeys(map(repr, present[~right][:SHOWN].tolist())))
                yield (
                    str(check.name),
                    f"does not pass {to_line(check.error or check.name)}: {to_line(shown, 200)}",
                    wrong,
                )
        if array.dtype.kind == "f":
            infinite = np.isinf(array)
            if infinite.any():
                yield "row_infinite", "is infinite", infinite

    def _is_typed(self, values: Any) -> bool:
        if self.dtype is None or values.dtype in self._known:
            return True
        from pandera.engines.pandas_engine import Engine

        right = bool(np.all(self.dtype.check(Engine.dtype(values.dtype), values)))
        if right and values.dtype != object:
            self._known.add(values.dtype)
        return right


def _is_missing(array: Any) -> Any:
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype != object:
        return np.zeros(len(array), dtype=np.bool_)
    import pandas as pd

    return pd.isna(array)


def _compile(check: Any) -> Holds | None:
    plain = check.ignore_na and not check.element_wise and check.groupby is None
    if not plain or check.name not in _PLAIN:
        return None
    compare, statistics = _PLAIN[check.name], dict(check.statistics)
    return lambda values: compare(values, **statistics)


def get_type_name(dtype: Any) -> str:
    return "text" if str(dtype).startswith("str") else str(dtype)


class Table:
    """The columns of a table, exactly those that SCHEMA of data.py declares, in any order."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.columns = [_Column(name, column) for name, column in schema.columns.items()]
        has_table_checks = bool(schema.checks or schema.unique or schema.parsers or schema.index or schema.dtype)
        # Then pandera also checks; the compiled checks are faster and say the same.
        self.needs_pandera = has_table_checks or not all(column.is_plain for column in self.columns)

    def require(self, x: Any, first: int = 0) -> None:
        """See Expected."""
        names = list(x.columns)
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise Refused("table_columns", f"column {twice!r} appears twice", str(twice))
        if undeclared := next((name for name in names if name not in self.schema.columns), None):
            raise Refused("table_columns", f"SCHEMA does not declare the column {undeclared!r}", to_line(undeclared))
        for column in self.columns:
            if column.name not in names:
                if self.schema.columns[column.name].required:
                    raise Refused(
                        "table_columns", f"column {column.name!r}, which SCHEMA declares, is missing", column.name
                    )
                continue
            for check, condition, wrong in column.find_failures(x[column.name]):
                require_none(check, wrong, first, f"column {column.name!r} {condition}", column.name)
        if self.needs_pandera:
            self._ask_pandera(x, first)

    def _ask_pandera(self, x: Any, first: int) -> None:
        from pandera.errors import SchemaErrors

        try:
            self.schema.validate(x.reset_index(drop=True), lazy=True)
        except SchemaErrors as error:
            case = error.failure_cases.iloc[0]
            column = case["column"] if isinstance(case["column"], str) else None
            subject = f"column {column!r}" if column else "the table"
            message = f"{subject} does not pass {to_line(case['check'])}: {to_line(repr(case['failure_case']), 200)}"
            row = case["index"]
            position = f" in row {int(row) + first}" if row is not None and row == row else ""
            raise Refused("schema", f"{message}{position}", column) from error
