"""
JSON that is read piece by piece: a table of sixty megabytes as one object would take more than half a gigabyte.

Only the outermost object and one long list in it are taken apart; whatever is in them has to fit into memory.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from modelgate_server.settings import KIB, MIB

PIECE_CHARS = 64 * KIB
# A row of a table, or what else is one value. Nothing that a person looks at is longer.
MAX_VALUE_CHARS = 8 * MIB
_DECODER = json.JSONDecoder()


class Document:
    """A JSON object in a file. Raises ValueError for anything else."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._dropped = 0  # characters before those in memory
        self._ended = False
        self.started = 0  # where the value begins that was read last

    @property
    def position(self) -> int:
        """How many characters have been taken."""
        return self._dropped + self._at

    def members(self, long_list: str, take: Callable[[Iterator[Any]], None]) -> dict[str, Any]:
        """The object's members, but of the one called `long_list` the items go to `take`, one after the other."""
        found: dict[str, Any] = {}
        self._expect("{")
        while self._next() != "}":
            name = self._value()
            self._expect(":")
            if name == long_list and self._next() == "[":
                take(self._items())
            else:
                found[str(name)] = self._value()
            if self._next() != "}":
                self._expect(",")
        return found

    def _items(self) -> Iterator[Any]:
        self._expect("[")
        while self._next() != "]":
            yield self._value()
            if self._next() != "]":
                self._expect(",")
        self._expect("]")

    def _next(self) -> str:
        """The next character that is no space; it stays."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise ValueError("the document ends too early")

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"{character} is missing")
        self._at += 1

    def _value(self) -> Any:
        self._next()
        self.started = self.position
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if not self._more():
                    raise
                continue
            if end < len(self._text) or not self._more():  # a number at the end may go on
                self._at = end
                return value

    def _more(self) -> bool:
        """Read on; twice as much each time that a value is still not whole."""
        waiting = len(self._text) - self._at
        if waiting > MAX_VALUE_CHARS:
            raise ValueError("a value is too long")
        piece = "" if self._ended else self._file.read(max(PIECE_CHARS, waiting))
        self._ended = not piece
        self._dropped += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)
