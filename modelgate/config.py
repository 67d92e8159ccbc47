"""
Read the `config.toml` of a use case: which use cases there are, the default one, and every value checked when it is
read.

A key that is unknown, missing, mistyped or out of range is refused with its file, its name and what is allowed, before
anything runs and before a person is asked. Needs only Python, because the runner and the workflows also read it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelgate import hyperparameters
from modelgate.config_checks import (
    WrongValue,
    check_amount,
    check_boolean,
    check_choice,
    check_count,
    check_finite,
    check_labels,
    check_number,
    check_text,
    check_variables,
    format_value,
    suggest,
)
from modelgate.errors import WRONG_USE, StepError
from modelgate.hyperparameters import Hyperparameter

FOLDER = Path(__file__).resolve().parents[1] / "usecases"
TASKS = ("image-classification", "tabular-classification", "tabular-regression", "text-classification")
FRAMEWORKS = ("keras", "sklearn")
_TASKS_OF = {
    "keras": ("image-classification",),
    "sklearn": ("tabular-classification", "tabular-regression", "text-classification"),
}
# The metrics of the gate, by the end of a task's name; the first one is the default. `modelgate.gate.metrics` defines
# them.
METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"),
    "regression": ("within_tolerance", "mean_absolute_error", "mean_squared_error", "pinball"),
}
# The metrics for which less is better. They have their own unit; the others are between 0 and 1.
ERRORS = ("log_loss", "mean_absolute_error", "mean_squared_error", "pinball")
# Not `rollback`: it does not block on the comparison with production, so a person asks for it, with a reason.
POLICIES = ("no_worse", "better", "non_inferior")
# Keys that were renamed, by table: their new names.
_RENAMED = {"gate": {"floor_accuracy": "at_least"}}
# A use case is a Python package, and its name is part of artifact names, image tags and W&B aliases.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_METRIC = re.compile(r"[a-z][a-z0-9_]{0,39}")
# GitHub accepts more; these cannot be mistaken for anything else.
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# W&B refuses other names, or does not read them as names.
_WANDB_NAME = re.compile(r"[^/:\\#?%\x00-\x1f]{1,128}")


# --- the tables ------------------------------------------------------------------------------------------------------


def _define_key(check: Callable[[object], Any], default: Any = MISSING) -> Any:
    """Define a field of a table: how to check its value, and the default if the key is optional."""
    return field(metadata={"check": check}) if default is MISSING else field(default=default, metadata={"check": check})


@dataclass(frozen=True, kw_only=True)
class Data:
    """
    `[data]`. env: the variables that `data.py` may read. fallback: the use case that replaces this one, or nothing.
    rows_may_repeat: whether an eval row may equal a training row, which is natural for rows with few columns.
    """

    env: tuple[str, ...] = _define_key(check_variables, ())
    fallback: str = _define_key(check_text(re.compile(rf"|{_NAME.pattern}"), "the name of a use case, or empty"), "")
    rows_may_repeat: bool = _define_key(check_boolean, False)


@dataclass(frozen=True, kw_only=True)
class Build:
    """`[build]`: how many rows the dataset has."""

    rows: int = _define_key(check_count)
    eval_rows: int = _define_key(check_count)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """
    `[gate]`. metric: if empty, the task's default. In the metric's own unit: at_least or at_most, the limit for its
    bound; margin, the drop below production that still counts as "no worse", or margin_relative, the same as a fraction
    of production's value; tolerance, how far off an answer of a regression may be to count as right. quantile: for
    `pinball`.
    """

    policy: str = _define_key(check_choice(POLICIES))
    metric: str = _define_key(check_text(_METRIC, "the name of a metric"), "")
    at_least: float | None = _define_key(check_finite, None)
    at_most: float | None = _define_key(check_finite, None)
    margin: float | None = _define_key(check_amount, None)
    margin_relative: float | None = _define_key(check_number(0, 1), None)
    tolerance: float | None = _define_key(check_amount, None)
    quantile: float | None = _define_key(check_number(0, 1, ends=False), None)
    self_approval: bool = _define_key(check_boolean, False)
    max_evidence_age_hours: float = _define_key(check_number(0, 24 * 366, ends=False), 720.0)

    @property
    def limits(self) -> dict[str, Any]:
        """Return the fields of a `modelgate.gate.policy.Policy` other than its name."""
        names = ("metric", "at_least", "at_most", "margin", "margin_relative", "tolerance", "quantile")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Approval:
    """`[approval]`. environment: the GitHub environment whose reviewers approve this model, and which has its second
    key.
    """

    environment: str = _define_key(check_text(_ENVIRONMENT, "a name of letters, digits, '_' and '-'"), "production")


@dataclass(frozen=True, kw_only=True)
class RunsOn:
    """`[runs_on]`: the labels of the GitHub runner for a step's job."""

    train: tuple[str, ...] = _define_key(check_labels, ("ubuntu-24.04",))
    evaluate: tuple[str, ...] = _define_key(check_labels, ("ubuntu-24.04",))


@dataclass(frozen=True, kw_only=True)
class Config:
    """A use case's `config.toml`. train: the hyperparameters; each one is a flag of train and a keyword of
    `build_model`.
    """

    name: str
    project: str = _define_key(check_text(_WANDB_NAME, "a valid W&B project name"))
    collection: str = _define_key(check_text(_WANDB_NAME, "a valid W&B name for a registered model"))
    build: Build = field(metadata={"table": Build})
    gate: Gate = field(metadata={"table": Gate})
    train: Mapping[str, Hyperparameter] = field(metadata={"table": None})
    data: Data = field(default=Data(), metadata={"table": Data})
    approval: Approval = field(default=Approval(), metadata={"table": Approval})
    runs_on: RunsOn = field(default=RunsOn(), metadata={"table": RunsOn})
    registry: str = _define_key(check_text(_WANDB_NAME, "a valid W&B registry name"), "wandb-registry-model")
    task: str = _define_key(check_choice(TASKS), TASKS[0])
    framework: str = _define_key(check_choice(FRAMEWORKS), FRAMEWORKS[0])
    default: bool = _define_key(check_boolean, False)


# --- the use cases ---------------------------------------------------------------------------------------------------


def list_names() -> list[str]:
    """Return the names of all use cases, sorted: the folders with a `config.toml`."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.toml"))


def list_frameworks(task: str) -> list[str]:
    """Return the frameworks that support this task."""
    return [framework for framework in FRAMEWORKS if task in _TASKS_OF[framework]]


def find_default() -> str | None:
    """Return the only use case, or the one whose config says `default = true`; None if this is ambiguous."""
    known = list_names()
    if len(known) == 1:
        return known[0]
    chosen = [name for name in known if _parse(name).get("default") is True]
    if len(chosen) > 1:
        raise StepError(
            "two_defaults",
            f"{' and '.join(chosen)} both have default = true in their config.toml",
            "keep it in only one of them",
            WRONG_USE,
        )
    return chosen[0] if chosen else None


def require_default() -> str:
    """Return the default use case; raise StepError `no_use_case` if this is ambiguous."""
    if (name := find_default()) is None:
        raise StepError(
            "no_use_case",
            f"there are several use cases: {_format_names()}" if list_names() else "there is no use case in usecases/",
            "name one, or write default = true into its config.toml",
            WRONG_USE,
        )
    return name


def load(name: str) -> Config:
    """Return the use case's config with every value checked; otherwise raise StepError `config_invalid` or
    `no_such_use_case`.
    """
    require(name)
    loaded: Config = _read_table(_format_path(name), "", Config, _parse(name), {"name": name})
    if loaded.framework not in (able := list_frameworks(loaded.task)):
        raise _refuse_invalid(
            _format_path(name), "framework", f"is {loaded.framework}, but {loaded.task} needs {' or '.join(able)}"
        )
    for key in hyperparameters.REQUIRED[loaded.framework]:
        if key not in loaded.train:
            raise _refuse_invalid(
                _format_path(name), f"train.{key}", "is missing", f"{loaded.framework} needs it: add it below [train]"
            )
    loaded = replace(loaded, gate=_build_gate(name, loaded.task, loaded.gate))
    if loaded.data.fallback == name:
        raise _refuse_invalid(_format_path(name), "data.fallback", "must be a different use case")
    if loaded.data.fallback and loaded.data.fallback not in list_names() != [name]:  # an image has only one use case
        raise _refuse_invalid(_format_path(name), "data.fallback", f"must be a use case: {_format_names()}")
    return loaded


def _build_gate(name: str, task: str, gate: Gate) -> Gate:
    """Return the gate's table with the task's default metric, after checking that its keys fit the task and each
    other.
    """
    kind = task.rpartition("-")[2]
    known = METRICS[kind]
    gate = replace(gate, metric=gate.metric or known[0])
    if gate.metric not in known and gate.metric not in _list_functions(name):
        raise _refuse_invalid(
            _format_path(name),
            "gate.metric",
            f"is {format_value(gate.metric)} but must be {' or '.join(map(format_value, known))}, "
            f"or a function of behaviour.py{suggest(gate.metric, known)}",
        )
    for path, problem in _find_contradictions(kind, gate, own=gate.metric not in known):
        raise _refuse_invalid(_format_path(name), f"gate.{path}", problem)
    return gate


def _find_contradictions(kind: str, gate: Gate, own: bool) -> Iterable[tuple[str, str]]:
    """Yield what does not fit: the key, and what is wrong with it."""
    less, more = ("at_most", "at_least") if gate.metric in ERRORS else ("at_least", "at_most")
    fraction = not own and gate.metric not in ERRORS
    if own and (gate.at_least is None) == (gate.at_most is None):
        yield (
            "at_least",
            f"or at_most is needed for {gate.metric}, but not both: it says whether more or less is better",
        )
    if not own and getattr(gate, less) is None:
        yield less, "is missing: add it below [gate]"
    if not own and getattr(gate, more) is not None:
        yield more, f"does not fit {gate.metric}, for which {'less' if less == 'at_most' else 'more'} is better"
    if (gate.margin is None) == (gate.margin_relative is None):
        yield "margin", "is missing" if gate.margin is None else "and margin_relative are both set: keep only one"
    if gate.policy == "non_inferior" and not (gate.margin or gate.margin_relative):
        yield (
            "margin",
            "is 0 but must be above 0 for non_inferior: no number of rows can show that there is no drop at all",
        )
    for key in ("at_least", "margin"):
        value = getattr(gate, key)
        if fraction and value is not None and not 0 <= value <= 1:
            yield key, f"is {value:g} but must be a number from 0 to 1"
    if (kind == "regression") != bool(gate.tolerance):
        wanted = "must be above 0: how far off an answer may be to count as right, in the target's unit"
        yield "tolerance", wanted if kind == "regression" else "is for a regression, but this is a classification"
    if (gate.metric == "pinball") != (gate.quantile is not None):
        yield "quantile", "is missing: pinball needs it" if gate.quantile is None else "is only for the metric pinball"


def _list_functions(name: str) -> list[str]:
    """Return the functions of a use case's behaviour.py, without running it."""
    path = FOLDER / name / "behaviour.py"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    except (SyntaxError, ValueError) as error:
        file = f"usecases/{name}/behaviour.py"
        raise StepError("config_invalid", f"{file}: not valid Python: {error}", "fix the line", WRONG_USE) from error
    return [top.name for top in tree.body if isinstance(top, ast.FunctionDef)]


def require(name: str) -> None:
    """Refuse a name that is not the name of a use case, or cannot be one."""
    if name not in list_names():
        raise StepError(
            "no_such_use_case",
            f"there is no use case {name!r}{suggest(name, list_names())}",
            f"there are: {_format_names()}" if list_names() else "create one: docs/how-to/adapting.md",
            WRONG_USE,
        )
    require_name(name)


def require_name(name: str) -> None:
    """Refuse a name that no use case can have."""
    if not _NAME.fullmatch(name):
        raise StepError(
            "use_case_name",
            f"the folder usecases/{name} cannot be a use case: its name is part of a Python import and of W&B's names",
            "rename it: lower-case letters, digits and _, beginning with a letter",
            WRONG_USE,
        )


def _format_names() -> str:
    return ", ".join(list_names())


def _format_path(name: str) -> str:
    return f"usecases/{name}/config.toml"


def _parse(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((FOLDER / name / "config.toml").read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StepError(
            "config_invalid", f"{_format_path(name)} is not valid TOML: {error}", "fix the line", WRONG_USE
        ) from error
    except OSError as error:
        message = f"{_format_path(name)} cannot be read: {error.strerror}"
        raise StepError("config_invalid", message, "make it readable", WRONG_USE) from error


def _read_table(file: str, table: str, kind: type, content: dict[str, Any], known: Mapping[str, Any]) -> Any:
    """Return one table as its dataclass. known: fields that are not in the file."""
    keys = {definition.name: definition for definition in fields(kind) if definition.name not in known}
    for key in content:
        if key not in keys:
            raise _refuse_unknown(file, table, key, keys)
    values = dict(known)
    for key, definition in keys.items():
        path = f"{table}.{key}" if table else key
        if key in content:
            values[key] = _read_value(file, path, definition.metadata, content[key])
        elif definition.default is MISSING:
            raise _refuse_invalid(file, path, "is missing", f"add it below [{table}]" if table else "add it")
    return kind(**values)


def _read_value(file: str, path: str, metadata: Mapping[str, Any], content: object) -> Any:
    if "table" not in metadata:
        return _check_value(file, path, metadata["check"], content)
    if not isinstance(content, dict):
        raise _refuse_invalid(file, path, f"must be a table: write [{path}] on a separate line")
    kind = metadata["table"]
    return _read_hyperparameters(file, content) if kind is None else _read_table(file, path, kind, content, {})


def _check_value(file: str, path: str, check: Callable[[object], Any], value: object) -> Any:
    try:
        return check(value)
    except WrongValue as error:
        raise _refuse_invalid(file, path, f"is {format_value(value)} but {error}") from error


def _read_hyperparameters(file: str, content: dict[str, Any]) -> dict[str, Hyperparameter]:
    for key, value in content.items():
        path = f"train.{key}"
        try:
            hyperparameters.check_name(key)
        except WrongValue as error:
            raise _refuse_invalid(file, path, str(error)) from error
        _check_value(file, path, partial(hyperparameters.check_value, key), value)
    return content


# --- errors ---------------------------------------------------------------------------------------------------


def _refuse_unknown(file: str, table: str, key: str, known: Iterable[str]) -> StepError:
    path = f"{table}.{key}" if table else key
    if renamed := _RENAMED.get(table, {}).get(key):
        return _refuse_invalid(file, path, f"is now called {renamed}", f"rename it to {renamed}")
    allowed = f"allowed {f'in [{table}]' if table else 'at the top'}: {', '.join(known)}"
    return _refuse_invalid(file, path, f"is not a key{suggest(key, known)}", allowed)


def _refuse_invalid(file: str, path: str, problem: str, hint: str = "") -> StepError:
    return StepError(
        "config_invalid", f"{file}: {path} {problem}", hint or "docs/how-to/adapting.md describes every key", WRONG_USE
    )
