"""
Define the kinds of rows in a dataset, one module per kind: images, tables, texts.

A kind has `FILES` (the file of the training rows and that of the eval rows), `write(rows, path)`, `read(path)` and
`hash_rows(x)`. Its checks are in a separate module, which only `build` needs:
`find_violations(dataset, data, may_repeat=...)`. Both are imported by the task's name, so that a step's fingerprint
contains only the kind that its use case has.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# By the task's name in config.toml.
KINDS = {
    "image-classification": "images",
    "tabular-classification": "tables",
    "tabular-regression": "tables",
    "text-classification": "texts",
}
_CHECKS = {"images": "image_checks", "tables": "table_checks", "texts": "text_checks"}


def get_module(task: str) -> str:
    """Return the name of the module for the task's kind of row."""
    return f"modelgate.rows.{KINDS[task]}"


def load_kind(task: str) -> ModuleType:
    """Return the module for the task's kind of row."""
    return import_module(get_module(task))


def get_checks(task: str) -> str:
    """Return the name of the module with the checks for the task's kind of row."""
    return f"modelgate.rows.{_CHECKS[KINDS[task]]}"


def load_checks(task: str) -> ModuleType:
    """Return the module with the checks for the task's kind of row."""
    return import_module(get_checks(task))
