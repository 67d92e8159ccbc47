"""The lines that a person types with make: `make run USE_CASE=letters ARGS="--epochs 3"`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

VARIABLES = ("APPROVE", "RUNNER", "WANDB")  # what a person sets next to USE_CASE and ARGS
NAME = "NAME"


def approve(use_case: str, name: str = NAME) -> str:
    """How to approve what waits of a use case."""
    return f"make approve USE_CASE={use_case} APPROVE={_quote(name)}"


def format_again(argv: Sequence[str], environ: Mapping[str, str], use_case: str | None) -> str:
    """The command that was typed, with its flags, for this use case; None: as it was typed."""
    command, *flags = argv
    parts = [f"make {command}"] + ([f"USE_CASE={use_case}"] if use_case else [])
    parts += [f"{name}={_quote(environ[name])}" for name in VARIABLES if environ.get(name)]
    others = _drop_use_case(flags) if use_case else flags
    return " ".join([*parts, f"ARGS={_quote(shlex.join(others), always=True)}"] if others else parts)


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
