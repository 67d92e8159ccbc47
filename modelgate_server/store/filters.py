"""
Apply the SDK's filters, in MongoDB's syntax, to anything that can return the value of a field.

A field's value may be a list (tags, aliases): a comparison holds if it holds for one of its items.
https://www.mongodb.com/docs/manual/reference/operator/query/ names the operators.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import re2

from modelgate_server.errors import Invalid

T = TypeVar("T")
Lookup = Callable[[str], Any]
Place = list[list[Any]]
# A filter is written by hand; deeper nesting is a mistake or an attack on the stack.
MAX_DEPTH = 32
MAX_REGEX_CHARS = 256
# Python's own `re` can take years for "(a+)+$". RE2 takes time in proportion to the text, and little memory.
_LINEAR = re2.Options()
_LINEAR.log_errors = False


def select(items: Iterable[T], condition: dict[str, Any], value_of: Callable[[T, str], Any]) -> list[T]:
    """
    Return the items that meet a condition; `value_of(item, field)` raises Invalid for a field that it does not know.
    """
    return [item for item in items if is_met(condition, lambda name, item=item: value_of(item, name))]  # type: ignore[misc]


@dataclass(frozen=True)
class Order(Generic[T]):
    """
    The order of a list: by "+field" or "-field" if `by` is given (items without the field come first), and then by
    `unique`, whole numbers and texts that no two items share.

    An item's place in the order is enough to continue after it, even if the item has been deleted by then, or there are
    new ones.
    """

    unique: Callable[[T], list[Any]]
    backwards: bool = False
    by: str | None = None
    value_of: Callable[[T, str], Any] | None = None

    def compute_place(self, item: T) -> Place:
        rank: list[Any] = []
        if self.by and self.value_of is not None:
            value = _make_comparable(self.value_of(item, self.by.lstrip("+-")))
            if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
                rank = [1, value, ""]
            else:
                rank = [0, 0, ""] if value is None else [2, 0, str(value)]
        return [rank, self.unique(item)]

    def compute_key(self, place: Place) -> tuple[Any, Any]:
        """Return the key by which places are sorted."""
        rank, unique = tuple(place[0]), tuple(place[1])
        down = bool(self.by) and str(self.by).startswith("-")
        return _Reversed(rank) if down else rank, _Reversed(unique) if self.backwards else unique

    def sort(self, items: Iterable[T]) -> list[T]:
        return sorted(items, key=lambda item: self.compute_key(self.compute_place(item)))

    def count_until(self, items: list[T], place: Any) -> int:
        """Return how many of the sorted items are not after a place. Raise Invalid for a place of another list."""
        if not items:
            return 0
        if _describe_kinds(place) != _describe_kinds(self.compute_place(items[0])):
            raise Invalid("the cursor does not belong to this list")
        return bisect_right(items, self.compute_key(place), key=lambda item: self.compute_key(self.compute_place(item)))


class _Reversed:
    """Sorts in reverse."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def __lt__(self, other: "_Reversed") -> bool:
        return bool(other._value < self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)


def _describe_kinds(place: Any) -> Any:
    """Return the types in a place, because numbers and texts cannot be compared with each other."""
    if isinstance(place, list):
        return [_describe_kinds(item) for item in place]
    return "number" if isinstance(place, int | float) else type(place).__name__


def is_met(condition: Any, lookup: Lookup, depth: int = 0) -> bool:
    if not isinstance(condition, dict) or depth > MAX_DEPTH:
        raise Invalid(f"a filter must be an object, nested at most {MAX_DEPTH} deep")
    return all(_is_part_met(name, wanted, lookup, depth + 1) for name, wanted in condition.items())


def _is_part_met(name: str, wanted: Any, lookup: Lookup, depth: int) -> bool:
    if name in ("$and", "$or", "$nor"):
        if not isinstance(wanted, list):
            raise Invalid(f"{name} in a filter needs a list")
        met = (is_met(part, lookup, depth) for part in wanted)
        return all(met) if name == "$and" else any(met) == (name == "$or")
    if name == "$not":
        return not is_met(wanted, lookup, depth)
    if name.startswith("$"):
        raise Invalid(f"the filter's operator {name} is not supported")
    return _is_field_met(lookup(name), wanted, depth)


def _is_field_met(value: Any, wanted: Any, depth: int) -> bool:
    if depth > MAX_DEPTH:
        raise Invalid(f"a filter may be nested at most {MAX_DEPTH} deep")
    if not isinstance(wanted, dict) or not any(key.startswith("$") for key in wanted):
        return _match_any(value, lambda item: _are_equal(item, wanted))
    return all(_apply_operator(operator, value, operand, depth) for operator, operand in wanted.items())


def _apply_operator(operator: str, value: Any, operand: Any, depth: int) -> bool:
    if operator == "$not":
        return not _is_field_met(value, operand, depth + 1)
    if operator == "$exists":
        return (value is not None and value != []) == bool(operand)
    if operator == "$ne":
        return not _match_any(value, lambda item: _are_equal(item, operand))
    if operator in ("$in", "$nin"):
        if not isinstance(operand, list):
            raise Invalid(f"{operator} in a filter needs a list")
        return _match_any(value, lambda item: any(_are_equal(item, option) for option in operand)) == (
            operator == "$in"
        )
    test = _TESTS.get(operator)
    if test is None:
        raise Invalid(f"the filter's operator {operator} is not supported")
    return _match_any(value, lambda item: test(item, operand))


def _match_any(value: Any, test: Callable[[Any], bool]) -> bool:
    return any(test(item) for item in value) if isinstance(value, list) else test(value)


def _make_comparable(value: Any) -> Any:
    """Convert times to numbers, so that they are compared as times in whatever format they are written."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        try:
            at = datetime.fromisoformat(value.replace("Z", "+00:00"))
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            return value
    return value


def _are_equal(value: Any, wanted: Any) -> bool:
    return bool(_make_comparable(value) == _make_comparable(wanted))


def _make_comparison(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(value: Any, wanted: Any) -> bool:
        left, right = _make_comparable(value), _make_comparable(wanted)
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        return (numbers or (isinstance(left, str) and isinstance(right, str))) and test(left, right)

    return compare


def _match_regex(value: Any, pattern: Any) -> bool:
    if not isinstance(pattern, str) or len(pattern) > MAX_REGEX_CHARS:
        raise Invalid(f"$regex in a filter needs a string of at most {MAX_REGEX_CHARS} characters")
    try:
        compiled = re2.compile(pattern, _LINEAR)
    except (re2.error, UnicodeEncodeError) as error:
        raise Invalid(f'"{pattern}" is not a regular expression of RE2: {error}') from None
    return isinstance(value, str) and compiled.search(value.encode("utf-8", "replace").decode()) is not None


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _are_equal,
    "$gt": _make_comparison(lambda a, b: a > b),
    "$gte": _make_comparison(lambda a, b: a >= b),
    "$lt": _make_comparison(lambda a, b: a < b),
    "$lte": _make_comparison(lambda a, b: a <= b),
    "$contains": lambda value, wanted: isinstance(value, str) and str(wanted) in value,
    "$regex": _match_regex,
}
