"""Provide the template filters: how pages show numbers, sizes, times and other values."""

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

SIZE_UNITS = ("kB", "MB", "GB", "TB")
# Color and cursor codes that a progress bar leaves in a console log.
_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONSOLE_LINE = re.compile(r"(ERROR )?(\d{4}-\d\d-\d\dT[\d:.]+) ?")


def format_size(count: int) -> str:
    """Return bytes in decimal units: 70419 is "70.4 kB"."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in SIZE_UNITS:
        value /= 1000
        if value < 999.5 or unit == SIZE_UNITS[-1]:
            break
    return f"{value:.3g} {unit}"


def format_number(value: float) -> str:
    """Format a number with four digits, which are enough to compare; a whole number is written in full."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{Decimal(value):.4g}"
    if (value.is_integer() and abs(value) < 1e9) or 1e4 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def is_number(value: Any) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float)) and value is not True and value is not False
    )  # fast, because it is called for each cell


def is_finite(value: Any) -> TypeGuard[float]:
    """Return whether a number can be drawn: it is not NaN, not infinite, and not an integer too large for a float."""
    return is_number(value) and -1e300 < value < 1e300


def format_value(value: Any) -> str:
    """Format any JSON value on one line."""
    if is_number(value):
        return format_number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def format_time(iso: str) -> str:
    """
    Format "2026-11-23T20:43:31.5Z" as "2026-11-23 20:43 UTC". If scripts run, the browser converts it to local time.
    """
    return f"{iso[:10]} {iso[11:16]} UTC"


def format_duration(seconds: float) -> str:
    """Format seconds like "7 s", "1 min 12 s", "3 h 5 min"."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_between(start: str, end: str) -> str:
    """Return the duration between two times of the store."""
    return format_duration(measure_seconds(start, end))


def measure_seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def format_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def clean_console_line(text: str) -> str:
    """Return what the process printed, without the time that the SDK adds before it and without terminal codes."""
    return _TERMINAL.sub("", _CONSOLE_LINE.sub("", text, count=1)).rpartition("\r")[2]


def unwrap(value: Any) -> Any:
    """Return a config's value, which the SDK stores as {"value": ...}."""
    return value["value"] if isinstance(value, dict) and "value" in value else value


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """
    Return nested objects as dotted keys. A media object (`_type`) stays whole; the SDK's own keys (`_...`) are left
    out.
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if key.startswith("_"):
            continue
        if isinstance(value, dict) and value and "_type" not in value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def select_visible(tree: dict[str, Any], *, without_media: bool = False) -> dict[str, Any]:
    """Return the values without the SDK's own keys (`_...`), and optionally without pictures and tables."""
    return {
        key: value
        for key, value in tree.items()
        if not key.startswith("_") and not (without_media and isinstance(value, dict) and "_type" in value)
    }


def sort_branches(tree: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return values by key, as many as a page shows. Nested objects come last."""
    return sorted(tree.items(), key=lambda item: (is_branch(item[1]), item[0]))[:MAX_FACTS]


def is_branch(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and bool(value)


def is_address(value: Any) -> bool:
    """Return whether this is a whole web address, which a page may turn into a link."""
    return isinstance(value, str) and re.fullmatch(r"https?://[^\s<>\"']{4,2000}", value) is not None


def make_sentence(text: str) -> str:
    """Turn "it is late" into "It is late." """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


# How many facts about one object a page shows.
MAX_FACTS = 500


def list_facts(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return values by key, as many as a page shows."""
    return sorted(values.items(), key=lambda item: item[0])[:MAX_FACTS]


def select_numbers(tree: dict[str, Any]) -> dict[str, float]:
    """Return only the numbers, by dotted key."""
    return {key: value for key, value in flatten(tree).items() if is_number(value)}


def parse_object(text: str | None) -> dict[str, Any]:
    """Return a stored JSON object, empty if there is none."""
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else {}


# What people look for first, in this order; the rest follows in alphabetical order.
_TELLING = ("accuracy", "loss", "f1", "auc", "error", "score")


def choose_metrics(rows: list[dict[str, float]], limit: int = 4) -> list[str]:
    """Return the keys to use as columns: those that say how good something is, then those that most rows have."""

    def rank(key: str) -> tuple[int, int, str]:
        telling = next((i for i, word in enumerate(_TELLING) if word in key.lower()), len(_TELLING))
        return telling, -sum(key in row for row in rows), key

    return sorted({key for row in rows for key in row}, key=rank)[:limit]
