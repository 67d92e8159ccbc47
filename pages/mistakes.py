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
        rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        every = [made for row in rows if (made := _mistake(row, evaluation))]
    except (ValueError, KeyError, TypeError, RecursionError):  # another table than evaluate's: nothing to show
        return [], 0
    every.sort(key=lambda mistake: -mistake.confidence)
    return every[:SHOWN], len(every)


def _mistake(row: dict[str, Any], evaluation: Version) -> Mistake | None:
    truth, answer, before = row["label"], row["answer"], row["production_answer"]
    picture = row["mistake"]
    if truth == answer or before not in (None, truth) or not isinstance(picture, dict):
        return None
    confidence = row["confidence"]
    return Mistake(
        url=f"{evaluation.below}/picture?{query(path=str(picture.get('path', '')))}",
        row=str(row["row"]),
        truth=str(truth),
        answer=str(answer),
        confidence=float(confidence) if isinstance(confidence, int | float) else 0.0,
    )
