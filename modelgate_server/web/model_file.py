"""
Show what is in a model's file, from the text inside it. Both formats are ZIP files with JSON. Nothing is loaded, built
or run, and the JSON is read up to a limit.

keras: https://keras.io/api/saving/ (config.json, metadata.json); skops: https://skops.readthedocs.io (schema.json).
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from modelgate_server.errors import Invalid
from modelgate_server.settings import MIB
from modelgate_server.web import filters

MAX_JSON_BYTES = 4 * MIB
MAX_MEMBERS = 2_000
MAX_ROWS = 200
MAX_DEPTH = 60
MAX_TEXT_CHARS = 120


@dataclass(frozen=True)
class Summary:
    """`facts` about the whole model, and a row for each layer or estimator: [indent, what it is, its settings]."""

    facts: dict[str, Any]
    title: str
    rows: list[tuple[int, str, str]]
    cut: bool


def summarize(path: Path, name: str) -> Summary | None:
    """
    Return None for a file of another format. Raise Invalid for a file that only has the name of one of the formats.
    """
    read = next((function for suffix, function in _FORMATS.items() if name.endswith(suffix)), None)
    if read is None:
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise Invalid(f"the file has more than {MAX_MEMBERS} members: download it to see what it is")
            return read(archive)
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError, EOFError, OSError):
        kind = Path(name).suffix
        raise Invalid(f"the file is named {kind}, but cannot be read as such: download it to see what it is") from None


def _read_json(archive: zipfile.ZipFile, member: str) -> dict[str, Any]:
    with archive.open(member) as file:
        text = file.read(MAX_JSON_BYTES + 1)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{member} is too long")
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"{member} is not an object")
    return value


def _summarize_keras(archive: zipfile.ZipFile) -> Summary:
    config = _read_json(archive, "config.json")
    about = _read_json(archive, "metadata.json") if "metadata.json" in archive.namelist() else {}
    compiled = config.get("compile_config")
    layers = _get_object(config, "config").get("layers")
    rows = [_describe_layer(layer) for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []
    facts = {
        "Format": "Keras",
        "Class": config.get("class_name"),
        "Name": _get_object(config, "config").get("name"),
        "Keras version": about.get("keras_version"),
        "Optimizer": _get_object(_get_object(config, "compile_config"), "optimizer").get("class_name")
        if compiled
        else None,
        "Loss": _get_object(config, "compile_config").get("loss") if compiled else None,
        "Weights": _measure_files(archive, ".h5"),
    }
    return _build_summary(facts, "Layers", rows)


_SHOWN_OF_A_LAYER = (
    "units", "filters", "kernel_size", "strides", "padding", "pool_size", "activation", "rate", "input_dim",
    "output_dim", "batch_shape", "axis", "target_shape", "n",
)  # fmt: skip


def _describe_layer(layer: dict[str, Any]) -> tuple[int, str, str]:
    config = _get_object(layer, "config")
    shown = {key: config[key] for key in _SHOWN_OF_A_LAYER if config.get(key) is not None}
    name = config.get("name")
    return 0, f"{layer.get('class_name')}" + (f" {name}" if isinstance(name, str) else ""), _format_settings(shown)


def _summarize_skops(archive: zipfile.ZipFile) -> Summary:
    schema = _read_json(archive, "schema.json")
    rows = list(islice(_walk_estimators(schema, 0, ""), MAX_ROWS + 1))
    facts = {
        "Format": "skops",
        "Class": _format_type(schema),
        "skops version": schema.get("_skops_version"),
        "Arrays": sum(name.endswith(".npy") for name in archive.namelist()),
        "Array data": _measure_files(archive, ".npy"),
    }
    return _build_summary(facts, "Estimators", rows)


def _walk_estimators(node: Any, depth: int, name: str) -> Iterator[tuple[int, str, str]]:
    """Yield every object whose class is not Python's or NumPy's own, with its plain settings."""
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return
    content = node.get("content")
    inside = content.get("content") if isinstance(content, dict) and "__class__" in content else content
    is_estimator = str(node.get("__loader__")) == "ObjectNode"
    if is_estimator:
        values = {key: _read_plain(value) for key, value in inside.items()} if isinstance(inside, dict) else {}
        settings = {key: value for key, value in values.items() if value is not None and not key.startswith("_")}
        yield depth, _format_type(node) + (f" ({name})" if name else ""), _format_settings(settings)
    children = inside.items() if isinstance(inside, dict) else enumerate(inside) if isinstance(inside, list) else ()
    for key, child in children:
        yield from _walk_estimators(child, depth + is_estimator, str(key) if isinstance(key, str) else name)


def _read_plain(node: Any) -> Any:
    """Return the value of a node that is itself JSON: skops stores it as text."""
    if isinstance(node, dict) and node.get("__loader__") == "JsonNode" and isinstance(node.get("content"), str):
        return json.loads(node["content"])
    return None


def _format_type(node: dict[str, Any]) -> str:
    module, name = node.get("__module__"), node.get("__class__")
    return f"{module}.{name}" if module else str(name)


def _get_object(tree: dict[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def _measure_files(archive: zipfile.ZipFile, suffix: str) -> str:
    return filters.format_size(
        sum(member.file_size for member in archive.infolist() if member.filename.endswith(suffix))
    )


def _format_settings(values: dict[str, Any]) -> str:
    text = ", ".join(f"{key} {filters.format_value(value)}" for key, value in values.items())
    return text if len(text) <= MAX_TEXT_CHARS else text[:MAX_TEXT_CHARS] + "…"


def _build_summary(facts: dict[str, Any], title: str, rows: list[tuple[int, str, str]]) -> Summary:
    known = {key: value for key, value in facts.items() if value is not None}
    return Summary(known, title, rows[:MAX_ROWS], len(rows) > MAX_ROWS)


_FORMATS: dict[str, Callable[[zipfile.ZipFile], Summary]] = {".keras": _summarize_keras, ".skops": _summarize_skops}
