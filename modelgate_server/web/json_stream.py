"""
Read JSON piece by piece: parsing a table of sixty megabytes in one go would take more than half a gigabyte.

Only the outermost object and one long list of rows in it are read in pieces; each item in them must fit into memory.
This finds where the rows begin and end. Decoding all of them would take four times as long.
"""

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, TextIO

from modelgate_server.settings import KIB, MIB

PIECE_CHARS = 64 * KIB
# The longest value, such as a row of a table. Nothing that people look at is longer.
MAX_VALUE_CHARS = 8 * MIB
_DECODER = json.JSONDecoder()
# The text between two rows, with the brackets of both; and without them.
_BETWEEN = re.compile(r"\][ \t\r\n]*,[ \t\r\n]*\[")
_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=\[)")
# A quote does not end a text if one of these comes before it.
_ESCAPES = ('\\"', "\\\\")

# Receives where some rows begin, and where they end.
Take = Callable[[list[int], list[int]], None]


class Document:
    """A JSON object in a file. Raises ValueError for anything else."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._dropped = 0  # characters before those in memory
        self._ended = False
        self.started = 0  # where the last value begins

    @property
    def position(self) -> int:
        """How many characters have been consumed."""
        return self._dropped + self._at

    def read_members(self, long_list: str, take: Take) -> dict[str, Any]:
        """
        Return the object's members except `long_list`. The places of its rows go to `take`, some at a time. Raise
        TypeError if one of its items is not a list.
        """
        members: dict[str, Any] = {}
        self._expect("{")
        while self._peek() != "}":
            name = self._read_value()
            self._expect(":")
            if name == long_list and self._peek() == "[":
                self._read_rows(take)
            else:
                members[str(name)] = self._read_value()
            if self._peek() != "}":
                self._expect(",")
        return members

    def _read_rows(self, take: Take) -> None:
        self._expect("[")
        take([], [])
        between = ""
        while self._peek() != "]":
            if between and self._peek() == "[" and not self._take_plain(between, take):
                self._take_nested(take)
            if not isinstance(self._read_value(), list):
                raise TypeError("a row is not a list")
            take([self.started], [self.position])
            match = _BETWEEN.match(self._text, self._at - 1)
            between = match[0] if match else between
            if self._peek() != "]":
                self._expect(",")
        self._expect("]")

    def _take_plain(self, between: str, take: Take) -> bool:
        """
        Take the rows in memory except the last one, which may be incomplete, if each is a list without a nested list.
        Such a row ends at the first bracket outside of a text, that is, after an even number of quotes.
        """
        start, stop = self._at + 1, self._text.rfind(between, self._at)
        if stop < start:
            return True
        some = self._text[start:stop]
        rows = some.split(between)
        if some.count("[") >= len(rows) or ("\\" in some and any(escape in some for escape in _ESCAPES)):
            return False
        if max(row.count('"') % 2 for row in rows):
            return False
        gap = len(between)
        starts = list(accumulate([len(row) + gap for row in rows], initial=self.position))
        take(starts[:-1], [start - gap + 2 for start in starts[1:]])
        self._at = stop + gap - 1
        return True

    def _take_nested(self, take: Take) -> None:
        """Take the rows in memory except the last one, whatever they contain: each must be decoded to find its end."""
        text, at = self._text, self._at
        starts, ends = [], []
        try:
            while after := _COMMA.match(text, end := _DECODER.raw_decode(text, at)[1]):
                starts.append(self._dropped + at)
                ends.append(self._dropped + end)
                at = after.end()
        except ValueError:
            pass  # the last row is incomplete
        self._at = at
        take(starts, ends)

    def _peek(self) -> str:
        """Return the next character that is not a space, without consuming it."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                raise ValueError("the document ends too early")

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise ValueError(f"{character} is missing")
        self._at += 1

    def _read_value(self) -> Any:
        self._peek()
        self.started = self.position
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if not self._read_more():
                    raise
                continue
            if end < len(self._text) or not self._read_more():  # a number at the end may continue
                self._at = end
                return value

    def _read_more(self) -> bool:
        """Read more, twice as much each time that a value is still incomplete."""
        waiting = len(self._text) - self._at
        if waiting > MAX_VALUE_CHARS:
            raise ValueError("a value is too long")
        piece = "" if self._ended else self._file.read(max(PIECE_CHARS, waiting))
        self._ended = not piece
        self._dropped += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)
