"""
Check single values of a `config.toml`. Each check returns the value, or raises WrongValue with what is allowed.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
# GitHub accepts more; these cannot be mistaken for anything else.
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Variables that a step has for other reasons. data.py may not get them as if they were its settings.
_OTHERS_VARIABLES = ("WANDB_", "GITHUB_", "ACTIONS_", "RUNNER_", "MODELGATE_", "LD_", "PYTHON")


class WrongValue(ValueError):
    """A wrong value. The message completes the sentence "file: key ..."."""


def check_text(pattern: re.Pattern[str], allowed: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise WrongValue(f"must be {allowed}")
        return value

    return check


def check_choice(choices: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise WrongValue(f"must be {' or '.join(map(format_value, choices))}{suggest(value, choices)}")
        return value

    return check


def check_boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongValue("must be true or false")
    return value


def check_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WrongValue("must be a whole number of at least 1")
    return value


def check_number(low: float, high: float, *, ends: bool = True) -> Callable[[object], float]:
    between = "from {} to {}" if ends else "above {} and below {}"

    def check(value: object) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (low <= value <= high if ends else low < value < high):  # type: ignore[operator]
            raise WrongValue(f"must be a number {between.format(f'{low:g}', f'{high:g}')}")
        return float(value)  # type: ignore[arg-type]

    return check


def check_finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongValue("must be a finite number")
    return float(value)


def check_amount(value: object) -> float:
    if (number := check_finite(value)) < 0:
        raise WrongValue("must be a number of at least 0")
    return number


def check_variables(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and _VARIABLE.fullmatch(name) for name in value):
        raise WrongValue('must be a list of names of variables, such as ["ROWS_CSV"]')
    for name in value:
        if name.startswith(_OTHERS_VARIABLES):
            raise WrongValue(f"must not name {name}: it belongs to another program")
    return tuple(value)


def check_labels(value: object) -> tuple[str, ...]:
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not labels:
        raise WrongValue('must be a label of a runner, or a list of labels, such as ["self-hosted", "gpu"]')
    for label in labels:
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise WrongValue("must have labels of letters, digits, '.', '_' and '-'")
    return tuple(labels)


def suggest(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def format_value(value: object) -> str:
    """Format a value as you would write it in TOML, with a bounded length."""
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    text = text.replace("'", '"')
    return text if len(text) <= 60 else text[:59] + "…"
