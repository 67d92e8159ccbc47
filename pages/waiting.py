"""Read what waits for an approval from the runner's `state.json`; only the runner writes that file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Waiting:
    """
    An evaluation that passed and that no one has approved yet. host: the W&B it is in, None for this server. again: the
    line that evaluates it again.
    """

    use_case: str
    evidence: str
    version: str
    production: str | None
    headline: str
    reason: str
    host: str | None
    again: str = ""


@dataclass(frozen=True)
class Answer:
    """How the last approval ended: promoted by `approver`, or `refused` by promote for this reason. again: as above."""

    evidence: str
    version: str
    approver: str
    refused: str
    again: str = ""


@dataclass(frozen=True)
class State:
    """By use case, at most one of each. last: the use case that ran last."""

    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    last: str = ""


def read(folder: Path) -> State:
    """Return what the runner has left to know; nothing if the file is missing or cannot be read."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return State()
    known = _use_cases(state) if isinstance(state, dict) else {}
    return State(
        {
            name: _parse(known_state["pending"])
            for name, known_state in sorted(known.items())
            if isinstance(known_state.get("pending"), dict)
        },
        {
            name: _answer(known_state["answer"])
            for name, known_state in known.items()
            if isinstance(known_state.get("answer"), dict)
        },
        _read_text(state, "last") if isinstance(state, dict) else "",
    )


def _use_cases(state: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is known of each use case. Older runners kept the last run alone."""
    if isinstance(use_cases := state.get("use_cases"), dict):
        return {name: known for name, known in use_cases.items() if isinstance(known, dict)}
    items = [item for item in (state.get("pending"), state.get("run")) if isinstance(item, dict)]
    return {_read_text(items[0], "use_case"): state} if items else {}


def _parse(pending: Mapping[str, Any]) -> Waiting:
    return Waiting(
        use_case=_read_text(pending, "use_case"),
        evidence=_read_text(pending, "evidence"),
        version=_read_text(pending, "version"),
        production=_read_text(pending, "production") or None,
        headline=_read_text(pending, "headline"),
        reason=_read_text(pending, "reason"),
        host=_read_text(pending, "host") or None,
        again=_read_text(pending, "again"),
    )


def _answer(answer: Mapping[str, Any]) -> Answer:
    return Answer(
        evidence=_read_text(answer, "evidence"),
        version=_read_text(answer, "version"),
        approver=_read_text(answer, "approver"),
        refused=_read_text(answer, "refused"),
        again=_read_text(answer, "again"),
    )


def _read_text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""
