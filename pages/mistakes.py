"""The pictures of rows that the candidate gets wrong and production gets right, from the table that evaluate keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelgate_server.web.access import Visit
from modelgate_server.web.addresses import query
from pages import kept
from pages.kept import Version

TABLE = "predictions.table.json"
MAX_TABLE_BYTES = 16_000_000
COLUMNS = ("row", "label", "answer", "production_answer", "confidence", "mistake")
SHOWN = 24


@dataclass(frozen=True)
class Mistake:
    """url: of the picture. truth, answer: of the row. confidence: a fraction."""

    url: str
    row: str
    truth: str
    answer: str
    confidence: float


def new(visit: Visit, evaluation: Version) -> tuple[list[Mistake], int]:
    """
    The first of them, the most confident ones first, and how many there are. Without production all mistakes are new.
    """
    content = kept.file(visit, evaluation, TABLE, MAX_TABLE_BYTES)
    try:
        table = json.loads(content) if content is not None else {}
        places = [table["columns"].index(name) for name in COLUMNS]
        every = [made for row in table["data"] if (made := _mistake([row[place] for place in places], evaluation))]
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # another table than evaluate's: nothing to show
        return [], 0
    every.sort(key=lambda mistake: -mistake.confidence)
    return every[:SHOWN], len(every)


def _mistake(cells: list[Any], evaluation: Version) -> Mistake | None:
    row, truth, answer, before, confidence, picture = cells
    if truth == answer or before not in (None, truth) or not isinstance(picture, dict):
        return None
    return Mistake(
        url=f"{evaluation.below}/picture?{query(path=str(picture.get('path', '')))}",
        row=str(row),
        truth=str(truth),
        answer=str(answer),
        confidence=float(confidence) if isinstance(confidence, int | float) else 0.0,
    )
