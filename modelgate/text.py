"""Make text from outside safe to print, and write what several rooms say alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_CHARS = 500
_SHOWN = 10  # names in a list; the rest are counted
# The special characters within a line of Markdown. An underscore within a word is not special.
_MARKUP = re.compile(r"[\\`*\[\]<>&~|$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)

_WORD_JOINER = "\u2060"
_LOCAL_SERVER = re.compile(r"http://127\.0\.0\.1:\d+/")


def to_line(text: object, limit: int = MAX_CHARS) -> str:
    """Return text from outside as one printable line. Control and direction characters become spaces, and text over the
    limit is dropped.
    """
    printable = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in str(text)[: 4 * limit])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def to_markdown(text: object, limit: int = MAX_CHARS) -> str:
    """
    Return text from outside as part of a line of Markdown, shown literally, without links, pictures or markup.

    An invisible word joiner follows each @: otherwise GitHub would notify the person named after it.
    """
    return _MARKUP.sub(lambda match: f"\\{match[0]}", to_line(text, limit)).replace("@", f"@{_WORD_JOINER}")


def to_code(text: object, limit: int = MAX_CHARS) -> str:
    """Return the same as code, in which GitHub does not look for names of people."""
    return f"`{to_line(str(text).replace('`', ' '), limit)}`"


def name_columns(names: Sequence[object]) -> str:
    """Format `the columns 'age', 'sex' and 3 more`."""
    shown = ", ".join(to_line(repr(name), 100) for name in names[:_SHOWN])
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"the column{'s' if len(names) > 1 else ''} {shown}{rest}"


def shorten_name(name: str | None) -> str:
    """Format the name of a version without its project: `digits:v3`. None: nothing."""
    return name.rpartition("/")[2] if name else "nothing"


def explain_move(compared: str | None, production: str | None) -> str:
    """Say that an evaluation was against another version than the one in production now."""
    return f"it was compared with {shorten_name(compared)}, but production is now {shorten_name(production)}"


def update_port(text: str, port: int) -> str:
    """Return text with its links to the embedded server at this port: when it was written, it may have had another."""
    return _LOCAL_SERVER.sub(f"http://127.0.0.1:{port}/", text)
