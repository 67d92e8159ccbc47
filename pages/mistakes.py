"""
Show the rows that the candidate gets wrong and production gets right, from the table that evaluate logs: for images the
picture, for texts the text, for a table the row's own columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelgate_server.web.access import Visit
from modelgate_server.web.filters import format_value
from modelgate_server.web.urls import build_picture_url
from pages import records
from pages.records import Version

TABLE = "predictions.table.json"
MAX_TABLE_BYTES = 16_000_000
COLUMNS = ("label", "answer", "production_answer", "confidence")
SHOWN = 24
SHOWN_COLUMNS = 20
MAX_CHARS = 300
# What a table of another form than evaluate's can raise: there is nothing to show then.
_OTHER_TABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Mistake:
    """
    url: of the picture, empty if the row is not a picture. said: the row's own columns by name; a missing value is an
    empty text. confidence: a fraction.
    """

    url: str
    fields: tuple[tuple[str, str], ...]
    row: str
    truth: str
    answer: str
    confidence: float


def list_new(visit: Visit, evaluation: Version) -> tuple[list[Mistake], int]:
    """
    Return the first of them, the most confident ones first, and how many there are. Without production all mistakes are
    new.
    """
    content = records.read_file(visit, evaluation, TABLE, MAX_TABLE_BYTES)
    try:
        return select_from_table(json.loads(content or b"{}"), evaluation.below)
    except _OTHER_TABLE:
        return [], 0


def select_from_table(table: dict[str, Any], below: str) -> tuple[list[Mistake], int]:
    """The same, from the table. below: the address of the pictures."""
    rows = _select_new(table["columns"], table["data"])
    return [_build_mistake(table["columns"], row, below) for row in rows[:SHOWN]], len(rows)


def _select_new(columns: list[str], rows: list[list[Any]]) -> list[list[Any]]:
    truth, answer, before, confidence = (columns.index(name) for name in COLUMNS)
    new = [row for row in rows if row[truth] != row[answer] and row[before] in (None, row[truth])]
    return sorted(new, key=lambda row: -float(row[confidence]))


def _build_mistake(columns: list[str], cells: list[Any], below: str) -> Mistake:
    row = dict(zip(columns, cells, strict=True))
    picture = row.get("mistake")
    path = picture.get("path") if isinstance(picture, dict) else None
    own = [(name, value) for name, value in row.items() if name == "text" or name.startswith("x_")]
    return Mistake(
        url=build_picture_url(below, str(path)) if path else "",
        fields=tuple((name.removeprefix("x_"), _format(value)) for name, value in own[:SHOWN_COLUMNS]),
        row=str(row["row"]),
        truth=str(row["label"]),
        answer=str(row["answer"]),
        confidence=float(row["confidence"]),
    )


def _format(value: Any) -> str:
    """A cell of a row: a date without its midnight, and nothing if the value is missing."""
    return "" if value is None else format_value(value).removesuffix(" 00:00:00")[:MAX_CHARS]
