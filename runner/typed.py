"""The lines that a person types with make: `make run USE_CASE=letters ARGS="--epochs 3"`."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from runner.errors import WrongUse

VARIABLES = ("APPROVE", "RUNNER", "WANDB")  # what a person sets next to USE_CASE and ARGS
NAME = "NAME"


def approve(use_case: str, name: str = NAME) -> str:
    """How to approve what waits of a use case."""
    return f"make approve USE_CASE={use_case} APPROVE={_quote(name)}"


def format_evaluation(pending: Mapping[str, Any]) -> str:
    """How to evaluate again what waits, or did: the run that made it, with its flags, makes the same version."""
    return str(pending.get("again") or f"make run USE_CASE={pending['use_case']}")  # an older release kept no line


def format_again(argv: Sequence[str], environ: Mapping[str, str], use_case: str | None) -> str:
    """The command that was typed, with its flags, for this use case; None: as it was typed."""
    command, *flags = argv
    if not use_case and _drop_use_case(flags) == flags:
        use_case = environ.get("USE_CASE")
    parts = [f"make {command}"] + ([f"USE_CASE={use_case}"] if use_case else [])
    parts += [f"{name}={_quote(environ[name])}" for name in VARIABLES if environ.get(name)]
    others = _drop_use_case(flags) if use_case else flags
    return " ".join([*parts, f"ARGS={_quote(shlex.join(others), always=True)}"] if others else parts)


def refuse_misspelt(environ: Mapping[str, str]) -> None:
    """Raise WrongUse if a variable that was typed after `make` is almost one of ours: make would ignore it."""
    for name in re.findall(r"(?<!\\)(?:^|\s)(\w+)=", environ.get("MAKEFLAGS", "")):
        known = ("USE_CASE", "ARGS", *VARIABLES)
        if name not in known and (close := difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)):
            raise WrongUse(f"no command knows the variable {name}", f"did you mean {close[0]}?")


def _drop_use_case(flags: Sequence[str]) -> list[str]:
    others, skipped = [], False
    for flag in flags:
        if not skipped and flag != "--use-case" and not flag.startswith("--use-case="):
            others.append(flag)
        skipped = not skipped and flag == "--use-case"
    return others


def _quote(text: str, *, always: bool = False) -> str:
    """One word for the shell; `$` doubled, because make reads the line too."""
    text = text.replace("$", "$$")
    if always and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)
