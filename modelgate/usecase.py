"""
Import the parts of a use case by name, and check what each must offer.

A step asks for the part that it needs (`load_part(name, "data")`), so that build does not import a framework, and a
change to `model.py` does not rebuild the dataset. docs/how-to/adapting.md says what each part is for.
"""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

from modelgate import config, frameworks, rows
from modelgate.errors import WRONG_USE, StepError

_DATA = {
    "image-classification": ("CLASSES", "SHAPE", "source", "load", "picture"),
    "tabular-classification": ("CLASSES", "SCHEMA", "source", "load"),
    "tabular-regression": ("SCHEMA", "source", "load"),
    "text-classification": ("CLASSES", "source", "load"),
}
_MODEL = {"keras": ("build_model",), "sklearn": ("build_model", "TRUSTED")}


def list_required(name: str, module: str) -> tuple[str, ...]:
    """Return what this part must have, given the task and the framework of the use case."""
    settings = config.load(name)
    kinds = {"data": _DATA[settings.task], "model": _MODEL[settings.framework], "behaviour": ("variations", "slices")}
    return kinds[module]


def load_part(name: str, module: str) -> ModuleType:
    """Return one part of a use case: `data`, `model`, `behaviour`. Raise StepError `part_missing` if it lacks what it
    must offer.
    """
    if not has_part(name, module):
        raise StepError(
            "part_missing", f"{_get_file(name, module)} is missing", "see docs/how-to/adapting.md", WRONG_USE
        )
    imported = import_module(f"usecases.{name}.{module}")
    instead = ("build_model",) if module == "model" and hasattr(imported, "fit") else ()
    if lacking := [
        offer for offer in list_required(name, module) if not hasattr(imported, offer) and offer not in instead
    ]:
        raise StepError(
            "part_missing",
            f"{_get_file(name, module)} has no {', '.join(lacking)}",
            "see docs/how-to/adapting.md",
            WRONG_USE,
        )
    return imported


def load_optional_part(name: str, module: str) -> ModuleType | None:
    """Return an optional part: `behaviour`."""
    return load_part(name, module) if has_part(name, module) else None


def has_part(name: str, module: str) -> bool:
    """Return whether the use case has this part."""
    return (config.FOLDER / name / f"{module}.py").is_file()


def list_modules(settings: config.Config) -> list[str]:
    """Return the project's modules that its task and its framework bring into train and evaluate, for their
    fingerprints.
    """
    return [rows.get_module(settings.task), frameworks.get_module(settings.framework)]


def read_trusted(name: str) -> tuple[str, ...]:
    """
    Return the types that a model's file may contain in addition to those of its format: TRUSTED of model.py.

    model.py is read but not run: the code that judges a model must not run code that the model's pull request may
    change.
    """
    if "TRUSTED" not in _MODEL[config.load(name).framework] or not has_part(name, "model"):
        return ()
    tree = ast.parse((config.FOLDER / name / "model.py").read_text(encoding="utf-8"))
    values = _find_assigned(tree, "TRUSTED")
    try:
        types = ast.literal_eval(values[-1]) if values else None
    except ValueError:
        types = None
    if not isinstance(types, list | tuple) or not all(isinstance(item, str) for item in types):
        message = f"{_get_file(name, 'model')}: TRUSTED is not a literal list of strings"
        raise StepError("part_missing", message, 'list types, as in TRUSTED = ["numpy.dtype"]', WRONG_USE)
    return tuple(types)


def _find_assigned(tree: ast.Module, name: str) -> list[ast.expr]:
    """Return what a module assigns to a name at its top level."""
    values = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if value is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            values.append(value)
    return values


def locate_error(module: ModuleType, error: BaseException) -> str:
    """Return the file of a part, and its line in an exception's traceback: `usecases/letters/data.py, line 4`."""
    _, name, part_name = module.__name__.split(".")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == module.__file__]
    return f"{_get_file(name, part_name)}, line {lines[-1]}" if lines else _get_file(name, part_name)


def require_keywords(name: str, model: ModuleType, keywords: Iterable[str]) -> None:
    """Refuse a `fit` or `build_model` that does not accept each hyperparameter of `[train]` as a keyword."""
    function: Callable[..., Any] = getattr(model, "fit", None) or model.build_model
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    if lacking := sorted(set(keywords) - {parameter.name for parameter in parameters}):
        raise StepError(
            "hyperparameter_not_taken",
            f"{_get_file(name, 'model')}: {function.__name__} does not accept {', '.join(lacking)}, which [train] has",
            f"add it, or **hyperparameters, to {function.__name__}",
            WRONG_USE,
        )


def _get_file(name: str, module: str) -> str:
    return f"usecases/{name}/{module}.py"
