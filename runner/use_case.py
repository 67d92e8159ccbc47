"""Which use case a command is about, and which one replaces it if its rows are not available."""

from __future__ import annotations

from collections.abc import Mapping

from modelgate import config
from modelgate.config import Config


def chosen(asked: str | None) -> Config:
    """The use case that was asked for, or the default one; StepError if there is none, or its config is wrong."""
    return config.load(asked or config.require_default())


def stand_in(settings: Config, given: Mapping[str, object]) -> Config | None:
    """The use case to go on with when the source of this one is not available; None if it names none that can."""
    if not settings.data.fallback:
        return None
    other = config.load(settings.data.fallback)
    foreign = set(given) & set(settings.train) - set(other.train)
    return None if foreign else other
