"""Describe a person who approves, and check their name."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

MAX_NAME_CHARS = 100
_MAX_NAME_WORDS = 12
# The characters of names, logins and e-mail addresses other than letters and digits. None of them is special in a
# shell.
_NAME_MARKS = " .,'\u2019\u00b7\u30fb\u200c-\u2010_@+()\\"


@dataclass(frozen=True)
class Model:
    """What is approved. environment: the one on GitHub. self_approval: whether the person who started a workflow run
    may approve.
    """

    use_case: str
    environment: str
    self_approval: bool


@dataclass(frozen=True)
class Approval:
    """
    One person's approval. how: name, browser, github or merge. comment: what they wrote. url: where GitHub shows it, or
    None.
    """

    approver: str
    how: str
    comment: str = ""
    url: str | None = None


def is_name(text: str) -> bool:
    """
    Return whether this can be a person's name, a login or an e-mail address: letters of any script, digits, a few
    marks.

    A line that was meant for a shell is not a name, and the ledger keeps every name forever. The runner makes the same
    check before it starts anything (runner/approval.py).
    """
    parts = text.split()
    kinds = [unicodedata.category(char)[0] for char in text]
    return (
        1 <= len(parts) <= _MAX_NAME_WORDS
        and len(text) <= MAX_NAME_CHARS
        and all(kind in "LMN" or char in _NAME_MARKS for kind, char in zip(kinds, text, strict=True))
        and all(word[0] != "-" and any(char.isalnum() for char in word) for word in parts)
    )
