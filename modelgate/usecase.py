"""
Which use cases there are, and their parts.

A step asks for the part it needs by name (`part("mnist", "data")`), so that build does not import TensorFlow
and a change to `model.py` does not rebuild the dataset. docs/adapting.md says what each part must offer.
"""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "usecases"


def names() -> list[str]:
    """The use cases there are, sorted: the folders that hold a `config.toml`."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.toml"))


def config(name: str) -> dict[str, Any]:
    """The use case's `config.toml`: W&B names, the gate's policy, and the defaults of the steps' flags."""
    return tomllib.loads((FOLDER / name / "config.toml").read_text(encoding="utf-8"))


def part(name: str, module: str) -> ModuleType:
    """Import one part of a use case, `data` or `model`."""
    return import_module(f"usecases.{name}.{module}")
