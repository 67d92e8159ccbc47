"""Check JSON that comes from outside and is stored as text."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from modelgate_server.errors import Invalid

# Answers and pages walk a document recursively, and Python allows 1,000 nested calls. People nest a dozen levels.
MAX_JSON_DEPTH = 200


def parse_object(text: str | bytes | None, what: str) -> dict[str, Any]:
    """
    Return the object in a text, {} if there is no text. Raise Invalid for anything else, but allow NaN and Infinity,
    which the SDK sends.
    """
    try:
        value = json.loads(text, object_hook=_as_it_is) if text else {}
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {error}") from None
    except RecursionError:
        value = None
    if value is None or (text and len(text) > MAX_JSON_DEPTH and _is_deeper(value, MAX_JSON_DEPTH)):
        raise Invalid(f"{what} is nested deeper than {MAX_JSON_DEPTH}")
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a JSON object")
    return value


def _as_it_is(value: dict[str, Any]) -> dict[str, Any]:
    """
    Return the object unchanged. Python calls this for each object that it parses, and so lets other threads run in
    between; otherwise they would wait until the end of a manifest with 300,000 entries.
    """
    return value


def parse_body(body: bytes, what: str) -> dict[str, Any]:
    """Return the object in a request's body. JSON can hold half a surrogate pair, which cannot be stored as text."""
    value = parse_object(body, what)
    if b"\\ud" in body or b"\\uD" in body:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Invalid(f"{what} has half a surrogate pair in it, which is not valid text") from None
    return value


def measure_longest_list(value: Any) -> int:
    """Return the length of the longest list in a document."""
    return max((len(item) for level in _walk_levels(value) for item in level if isinstance(item, list)), default=0)


def _is_deeper(value: Any, limit: int) -> bool:
    return next(islice(_walk_levels(value), limit, None), None) is not None


def _walk_levels(value: Any) -> Iterator[list[Any]]:
    """Yield the document itself, its items, their items, and so on."""
    level = [value]
    while level:
        yield level
        inside: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inside += item.values()
            elif isinstance(item, list):
                inside += item
        level = inside
