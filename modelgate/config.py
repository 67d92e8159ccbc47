"""
Read the `config.toml` of a use case: which use cases there are, the default one, and every value checked when it is
read.

A key that is unknown, missing, mistyped or out of range is refused with its file, its name and what is allowed, before
anything runs and before a person is asked. Needs only Python, because the runner and the workflows also read it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from modelgate.errors import WRONG_USE, StepError

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
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
# GitHub accepts more in both; these cannot be mistaken for anything else.
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HYPERPARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
# W&B refuses other names, or does not read them as names.
_WANDB_NAME = re.compile(r"[^/:\\#?%\x00-\x1f]{1,128}")
# Flags of the steps and of the runner. A hyperparameter with such a name would be the same flag.
_FLAGS = (
    *("approver", "collection", "commit", "dataset", "docker", "eval_rows", "help", "images", "model", "no_cache"),
    *("out", "policy", "reason", "registry", "rows", "threads", "use_case", "version", "wandb", "yes"),
)
# Variables that a step has for other reasons. data.py may not get them as if they were its settings.
_OTHERS_VARIABLES = ("WANDB_", "GITHUB_", "ACTIONS_", "RUNNER_", "MODELGATE_", "LD_", "PYTHON")

Hyperparameter = bool | int | float | str
_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class _Wrong(ValueError):
    """A wrong value. The message completes the sentence "file: key ..."."""


# --- single values -------------------------------------------------------------------------------------------


def _check_text(pattern: re.Pattern[str], allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _Wrong(f"must be {allowed}")
        return value

    return check


def _check_choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _Wrong(f"must be {' or '.join(map(_format_value, choices))}{_suggest(value, choices)}")
        return value

    return check


def _check_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _check_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _Wrong("must be a whole number of at least 1")
    return value


def _check_number(low: float, high: float, *, ends: bool = True) -> Callable[[object], float]:
    between = "from {} to {}" if ends else "above {} and below {}"

    def check(value: object) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (low <= value <= high if ends else low < value < high):  # type: ignore[operator]
            raise _Wrong(f"must be a number {between.format(f'{low:g}', f'{high:g}')}")
        return float(value)  # type: ignore[arg-type]

    return check


def _check_finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _Wrong("must be a finite number")
    return float(value)


def _check_amount(value: object) -> float:
    if (number := _check_finite(value)) < 0:
        raise _Wrong("must be a number of at least 0")
    return number


def _check_variables(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in value):
        raise _Wrong('must be a list of names of variables, such as ["ROWS_CSV"]')
    for name in value:
        if name.startswith(_OTHERS_VARIABLES):
            raise _Wrong(f"must not name {name}: it belongs to another program")
    return tuple(value)


def _check_labels(value: object) -> tuple[str, ...]:
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not labels:
        raise _Wrong('must be a label of a runner, or a list of labels, such as ["self-hosted", "gpu"]')
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise _Wrong("must have labels of letters, digits, '.', '_' and '-'")
    return tuple(labels)


def _check_seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise _Wrong(f"must be a whole number from 0 to {2**32 - 1}")
    return value


# Hyperparameters whose meaning is the same in every framework.
_KNOWN_HYPERPARAMETERS: Mapping[str, Callable[[object], Hyperparameter]] = {
    "batch_size": _check_count,
    "epochs": _check_count,
    "validation_split": _check_number(0, 1, ends=False),
    "seed": _check_seed,
}


# What every training with a framework needs. The use case chooses the rest of [train].
_REQUIRED_HYPERPARAMETERS = {
    "keras": ("batch_size", "epochs", "optimizer", "seed", "validation_split"),
    "sklearn": ("seed",),
}


def check_hyperparameter(name: str, value: object) -> Hyperparameter:
    """Return the value if a hyperparameter of this name may have it; otherwise raise ValueError with what is
    allowed.
    """
    if check := _KNOWN_HYPERPARAMETERS.get(name):
        return check(value)
    if not isinstance(value, bool | int | float | str):
        raise _Wrong("must be true, false, a number or a string")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Wrong("must be a finite number")
    if isinstance(value, str) and not value.isprintable():
        raise _Wrong("must be printable text")
    return value


def add_hyperparameters(parser: argparse._ActionsContainer, hyperparameters: Mapping[str, Hyperparameter]) -> None:
    """Return a flag for each: `--learning-rate` for `learning_rate`, with the type that the value has in the config."""
    for name, value in hyperparameters.items():
        flag, text = f"--{name.replace('_', '-')}", f"{_KINDS[type(value)]} (default: {value})".replace("%", "%%")
        parser.add_argument(flag, dest=name, type=_create_reader(name, value), metavar="VALUE", help=text)


def _create_reader(name: str, default: Hyperparameter) -> Callable[[str], Hyperparameter]:
    kind = type(default)

    def read(text: str) -> Hyperparameter:
        try:
            value = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(f"{text!r} must be {_KINDS[kind]}") from None
        try:
            return check_hyperparameter(name, value)
        except _Wrong as error:
            raise argparse.ArgumentTypeError(f"{text!r} {error}") from None

    return read


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

    env: tuple[str, ...] = _define_key(_check_variables, ())
    fallback: str = _define_key(_check_text(re.compile(rf"|{_NAME.pattern}"), "the name of a use case, or empty"), "")
    rows_may_repeat: bool = _define_key(_check_boolean, False)


@dataclass(frozen=True, kw_only=True)
class Build:
    """`[build]`: how many rows the dataset has."""

    rows: int = _define_key(_check_count)
    eval_rows: int = _define_key(_check_count)


@dataclass(frozen=True, kw_only=True)
class Gate:
    """
    `[gate]`. metric: if empty, the task's default. In the metric's own unit: at_least or at_most, the limit for its
    bound; margin, the drop below production that still counts as "no worse", or margin_relative, the same as a fraction
    of production's value; tolerance, how far off an answer of a regression may be to count as right. quantile: for
    `pinball`.
    """

    policy: str = _define_key(_check_choice(POLICIES))
    metric: str = _define_key(_check_text(_METRIC, "the name of a metric"), "")
    at_least: float | None = _define_key(_check_finite, None)
    at_most: float | None = _define_key(_check_finite, None)
    margin: float | None = _define_key(_check_amount, None)
    margin_relative: float | None = _define_key(_check_number(0, 1), None)
    tolerance: float | None = _define_key(_check_amount, None)
    quantile: float | None = _define_key(_check_number(0, 1, ends=False), None)
    self_approval: bool = _define_key(_check_boolean, False)
    max_evidence_age_hours: float = _define_key(_check_number(0, 24 * 366, ends=False), 720.0)

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

    environment: str = _define_key(_check_text(_ENVIRONMENT, "a name of letters, digits, '_' and '-'"), "production")


@dataclass(frozen=True, kw_only=True)
class RunsOn:
    """`[runs_on]`: the labels of the GitHub runner for a step's job."""

    train: tuple[str, ...] = _define_key(_check_labels, ("ubuntu-24.04",))
    evaluate: tuple[str, ...] = _define_key(_check_labels, ("ubuntu-24.04",))


@dataclass(frozen=True, kw_only=True)
class Config:
    """A use case's `config.toml`. train: the hyperparameters; each one is a flag of train and a keyword of
    `build_model`.
    """

    name: str
    project: str = _define_key(_check_text(_WANDB_NAME, "a valid W&B project name"))
    collection: str = _define_key(_check_text(_WANDB_NAME, "a valid W&B name for a registered model"))
    build: Build = field(metadata={"table": Build})
    gate: Gate = field(metadata={"table": Gate})
    train: Mapping[str, Hyperparameter] = field(metadata={"table": None})
    data: Data = field(default=Data(), metadata={"table": Data})
    approval: Approval = field(default=Approval(), metadata={"table": Approval})
    runs_on: RunsOn = field(default=RunsOn(), metadata={"table": RunsOn})
    registry: str = _define_key(_check_text(_WANDB_NAME, "a valid W&B registry name"), "wandb-registry-model")
    task: str = _define_key(_check_choice(TASKS), TASKS[0])
    framework: str = _define_key(_check_choice(FRAMEWORKS), FRAMEWORKS[0])
    default: bool = _define_key(_check_boolean, False)


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
    for key in _REQUIRED_HYPERPARAMETERS[loaded.framework]:
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
            f"is {_format_value(gate.metric)} but must be {' or '.join(map(_format_value, known))}, "
            f"or a function of behaviour.py{_suggest(gate.metric, known)}",
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
            f"there is no use case {name!r}{_suggest(name, list_names())}",
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


def _read_table(file: str, table: str, kind: type, content: object, known: Mapping[str, Any]) -> Any:
    """Return one table as its dataclass. known: fields that are not in the file."""
    if not isinstance(content, dict):
        raise _refuse_invalid(file, table, f"must be a table: write [{table}] on a separate line")
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
    if "table" in metadata:
        kind = metadata["table"]
        return _read_hyperparameters(file, content) if kind is None else _read_table(file, path, kind, content, {})
    try:
        return metadata["check"](content)
    except _Wrong as error:
        raise _refuse_invalid(file, path, f"is {_format_value(content)} but {error}") from error


def _read_hyperparameters(file: str, content: object) -> dict[str, Hyperparameter]:
    if not isinstance(content, dict):
        raise _refuse_invalid(file, "train", "must be a table: write [train] on a separate line")
    for key, value in content.items():
        if not _HYPERPARAMETER.fullmatch(key) or key in _FLAGS:
            reserved = ", ".join(_FLAGS)
            raise _refuse_invalid(
                file, f"train.{key}", f"must be a name for a flag: letters, digits and _, and none of {reserved}"
            )
        try:
            check_hyperparameter(key, value)
        except _Wrong as error:
            raise _refuse_invalid(file, f"train.{key}", f"is {_format_value(value)} but {error}") from error
    return dict(content)


# --- errors ---------------------------------------------------------------------------------------------------


def _refuse_unknown(file: str, table: str, key: str, known: Iterable[str]) -> StepError:
    path = f"{table}.{key}" if table else key
    if renamed := _RENAMED.get(table, {}).get(key):
        return _refuse_invalid(file, path, f"is now called {renamed}", f"rename it to {renamed}")
    allowed = f"allowed {f'in [{table}]' if table else 'at the top'}: {', '.join(known)}"
    return _refuse_invalid(file, path, f"is not a key{_suggest(key, known)}", allowed)


def _refuse_invalid(file: str, path: str, problem: str, hint: str = "") -> StepError:
    return StepError(
        "config_invalid", f"{file}: {path} {problem}", hint or "docs/how-to/adapting.md describes every key", WRONG_USE
    )


def _suggest(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _format_value(value: object) -> str:
    """Format a value as you would write it in TOML, with a bounded length."""
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    text = text.replace("'", '"')
    return text if len(text) <= 60 else text[:59] + "…"
