"""Text from outside, made fit to print."""

from __future__ import annotations

import unicodedata

MAX_CHARS = 500


def one_line(text: object, limit: int = MAX_CHARS) -> str:
    """Text from outside as one printable line: control and direction characters become spaces, the rest is cut off."""
    kept = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in str(text)[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
