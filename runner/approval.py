"""
The question to a person: who says yes to what the report shows?

`APPROVE=NAME` (or `--approver NAME`) answers it in advance, a terminal is asked, and where there is neither the
question stays open.
"""

from __future__ import annotations

import getpass
import os
import select
import sys

from runner.errors import WrongUse
from runner.processes import POLL_S, Stop

# W&B's own limit for a name; the ledger keeps it for ever.
MAX_NAME_CHARS = 128


def on_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def checked_name(name: str) -> str:
    """A name as the ledger may keep it: one printable line."""
    name = name.strip()
    if not name or not name.isprintable() or len(name) > MAX_NAME_CHARS:
        raise WrongUse(f"{name[:MAX_NAME_CHARS]!r} is no approver's name", "name a person: APPROVE=ada")
    return name


def ask(question: str, stop: Stop) -> str | None:
    """Ask for a y/N, then for a name; returns the name, or None for anything but yes."""
    if not confirm(question, stop):
        return None
    user = _user()
    answer = _line(f"Your name, for the ledger [{user}]: ", stop)
    return None if answer is None else checked_name(answer.strip() or user)


def confirm(question: str, stop: Stop) -> bool:
    """Ask a y/N question; no is what every other answer means, and the end of input."""
    answer = _line(f"{question} [y/N]: ", stop)
    return answer is not None and answer.strip().lower() in ("y", "yes")


def _line(prompt: str, stop: Stop) -> str | None:
    """
    One line from the terminal, None at its end; raises Interrupted. Not input(): that goes on reading after a
    signal. The terminal hands out one line a read.
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


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, as in a container
        return f"uid {os.getuid()}"
