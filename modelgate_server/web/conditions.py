"""
What a person writes into a filter: `accuracy > 0.9 state = finished digits`. Every condition and every word must hold.

A name or a value with spaces stands in double quotes.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelgate_server.errors import Invalid
from modelgate_server.web import words

MAX_CHARS = 500
MAX_TERMS = 20
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[<>=!]=?|[^\s<>=!"]+)')


@dataclass(frozen=True)
class Condition:
    name: str
    compare: str
    value: str

    def holds(self, value: Any) -> bool:
        """Numbers are compared as numbers, the rest as text without case. Without a value only != holds."""
        if value is None:
            return self.compare == "!="
        number = _number(self.value)
        if number is not None and words.is_number(value):
            return _COMPARE[self.compare](value, number)
        return _COMPARE[self.compare](words.text_of(value).casefold(), self.value.casefold())


@dataclass(frozen=True)
class Filter:
    conditions: list[Condition]
    texts: list[str]

    def names(self) -> list[str]:
        return [condition.name for condition in self.conditions]

    def holds(self, look_up: Callable[[str], Any], text: Callable[[], str]) -> bool:
        """`look_up` gives the value of a name, `text` what words are searched in."""
        if not all(condition.holds(look_up(condition.name)) for condition in self.conditions):
            return False
        return not self.texts or all(word in text().casefold() for word in self.texts)


def parse(text: str) -> Filter:
    """Raises Invalid for what cannot be understood."""
    if len(text) > MAX_CHARS:
        raise Invalid(f"a filter has at most {MAX_CHARS} characters")
    tokens = [match[1] for match in _TOKEN.finditer(text)]
    conditions, texts = [], []
    while tokens:
        name = tokens.pop(0)
        if name in _COMPARE or name == "!":
            raise Invalid(f'there is no name before "{name}" in the filter: write for example accuracy > 0.9')
        if tokens and tokens[0] in _COMPARE:
            compare = tokens.pop(0)
            if not tokens or tokens[0] in _COMPARE:
                raise Invalid(f'there is no value after "{name} {compare}" in the filter')
            conditions.append(Condition(_bare(name), compare, _bare(tokens.pop(0))))
        else:
            texts.append(_bare(name).casefold())
    if len(conditions) + len(texts) > MAX_TERMS:
        raise Invalid(f"a filter has at most {MAX_TERMS} conditions")
    return Filter(conditions, texts)


def _bare(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if len(token) > 1 and token[0] == token[-1] == '"' else token


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def order(value: Any) -> tuple[int, float, str]:
    """A key to sort any values by: numbers, then texts; None, NaN and what is missing are for the caller."""
    if words.is_number(value):
        return 0, float(value), ""
    return 1, 0.0, words.text_of(value).casefold()


def is_sortable(value: Any) -> bool:
    return value is not None and value == value  # a NaN is not equal to itself


def arranged(items: list[Any], value: Callable[[Any], Any], *, descending: bool) -> list[Any]:
    """Sorted by a value, those without one last; equal ones keep their order."""
    valued = [(value(item), item) for item in items]
    known = [(order(found), item) for found, item in valued if is_sortable(found)]
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [item for _, item in known] + [item for found, item in valued if not is_sortable(found)]
