"""
Check values in files that strangers may have written: each must have the right form before it is used.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MAX_FILE = 1_000_000
MAX_ITEMS = 1000  # of a list that strangers wrote
MAX_REPORTS = 50
USE_CASE = r"[a-z][a-z0-9_]{0,39}"


def read(path: Path) -> str:
    """Return the beginning of a file of whatever size. A link could lead to any other file, so it is not followed."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_FILE).decode(errors="replace")


def list_reported(folder: Path) -> list[str]:
    """Return the use cases that have a report."""
    names = [path.name.removeprefix("report-") for path in sorted(folder.glob("report-*")) if not path.is_symlink()]
    return [name for name in names if re.fullmatch(USE_CASE, name)][:MAX_REPORTS]


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object; empty for anything else."""
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def get_at(content: object, *path: str) -> Any:
    """Return the value at a place in JSON; None if there is none."""
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def list_items(content: object, key: str) -> list[dict[str, Any]]:
    """Return the objects in a list, within a limit."""
    values = get_at(content, key)
    return [item for item in values[:MAX_ITEMS] if isinstance(item, dict)] if isinstance(values, list) else []


def match_form(value: object, form: str) -> str | None:
    """Return a text in its form; None for anything else."""
    return value if isinstance(value, str) and re.fullmatch(form, value) else None


def get_count(value: object) -> int | None:
    """Return a number of rows."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**8 else None


def get_number(value: object) -> float | None:
    """Return a figure of reasonable size."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if good else None  # type: ignore[arg-type]


def get_url(value: object) -> str | None:
    """Return an address that can be part of a Markdown link, and of nothing else."""
    return match_form(value, r"https?://[\w.:/?&=%~#+-]{1,500}")
