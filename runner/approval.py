"""
Ask a person whether they approve what the report shows.

`APPROVE=NAME` (or `--approver NAME`) answers in advance. Without it, the runner asks on the terminal. If there is no
terminal, the question stays open.
"""

from __future__ import annotations

import getpass
import os
import select
import sys
import unicodedata

from runner.errors import WrongUse
from runner.processes import POLL_S, Stop

# The same limit as in promote (modelgate/promotion/approval/approver.py). Here, a bad name is refused before any step.
MAX_NAME_CHARS = 100
MAX_NAME_WORDS = 12
NAME_MARKS = " .,'\u2019\u00b7\u30fb\u200c-\u2010_@+()\\"


def is_on_terminal() -> bool:
    """Return whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def require_name(text: str) -> str:
    """Return a name that the ledger accepts. Raise WrongUse for other text, such as a line that was meant for a
    shell.
    """
    name = text.replace("\u200c", " ").strip()  # between letters of Persian names, and not printable
    if not is_name(name):
        raise WrongUse(
            f"{name[:MAX_NAME_CHARS]!r} is not a person's name, login or e-mail address",
            "use a name that your colleagues know: APPROVE='Ada Lovelace'",
        )
    return name


def is_name(text: str) -> bool:
    """Return whether this can be a person's name, a login or an e-mail address: letters of any script, digits, a few
    marks.
    """
    parts = text.split()
    kinds = [unicodedata.category(char)[0] for char in text]
    return (
        1 <= len(parts) <= MAX_NAME_WORDS
        and len(text) <= MAX_NAME_CHARS
        and all(kind in "LMN" or char in NAME_MARKS for kind, char in zip(kinds, text, strict=True))
        and all(word[0] != "-" and any(char.isalnum() for char in word) for word in parts)
    )


def ask(question: str, stop: Stop) -> str | None:
    """
    Ask for y/N, then for a name until there is one. Return the name, or None for any answer but yes.

    The name is shown for confirmation, because text pasted into a terminal may be meant for its shell.
    """
    if not confirm(question, stop):
        return None
    user = _get_user()
    while (answer := _read_line(f"Your name, for the ledger [{user}]: ", stop)) is not None:
        try:
            name = require_name(answer.strip() or user)
        except WrongUse as error:
            print(f"{error.message}.")
            continue
        if name == user or confirm(f"The ledger will say `approved by {name}`. Is that you?", stop):
            return name
    return None


def confirm(question: str, stop: Stop) -> bool:
    """Ask a y/N question. Every answer but yes means no, and so does the end of input."""
    answer = _read_line(f"{question} [y/N]: ", stop)
    return answer is not None and answer.strip().lower() in ("y", "yes")


def _read_line(prompt: str, stop: Stop) -> str | None:
    """
    Return one line from the terminal, or None at its end; raise Interrupted. Not input(): that continues to read after
    a signal. The terminal returns one line per read.
    """
    print(prompt, end="", flush=True)
    descriptor = sys.stdin.fileno()
    while not select.select([descriptor], [], [], POLL_S)[0]:
        stop.pause()
    line = os.read(descriptor, 4096)
    if not line:
        print()
        return None
    return line.decode(errors="replace")


def _get_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, as in a container
        return f"uid {os.getuid()}"
