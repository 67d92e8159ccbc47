"""
The rows of a dataset, one module for each kind: images, tables, texts.

A kind has `FILES` (the file of the training rows and that of the eval rows), `write(rows, path)`, `read(path)` and
`keys(x)`. Next to it are its checks, which `build` alone needs: `violations(dataset, data, may_repeat=...)`. Both are
imported by the task's name, so that a step's fingerprint holds the kind that its use case has and no other.
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


def module_of(task: str) -> str:
    """The name of the module that knows the kind of row that the task has."""
    return f"modelgate.rows.{KINDS[task]}"


def load_kind(task: str) -> ModuleType:
    """The module that knows the kind of row that the task has."""
    return import_module(module_of(task))


def checks_of(task: str) -> str:
    """The name of the module that knows what must hold of this kind of row."""
    return f"modelgate.rows.{_CHECKS[KINDS[task]]}"


def load_checks(task: str) -> ModuleType:
    """The module that knows what must hold of this kind of row."""
    return import_module(checks_of(task))
