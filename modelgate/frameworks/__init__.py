"""
Define the model formats, one module per framework: train a model reproducibly, save it, load it, and get answers.

A format module has `MODEL_FILE`, `start(seed, threads)`, `fit(...)`, `save(model, path)`, `load(path, trusted)`,
`predict(model, rows)`, `describe_versions()` and its keys, `ABOUT`. It is imported by its framework's name, so that a
step's fingerprint contains only the format that the use case uses.
"""

from __future__ import annotations

import gc
from collections.abc import Container, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

# By the framework's name in config.toml: the name of the model's file in a version.
MODEL_FILES = {"keras": "model.keras", "sklearn": "model.skops"}


def get_module(framework: str) -> str:
    """Return the name of the framework's format module."""
    return f"modelgate.frameworks.{framework}_format"


def load_format(framework: str) -> ModuleType:
    """Return the framework's format module. Its `start` imports the framework itself."""
    return import_module(get_module(framework))


def find_model_file(files: Container[str], framework: str = "keras") -> str:
    """
    Return the name of the model's file among the files of a version: the framework's own name if the version has it,
    because that file was judged.
    """
    names = (MODEL_FILES[framework], *MODEL_FILES.values())
    return next((name for name in names if name in files), names[0])


@contextmanager
def hold_collection() -> Iterator[None]:
    """
    Hold the garbage collector back during an import: almost everything that it makes is kept, and looking through that
    again and again takes a tenth of the processor time of an import of TensorFlow.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
