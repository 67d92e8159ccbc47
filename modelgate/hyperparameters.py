"""
Check hyperparameters, which are the table `[train]` of a `config.toml`, and add a flag for each.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping

from modelgate.config_checks import WrongValue, check_count, check_finite, check_number

Hyperparameter = bool | int | float | str
_KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
# Flags of the steps and of the runner. A hyperparameter with such a name would be the same flag.
_FLAGS = (
    *("approver", "collection", "commit", "dataset", "docker", "eval_rows", "help", "images", "model", "no_cache"),
    *("out", "policy", "reason", "registry", "rows", "threads", "use_case", "version", "wandb", "yes"),
)
# What every training with a framework needs. The use case chooses the rest of [train].
REQUIRED = {
    "keras": ("batch_size", "epochs", "optimizer", "seed", "validation_split"),
    "sklearn": ("seed",),
}


def _check_seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise WrongValue(f"must be a whole number from 0 to {2**32 - 1}")
    return value


# Hyperparameters whose meaning is the same in every framework.
_KNOWN: Mapping[str, Callable[[object], Hyperparameter]] = {
    "batch_size": check_count,
    "epochs": check_count,
    "validation_split": check_number(0, 1, ends=False),
    "seed": _check_seed,
}


def check_name(name: str) -> None:
    """Raise WrongValue if no hyperparameter can have this name."""
    if not _NAME.fullmatch(name) or name in _FLAGS:
        raise WrongValue(f"must be a name for a flag: letters, digits and _, and none of {', '.join(_FLAGS)}")


def check_value(name: str, value: object) -> Hyperparameter:
    """Return the value if a hyperparameter of this name may have it; otherwise raise WrongValue."""
    if check := _KNOWN.get(name):
        return check(value)
    if not isinstance(value, bool | int | float | str):
        raise WrongValue("must be true, false, a number or a string")
    if isinstance(value, float):
        return check_finite(value)
    if isinstance(value, str) and not value.isprintable():
        raise WrongValue("must be printable text")
    return value


def add_flags(parser: argparse._ActionsContainer, hyperparameters: Mapping[str, Hyperparameter]) -> None:
    """Add a flag for each: `--learning-rate` for `learning_rate`, with the type that the value has in the config."""
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
            return check_value(name, value)
        except WrongValue as error:
            raise argparse.ArgumentTypeError(f"{text!r} {error}") from None

    return read
