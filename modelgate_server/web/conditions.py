"""
Parse the filters that people write: `accuracy > 0.9 state = finished digits`. Every condition and every text must
match.

A name or a value with spaces is in double quotes.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from modelgate_server.errors import Invalid
from modelgate_server.web import filters

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

    def build_test(self) -> Callable[[Any], bool]:
        """
        Compare numbers as numbers, and everything else as text, ignoring case. If there is no value, only != is true.
        """
        compare, without = _COMPARE[self.compare], self.compare == "!="
        number, text = _parse_number(self.value), self.value.casefold()

        def is_met(value: Any) -> bool:
            if value is None:
                return without
            if number is not None and filters.is_number(value):
                return compare(value, number)
            return compare(filters.format_value(value).casefold(), text)

        return is_met


@dataclass(frozen=True)
class Filter:
    conditions: list[Condition]
    texts: list[str]

    @cached_property
    def tests(self) -> list[tuple[str, Callable[[Any], bool]]]:
        """The name of each condition, and the test of its value."""
        return [(condition.name, condition.build_test()) for condition in self.conditions]

    def is_met(self, look_up: Callable[[str], Any], text: Callable[[], str]) -> bool:
        """Return whether a row matches. `look_up` returns the value of a name, `text` the text that is searched."""
        return all(test(look_up(name)) for name, test in self.tests) and self.has_texts(text)

    def has_texts(self, text: Callable[[], str]) -> bool:
        return not self.texts or all(word in text().casefold() for word in self.texts)


def parse(text: str) -> Filter:
    """Return the parsed filter. Raise Invalid if it cannot be understood."""
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
            conditions.append(Condition(_unquote(name), compare, _unquote(tokens.pop(0))))
        else:
            texts.append(_unquote(name).casefold())
    if len(conditions) + len(texts) > MAX_TERMS:
        raise Invalid(f"a filter has at most {MAX_TERMS} conditions")
    return Filter(conditions, texts)


def _unquote(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if len(token) > 1 and token[0] == token[-1] == '"' else token


def _parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def arrange(items: list[Any], value: Callable[[Any], Any], *, descending: bool) -> list[Any]:
    """Sort by a value: numbers, texts (ignoring case), and last the items without one. Equal items keep their order."""
    numbers: list[tuple[float, Any]] = []
    texts: list[tuple[str, Any]] = []
    without: list[tuple[Any, Any]] = []
    for item in items:
        key = value(item)
        if filters.is_number(key):
            known = key == key  # a NaN is not equal to itself
            (numbers if known else without).append((key, item))
        elif key is not None:
            texts.append((filters.format_value(key).casefold(), item))
        else:
            without.append((key, item))
    for some in (numbers, texts):
        some.sort(key=itemgetter(0), reverse=descending)
    both = [*texts, *numbers] if descending else [*numbers, *texts]
    return [item for _, item in [*both, *without]]
