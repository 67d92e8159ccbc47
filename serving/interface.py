"""
Describe the tensors of a model: one for images, one per column of a table, one for texts.

A value of a narrower type is widened if nothing is lost (FP32 to FP64, INT32 to INT64), and a time is a text in ISO
8601. Nothing else is converted, so that a client that sends the wrong thing is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from modelgate.errors import WRONG_USE, StepError
from modelgate.incoming import is_time, read_times
from modelgate.rows import KINDS, texts
from serving.errors import Refusal
from serving.tensors import NUMBERS, Tensor

IMAGE = "x"
ANSWER, PROBABILITIES = "answer", "probabilities"
_INTEGERS = {name for name in NUMBERS if name.startswith(("INT", "UINT")) and name != "UINT64"}
# The types that are accepted for a type, and widened to it.
_WIDENED: Mapping[str, set[str]] = {
    "FP64": {"FP64", "FP32", "FP16", "INT8", "INT16", "INT32", "UINT8", "UINT16", "UINT32"},
    "INT64": _INTEGERS,
}


class Input(NamedTuple):
    """
    A tensor that the model takes. example: one value of it. choices: the only values there are, for a form. nullable:
    whether a value may be missing. is_time: whether its texts are times.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    example: Any
    choices: tuple[Any, ...] = ()
    nullable: bool = False
    is_time: bool = False

    def as_json(self) -> dict[str, Any]:
        """Describe it as the protocol's metadata does; the number of rows is -1. A time is a text, as in MLServer."""
        description = {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}
        return description | {"parameters": {"content_type": "datetime"}} if self.is_time else description


class Interface:
    """Return the tensors of a use case. data: its `data.py`."""

    def __init__(self, task: str, data: ModuleType) -> None:
        self.kind = KINDS[task]
        self.task = task
        self.classes = () if task.endswith("regression") else tuple(str(name) for name in data.CLASSES)
        self._columns: Mapping[str, Any] = data.SCHEMA.columns if self.kind == "tables" else {}
        self.inputs: tuple[Input, ...]
        if self.kind == "images":
            shape = tuple(data.SHAPE)
            self.inputs = (Input(IMAGE, "FP32", shape, np.zeros(shape, dtype=np.float32)),)
        elif self.kind == "texts":
            self.inputs = (Input(texts.COLUMN, "BYTES", (), "some text"),)
        else:
            self.inputs = tuple(_describe_input(name, column) for name, column in self._columns.items())

    def describe_outputs(self) -> list[dict[str, Any]]:
        """Return the output tensors of the model, in the form of the protocol's metadata."""
        if not self.classes:
            return [{"name": ANSWER, "datatype": "FP64", "shape": [-1]}]
        probabilities = {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(self.classes)]}
        return [{"name": ANSWER, "datatype": "BYTES", "shape": [-1]}, probabilities]

    def build_example(self) -> dict[str, Any]:
        """Return a valid request with one row, as JSON."""
        row = [
            {
                "name": item.name,
                "datatype": item.datatype,
                "shape": [1, *item.shape],
                "data": np.asarray(item.example).ravel().tolist(),
            }
            for item in self.inputs
        ]
        return {"inputs": row}

    def read_rows(self, tensors: Mapping[str, Tensor]) -> Any:
        """The rows that a request is about; raises Refusal or Refused, by the name of the input that is wrong."""
        known = {item.name: item for item in self.inputs}
        if unknown := next((name for name in tensors if name not in known), None):
            raise Refusal(f"there is no input {unknown!r}; there are {', '.join(known)}", column=unknown)
        required = (item for item in self.inputs if self.kind != "tables" or self._columns[item.name].required)
        if missing := next((item.name for item in required if item.name not in tensors), None):
            raise Refusal(f"the input {missing!r} is missing", name="table_columns", column=missing)
        values = {name: _read_values(known[name], tensor) for name, tensor in tensors.items()}
        lengths = {name: len(array) for name, array in values.items()}
        first = next(iter(lengths.values()))
        if odd := next((name for name, length in lengths.items() if length != first), None):
            raise Refusal(f"the input {odd!r} has {lengths[odd]} rows, but the first input has {first}", column=odd)
        if not first:
            raise Refusal("there is no row")
        if self.kind == "images":
            return values[IMAGE]
        return values[texts.COLUMN].tolist() if self.kind == "texts" else self._build_frame(values)

    def _build_frame(self, values: Mapping[str, Any]) -> Any:
        import pandas as pd

        columns = {}
        for name, array in values.items():
            dtype = self._columns[name].dtype
            if array.dtype != object:
                columns[name] = array.astype(dtype.type, copy=False)
                continue
            # In binary, a text cannot be missing, so an empty text counts as missing if SCHEMA allows it.
            texts = [text or None for text in array] if self._columns[name].nullable else array
            if is_time(dtype):
                columns[name] = read_times(pd.Series(texts, name=name, dtype="str"), dtype)
            else:
                columns[name] = pd.array(texts, dtype="str" if str(dtype).startswith("str") else dtype.type)
        return pd.DataFrame(columns)

    def join(self, parts: Sequence[Any]) -> Any:
        """Join the rows of several requests. Tables must have the same columns and types."""
        if self.kind == "images":
            return np.concatenate(parts)
        if self.kind == "texts":
            return [text for part in parts for text in part]
        import pandas as pd

        return pd.concat(parts, ignore_index=True)

    def build_answers(self, scores: Any) -> list[Tensor]:
        """Return the model's answers as tensors."""
        if not self.classes:
            return [Tensor(ANSWER, "FP64", scores)]
        names = np.array(self.classes, dtype=object)[scores.argmax(axis=1)]
        return [Tensor(ANSWER, "BYTES", names), Tensor(PROBABILITIES, "FP32", scores.astype(np.float32, copy=False))]


def _read_values(item: Input, tensor: Tensor) -> Any:
    """Return a tensor's values in the type and shape of the input: (N, *shape)."""
    if tensor.datatype not in _WIDENED.get(item.datatype, {item.datatype}):
        message = f"the input {item.name!r} is {tensor.datatype}, not {item.datatype}"
        raise Refusal(message, name="type", column=item.name)
    values = tensor.values
    if not item.shape and values.ndim == 2 and values.shape[1] == 1:  # a column, as some clients write it
        values = values[:, 0]
    if values.shape[1:] != item.shape:
        wanted = ", ".join(map(str, (-1, *item.shape)))
        raise Refusal(f"the input {item.name!r} is {list(values.shape)}, not [{wanted}]", column=item.name)
    return values if item.datatype == "BYTES" else values.astype(NUMBERS[item.datatype], copy=False)


def _describe_input(name: str, column: Any) -> Input:
    wanted = getattr(column.dtype, "type", None)
    kind = "O" if str(column.dtype).startswith(("str", "category")) else getattr(wanted, "kind", "?")
    datatype = {"f": "FP64", "i": "INT64", "u": "INT64", "b": "BOOL", "O": "BYTES", "M": "BYTES"}.get(kind)
    if datatype is None:
        raise StepError(
            "type_not_served",
            f"column {name!r} is {column.dtype}, which has no tensor",
            "make it a number, a text, a time or true and false",
            WRONG_USE,
        )
    checks = {check.name: dict(check.statistics or {}) for check in column.checks}
    choices = tuple(checks.get("isin", {}).get("allowed_values", ()))
    limits = {key: value for statistics in checks.values() for key, value in statistics.items()}
    ends = [limits[key] for key in ("min_value", "max_value") if limits.get(key) is not None]
    if is_time(column.dtype):
        return _describe_time_input(name, column, choices, ends)
    example: Any = choices[0] if choices else {"BYTES": "text", "BOOL": False}.get(datatype, 0)
    if not choices and ends:
        middle = sum(ends) / len(ends)
        # For a text, the bounds are those of its length.
        example = {"FP64": float(middle), "INT64": int(middle), "BYTES": "A" * int(middle)}.get(datatype, example)
    return Input(name, datatype, (), example, choices, bool(column.nullable))


def _describe_time_input(name: str, column: Any, choices: Sequence[Any], ends: Sequence[Any]) -> Input:
    """An input of times; its choices and its example are texts. ends: the least and the greatest that are allowed."""
    import pandas as pd

    zone = getattr(column.dtype.type, "tz", None)
    middle = pd.Timestamp("2026-03-04", tz=zone)
    if ends:
        first, last = pd.Timestamp(ends[0]), pd.Timestamp(ends[-1])
        middle = first + (last - first) / 2
        middle = middle.floor("D") if middle.floor("D") > first else middle
    texts = tuple(pd.Timestamp(value).isoformat() for value in choices)
    example = texts[0] if texts else middle.isoformat().removesuffix("T00:00:00")
    return Input(name, "BYTES", (), example, texts, bool(column.nullable), True)
