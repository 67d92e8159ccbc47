"""
The rows that the candidate gets wrong and production gets right, from the table that evaluate keeps: of images the
picture, of texts the text, of a table the row's own columns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelgate_server.web.access import Visit
from modelgate_server.web.filters import text_of
from modelgate_server.web.urls import picture_url
from pages import records
from pages.records import Version

TABLE = "predictions.table.json"
MAX_TABLE_BYTES = 16_000_000
COLUMNS = ("label", "answer", "production_answer", "confidence")
SHOWN = 24
SHOWN_COLUMNS = 8
MAX_CHARS = 300
# What a table of another form than evaluate's can raise: there is nothing to show then.
_OTHER_TABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Mistake:
    """url: of the picture, empty if the row is not a picture. said: the row's own columns. confidence: a fraction."""

    url: str
    said: tuple[tuple[str, str], ...]
    row: str
    truth: str
    answer: str
    confidence: float


def new(visit: Visit, evaluation: Version) -> tuple[list[Mistake], int]:
    """
    The first of them, the most confident ones first, and how many there are. Without production all mistakes are new.
    """
    content = records.file(visit, evaluation, TABLE, MAX_TABLE_BYTES)
    try:
        table = json.loads(content or b"{}")
        rows = _new_rows(table["columns"], table["data"])
        return [_mistake(table["columns"], row, evaluation) for row in rows[:SHOWN]], len(rows)
    except _OTHER_TABLE:
        return [], 0


def _new_rows(columns: list[str], rows: list[list[Any]]) -> list[list[Any]]:
    truth, answer, before, confidence = (columns.index(name) for name in COLUMNS)
    new = [row for row in rows if row[truth] != row[answer] and row[before] in (None, row[truth])]
    return sorted(new, key=lambda row: -float(row[confidence]))


def _mistake(columns: list[str], cells: list[Any], evaluation: Version) -> Mistake:
    row = dict(zip(columns, cells, strict=True))
    picture = row.get("mistake")
    path = picture.get("path") if isinstance(picture, dict) else None
    own = [(name, value) for name, value in row.items() if name == "text" or name.startswith("x_")]
    return Mistake(
        url=picture_url(evaluation.below, str(path)) if path else "",
        said=tuple((name.removeprefix("x_"), text_of(value)[:MAX_CHARS]) for name, value in own[:SHOWN_COLUMNS]),
        row=str(row["row"]),
        truth=str(row["label"]),
        answer=str(row["answer"]),
        confidence=float(row["confidence"]),
    )
