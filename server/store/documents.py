"""JSON that came from outside and is kept as text."""

import json
from typing import Any

from server.errors import Invalid


def json_object(text: str | bytes | None, what: str) -> dict[str, Any]:
    """The object in a text, {} for no text. Raises Invalid for anything else; NaN and Infinity are the SDK's habit."""
    try:
        value = json.loads(text) if text else {}
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise Invalid(f"{what} is nested too deep to be read") from None
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a JSON object")
    return value
