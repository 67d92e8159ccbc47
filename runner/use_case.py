"""Choose the use case of a command, and the one that replaces it if its rows are not available."""

from __future__ import annotations

from collections.abc import Mapping

from modelgate import config
from modelgate.config import Config


def choose(name: str | None) -> Config:
    """Return the use case that was asked for, or the default one; raise StepError if there is none, or its config is
    wrong.
    """
    return config.load(name or config.require_default())


def choose_stand_in(settings: Config, flags: Mapping[str, object]) -> Config | None:
    """Return the use case to continue with if the source of this one is not available; None if it names no other."""
    if not settings.data.fallback:
        return None
    other = config.load(settings.data.fallback)
    foreign = set(flags) & set(settings.train) - set(other.train)
    return None if foreign else other
