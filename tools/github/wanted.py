"""Describe what a person wants of the repository, and what differs from it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from tools.github.gh import Call

USE_CASES = Path(__file__).resolve().parents[2] / "usecases"


class Difference(NamedTuple):
    """A difference from what is required. `fix` is empty if only a person can fix it."""

    what: str
    why: str
    fix: tuple[Call, ...] = ()
    by_hand: str = ""


class Wanted(NamedTuple):
    """What the person wants of the repository. None means: keep what it has, if anything."""

    repository: str
    reviewers: tuple[str, ...]
    entity: str | None
    base_url: str | None
    approval: str | None
    promote_from: str | None
    environment: str | None = None  # the only environment that these reviewers are for

    def get_reviewers(self, environment: str) -> tuple[str, ...]:
        return self.reviewers if self.environment in (None, environment) else ()


def list_environments() -> list[str]:
    """Return the environments whose reviewers approve a model. Each use case names one in its config.toml."""
    names = {"production"} if not USE_CASES.is_dir() else set()
    for path in sorted(USE_CASES.glob("*/config.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("approval", {})
        name = table.get("environment", "production") if isinstance(table, dict) else "production"
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", str(name)):
            names.add(str(name))
    return sorted(names)
