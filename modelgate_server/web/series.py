"""Serve the points of interactive charts as JSON for charts.js: columns of numbers, with a value for each row, or
null.
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import Invalid
from modelgate_server.store import history
from modelgate_server.store.history import MAX_NUMBER
from modelgate_server.store.runs import Run
from modelgate_server.web import charts, filters
from modelgate_server.web.access import HEADERS, Visit

# Points of one run; more points than the pixels of a wide screen are useless. Zooming in requests the visible part
# again.
MAX_ROWS = 1_000
# Values in an answer: some 150 kB of JSON.
MAX_CELLS = 12_000
# W&B's own keys: steps, seconds since the start, seconds since 1970.
STEP, RUNTIME, TIMESTAMP = "_step", "_runtime", "_timestamp"


def answer(visit: Visit, chosen: list[Run], *, system: bool = False) -> Response:
    """{"charts": [[key, axis]], "axes": [...], "runs": [{"name", "label", "state", "rows", "columns"}]}"""
    first, last = _read_step(visit, "from"), _read_step(visit, "to")
    charted: dict[str, str] = {}
    runs = []
    for run in chosen:
        rows = (
            read_system_rows(visit, run)
            if system
            else read_metric_rows(visit, run, MAX_ROWS, len(chosen), first or 0, last)
        )
        axes = {"*": RUNTIME} if system else charts.read_axes(filters.parse_object(run.config))
        least = 1 if system or run.state == "running" or len(chosen) > 1 else 2
        keys = list_metric_keys(rows, set(axes.values()), least)
        charted |= {key: charts.find_axis(key, axes) for key in keys if key not in charted}
        wanted = list(dict.fromkeys([STEP, RUNTIME, TIMESTAMP, *axes.values(), *keys]))
        runs.append(
            {
                "name": run.name,
                "label": run.display_name,
                "state": run.state,
                "rows": history.count(visit.db, run.id),
                "columns": build_columns(rows, wanted, MAX_CELLS // max(len(chosen), 1)),
            }
        )
    axes_used = list(dict.fromkeys([*charted.values(), STEP, RUNTIME, TIMESTAMP]))
    # A NaN becomes null here, because it cannot be drawn.
    body = {"charts": list(charted.items())[: charts.MAX_CHARTS], "axes": axes_used, "runs": runs}
    text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    return Response(text, media_type="application/json", headers=HEADERS)


def read_metric_rows(
    visit: Visit, run: Run, most: int = MAX_ROWS, runs: int = 1, first: int = 0, last: int | None = None
) -> list[dict[str, Any]]:
    """Return what a run logged between two steps: all of it, or rows sampled from it."""
    keys = sorted(filters.select_numbers(filters.parse_object(run.summary)))
    wanted = min(most, max(MAX_CELLS // max(len(keys) + 3, 1) // runs, 50))
    return history.sample_rows_between(visit.db, run.id, wanted, keys, first, last)


def read_system_rows(visit: Visit, run: Run, most: int = 300) -> list[dict[str, Any]]:
    """Return the SDK's measurements of the machine: processor, memory, network, disk."""
    return [row for row in map(filters.parse_object, history.sample_events(visit.db, run.id, most)) if row]


def list_metric_keys(rows: Iterable[dict[str, Any]], steps: set[str], least: int) -> list[str]:
    """Return the keys with at least `least` numbers, without those that others are drawn over."""
    counts = Counter(key for row in rows for key in filters.select_numbers(row))
    return sorted(key for key, count in counts.items() if count >= least and key not in steps)[: charts.MAX_KEYS]


def build_columns(rows: list[dict[str, Any]], wanted: list[str], cells: int) -> dict[str, list[float | None]]:
    """Return the columns. Columns without any number are left out, and rows if there would be too many cells."""
    kept = history.sample(rows, max(cells // max(len(wanted), 1), 2))
    flat = [filters.select_numbers(row) | {key: row.get(key) for key in (STEP, RUNTIME, TIMESTAMP)} for row in kept]
    made = {key: [_keep_finite(row.get(key)) for row in flat] for key in wanted}
    return {key: values for key, values in made.items() if any(value is not None for value in values)}


def _keep_finite(value: Any) -> float | None:
    return value if filters.is_finite(value) else None


def _read_step(visit: Visit, name: str) -> int | None:
    text = visit.read_query(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAX_NUMBER)):
        raise Invalid(f'"{name}" must be a step')
    return min(int(text), MAX_NUMBER)
