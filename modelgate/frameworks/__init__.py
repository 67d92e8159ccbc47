"""
Model formats, one module each: how a model is trained so that it can be made again, saved, loaded, and asked.

A format module has `MODEL_FILE`, `start(seed, threads)`, `fit(...)`, `save(model, path)`, `load(path, trusted)`,
`predict(model, rows)`, `about()` and its keys, `ABOUT`. It is imported by its framework's name, so that a step's
fingerprint holds the format that the use case uses and no other.
"""

from __future__ import annotations

from collections.abc import Container
from importlib import import_module
from types import ModuleType

# By the framework's name in config.toml: the name of the model's file in a version.
MODEL_FILES = {"keras": "model.keras", "sklearn": "model.skops"}


def module_of(framework: str) -> str:
    """The name of the module that knows the framework's format."""
    return f"modelgate.frameworks.{framework}_format"


def load_format(framework: str) -> ModuleType:
    """The module that knows the framework's format. The framework itself is imported by its `start`."""
    return import_module(module_of(framework))


def model_file(held: Container[str], framework: str = "keras") -> str:
    """
    The name of the model's file among the files that a version holds: that of the framework if it holds it, which is
    the file that was judged.
    """
    names = (MODEL_FILES[framework], *MODEL_FILES.values())
    return next((name for name in names if name in held), names[0])
