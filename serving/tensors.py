"""
Read and write the Open Inference Protocol, version 2: requests and answers as JSON, with tensors in JSON or, after it,
in binary.

https://github.com/kserve/open-inference-protocol and Triton's extension `binary_tensor_data`. Input from outside: the
type, shape and size of everything are checked before it becomes an array.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.errors import Refusal

HEADER_LENGTH = "Inference-Header-Content-Length"
NUMBERS: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_LENGTH = struct.Struct("<I").unpack_from  # of a text, before it
MAX_TENSORS = 10_000
MAX_RANK = 8


class Tensor(NamedTuple):
    """A named array. values: for BYTES, objects: str, or None if a value is missing."""

    name: str
    datatype: str
    values: Any

    def as_json(self) -> dict[str, Any]:
        """Return its description and its values in JSON."""
        return {**self._describe(), "data": self.values.ravel().tolist()}

    def as_binary(self) -> tuple[dict[str, Any], bytes]:
        """Return its description, and its values as bytes."""
        if self.datatype == "BYTES":
            encoded = [text.encode() for text in self.values.ravel()]
            raw = b"".join(struct.pack("<I", len(text)) + text for text in encoded)
        else:
            raw = np.ascontiguousarray(self.values).tobytes()
        return {**self._describe(), "parameters": {"binary_data_size": len(raw)}}, raw

    def _describe(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.values.shape)}


class Request(NamedTuple):
    """An inference request. wanted: the outputs by name, and whether each one is binary; None: all of them, as `binary`
    says.
    """

    id: str | None
    inputs: dict[str, Tensor]
    wanted: Mapping[str, bool] | None
    binary: bool


def parse(body: bytes, header_length: str | None) -> Request:
    """Parse a request's body; raise Refusal. header_length: how many of its bytes are JSON, if binary tensors
    follow.
    """
    try:
        length = len(body) if header_length is None else int(header_length)
    except ValueError as error:
        raise Refusal(f"{HEADER_LENGTH} is not a number") from error
    if not 0 <= length <= len(body):
        raise Refusal(f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes")
    try:
        content = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise Refusal("the body is not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise Refusal("the body has no list `inputs`")
    if len(content["inputs"]) > MAX_TENSORS:
        raise Refusal(f"there are more than {MAX_TENSORS} inputs")
    inputs, rest = {}, body[length:]
    for item in content["inputs"]:
        tensor, rest = _read_tensor(item, rest)
        if tensor.name in inputs:
            raise Refusal(f"the input {tensor.name!r} appears twice", column=tensor.name)
        inputs[tensor.name] = tensor
    if rest:
        raise Refusal(f"{len(rest)} bytes at the end do not belong to an input")
    name = content.get("id")
    if name is not None and not isinstance(name, str):
        raise Refusal("`id` is not a text")
    return Request(name, inputs, _read_wanted(content), _read_parameters(content).get("binary_data_output") is True)


def read(content: Any) -> Tensor:
    """Parse a tensor in JSON; raise Refusal."""
    return _read_tensor(content, b"")[0]


def _read_wanted(content: Mapping[str, Any]) -> dict[str, bool] | None:
    outputs = content.get("outputs")
    if outputs is None:
        return None
    if not isinstance(outputs, list) or not all(isinstance(item, dict) for item in outputs):
        raise Refusal("`outputs` is not a list of objects")
    if any("classification" in _read_parameters(item) for item in outputs):
        raise Refusal("the extension `classification` is not offered")
    binary = _read_parameters(content).get("binary_data_output") is True
    return {str(item.get("name")): _read_parameters(item).get("binary_data", binary) is True for item in outputs}


def _read_parameters(content: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = content.get("parameters", {})
    return parameters if isinstance(parameters, dict) else {}


def _read_tensor(content: Any, rest: bytes) -> tuple[Tensor, bytes]:
    """Parse one input, and return what follows its bytes."""
    if not isinstance(content, dict) or not isinstance(name := content.get("name"), str):
        raise Refusal("an input has no name")
    datatype, shape = content.get("datatype"), _read_shape(name, content.get("shape"))
    if datatype not in NUMBERS and datatype != "BYTES":
        raise Refusal(f"the datatype of {name!r} is not one of BYTES, {', '.join(NUMBERS)}", column=name)
    count = math.prod(shape)
    size = _read_parameters(content).get("binary_data_size")
    if size is None:
        values = _read_json(name, str(datatype), content.get("data"), count)
    elif type(size) is not int or not 0 <= size <= len(rest):
        raise Refusal(f"binary_data_size of {name!r} is more than what follows", column=name)
    else:
        values, rest = _read_binary(name, str(datatype), rest[:size], count), rest[size:]
    return Tensor(name, str(datatype), values.reshape(shape)), rest


def _read_shape(name: str, content: Any) -> list[int]:
    good = isinstance(content, list) and 1 <= len(content) <= MAX_RANK
    if not good or not all(type(length) is int and 0 <= length < 2**31 for length in content):
        raise Refusal(f"the shape of {name!r} is not a list of lengths", column=name)
    return list(content)


_TYPES: Mapping[str, set[type]] = {"B": {str, type(None)}, "b": {bool}, "u": {int}, "i": {int}}


def _read_json(name: str, datatype: str, data: Any, count: int) -> Any:
    if not isinstance(data, list):
        raise Refusal(f"{name!r} has no list `data`", column=name)
    flat = _flatten(data)
    if len(flat) != count:
        raise Refusal(f"{name!r} has {len(flat)} values, but its shape says {count}", column=name)
    kind = "B" if datatype == "BYTES" else np.dtype(NUMBERS[datatype]).kind
    if not set(map(type, flat)) <= _TYPES.get(kind, {int, float, type(None)}):
        raise Refusal(f"{name!r} has values that are not {datatype}", column=name)
    if kind == "B":
        return np.array(flat, dtype=object)
    # A missing number is null in JSON, which has no NaN.
    numbers = [math.nan if value is None else value for value in flat] if kind == "f" else flat
    try:
        return np.array(numbers, dtype=NUMBERS[datatype])
    except (OverflowError, ValueError, TypeError) as error:
        raise Refusal(f"{name!r} has values that are not {datatype}", column=name) from error


def _flatten(data: list[Any]) -> list[Any]:
    """Yield the values of nested lists, which JSON may have instead of one flat list."""
    for _ in range(MAX_RANK):
        if not data or not isinstance(data[0], list):
            break
        if not all(isinstance(item, list) for item in data):
            raise Refusal("lists and values are mixed in `data`")
        data = [value for item in data for value in item]
    return data


def _read_binary(name: str, datatype: str, raw: bytes, count: int) -> Any:
    if datatype != "BYTES":
        dtype = np.dtype(NUMBERS[datatype])
        if len(raw) != count * dtype.itemsize:
            raise Refusal(f"{name!r} has {len(raw)} bytes, but its shape says {count * dtype.itemsize}", column=name)
        return np.frombuffer(raw, dtype=dtype)
    texts, offset = [], 0
    try:
        while offset < len(raw):
            begin = offset + 4
            offset = begin + _LENGTH(raw, offset)[0]
            if offset > len(raw):
                raise ValueError("a text is longer than the remaining bytes")
            texts.append(raw[begin:offset].decode())
    except (struct.error, ValueError) as error:
        raise Refusal(f"{name!r} is not a sequence of UTF-8 texts, each after its length", column=name) from error
    if len(texts) != count:
        raise Refusal(f"{name!r} has {len(texts)} texts, but its shape says {count}", column=name)
    return np.array(texts, dtype=object)


def answer(fields: Mapping[str, Any], outputs: Sequence[Tensor], request: Request) -> tuple[bytes, int | None]:
    """Return an answer's body, and how many of its bytes are JSON if binary tensors follow. fields: its fields except
    `outputs`.
    """
    known = {output.name: output for output in outputs}
    wanted = dict.fromkeys(known, request.binary) if request.wanted is None else request.wanted
    if unknown := next((name for name in wanted if name not in known), None):
        raise Refusal(f"there is no output {unknown!r}; there are {', '.join(known)}")
    described, raw = [], []
    for name, binary in wanted.items():
        if binary:
            head, content = known[name].as_binary()
            raw.append(content)
        else:
            head = known[name].as_json()
        described.append(head)
    text = json.dumps({**fields, "outputs": described}, allow_nan=False).encode()
    return text + b"".join(raw), len(text) if raw else None
