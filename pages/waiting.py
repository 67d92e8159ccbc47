"""What waits for an approval, as the runner keeps it in `state.json`; only the runner writes that file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Waiting:
    """An evaluation that passed and that no one has approved yet. host: the W&B it is in, None for this server."""

    use_case: str
    evidence: str
    version: str
    production: str | None
    headline: str
    reason: str
    host: str | None


@dataclass(frozen=True)
class Answer:
    """How the last approval ended: promoted by `approver`, or `refused` by promote for this reason."""

    evidence: str
    version: str
    approver: str
    refused: str


@dataclass(frozen=True)
class State:
    waiting: Waiting | None = None
    answer: Answer | None = None


def read(folder: Path) -> State:
    """What the runner has left to know; nothing if the file is missing or cannot be read."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return State()
    if not isinstance(state, dict):
        return State()
    pending, answer = state.get("pending"), state.get("answer")
    return State(
        _waiting(pending) if isinstance(pending, dict) else None,
        _answer(answer) if isinstance(answer, dict) else None,
    )


def _waiting(pending: Mapping[str, Any]) -> Waiting:
    return Waiting(
        use_case=_text(pending, "use_case"),
        evidence=_text(pending, "evidence"),
        version=_text(pending, "version"),
        production=_text(pending, "production") or None,
        headline=_text(pending, "headline"),
        reason=_text(pending, "reason"),
        host=_text(pending, "host") or None,
    )


def _answer(answer: Mapping[str, Any]) -> Answer:
    return Answer(
        evidence=_text(answer, "evidence"),
        version=_text(answer, "version"),
        approver=_text(answer, "approver"),
        refused=_text(answer, "refused"),
    )


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""
