"""Text from outside, made fit to print."""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 500
# What means something in the middle of a line of Markdown. An underscore within a word means nothing.
_MARKUP = re.compile(r"[\\`*\[\]<>&~|$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)

_WORD_JOINER = "\u2060"


def one_line(text: object, limit: int = MAX_CHARS) -> str:
    """Text from outside as one printable line: control and direction characters become spaces, the rest is dropped."""
    kept = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in str(text)[: 4 * limit])
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def markdown(text: object, limit: int = MAX_CHARS) -> str:
    """
    Text from outside as a piece of one line of Markdown: shown as it is, with no link, picture or markup in it.

    After an @ stands a word joiner, which no one sees: GitHub writes to whoever is named after an @ alone.
    """
    return _MARKUP.sub(lambda match: f"\\{match[0]}", one_line(text, limit)).replace("@", f"@{_WORD_JOINER}")


def code(text: object, limit: int = MAX_CHARS) -> str:
    """The same as code, in which GitHub looks for no names of people either."""
    return f"`{one_line(str(text).replace('`', ' '), limit)}`"
