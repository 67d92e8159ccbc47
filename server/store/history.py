"""
A run's streams: history, system events and console. A line is stored under its number, so that the same request twice
is the same as once. Lines are kept as text: they may hold NaN and Infinity, which JSON does not know.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from server.errors import Invalid
from server.store.db import update
from server.store.documents import json_object

# More lines or steps than any run has; SQLite could not hold a number of arbitrary length.
MAX_NUMBER = 10**15
# The SDK's own names for the streams.
HISTORY, EVENTS, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
# The tables of those that have numbered lines.
TABLES = {"history": HISTORY, "events": EVENTS, "console": CONSOLE}


def append(db: sqlite3.Connection, run_id: int, stream: str, offset: int, lines: list[str]) -> None:
    """Write `lines[i]` as line `offset + i`. Raises Invalid for a stream or a line that is none."""
    if not 0 <= offset <= MAX_NUMBER:
        raise Invalid(f"stream {stream} has no line {offset}")
    if stream == HISTORY:
        _append_history(db, run_id, offset, lines)
    elif stream == EVENTS:
        db.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?)", _numbered(run_id, offset, lines))
    elif stream == CONSOLE:
        db.executemany("INSERT OR REPLACE INTO console VALUES (?, ?, ?)", _numbered(run_id, offset, lines))
    elif stream == SUMMARY:
        if lines:
            json_object(lines[-1], "the summary")
            update(db, "runs", run_id, summary=lines[-1])
    else:
        raise Invalid(f'"{stream[:80]}" is not a stream of a run')


def _numbered(run_id: int, offset: int, lines: list[str]) -> Iterable[tuple[int, int, str]]:
    return ((run_id, offset + i, line) for i, line in enumerate(lines))


def _append_history(db: sqlite3.Connection, run_id: int, offset: int, lines: list[str]) -> None:
    rows = []
    for i, line in enumerate(lines):
        step = json_object(line, "a line of history").get("_step", offset + i)
        if not isinstance(step, int) or abs(step) > MAX_NUMBER:
            raise Invalid(f"line {offset + i} of the history has the step {step!r}, which is no step")
        rows.append((run_id, offset + i, step, line))
    db.executemany("INSERT OR REPLACE INTO history VALUES (?, ?, ?, ?)", rows)


def count(db: sqlite3.Connection, run_id: int) -> int:
    """Lines of history: where a resumed run goes on."""
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM history WHERE run_id = ?", run_id)


def event_count(db: sqlite3.Connection, run_id: int) -> int:
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM events WHERE run_id = ?", run_id)


def console_count(db: sqlite3.Connection, run_id: int) -> int:
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM console WHERE run_id = ?", run_id)


def _count(db: sqlite3.Connection, sql: str, run_id: int) -> int:
    return int(db.execute(sql, (run_id,)).fetchone()[0])


def lines(db: sqlite3.Connection, run_id: int, *, min_step: int = 0, max_step: int | None = None) -> list[str]:
    """History as it was logged, `min_step <= _step < max_step`."""
    return [
        row[0]
        for row in db.execute(
            "SELECT data FROM history WHERE run_id = ?1 AND step >= ?2 AND (?3 IS NULL OR step < ?3) ORDER BY line",
            (run_id, min_step, max_step),
        )
    ]


def rows(db: sqlite3.Connection, run_id: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(db, run_id)]


def last_line(db: sqlite3.Connection, run_id: int) -> str | None:
    row = db.execute("SELECT data FROM history WHERE run_id = ? ORDER BY line DESC LIMIT 1", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def events(db: sqlite3.Connection, run_id: int) -> list[str]:
    return [row[0] for row in db.execute("SELECT data FROM events WHERE run_id = ? ORDER BY line", (run_id,))]


def last_event(db: sqlite3.Connection, run_id: int) -> str | None:
    row = db.execute("SELECT data FROM events WHERE run_id = ? ORDER BY line DESC LIMIT 1", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def console(db: sqlite3.Connection, run_id: int) -> list[tuple[int, str]]:
    """(number, line), in order; a number may be missing."""
    return db.execute("SELECT line, data FROM console WHERE run_id = ? ORDER BY line", (run_id,)).fetchall()


def numbered(db: sqlite3.Connection, run_id: int, table: str) -> Iterator[tuple[int, str]]:
    """(number, line) of a stream, by its table's name; not all in memory at once."""
    if table not in TABLES:
        raise LookupError(table)
    yield from db.execute(f"SELECT line, data FROM {table} WHERE run_id = ? ORDER BY line", (run_id,))  # noqa: S608


def rewind(db: sqlite3.Connection, run_id: int, last_step: int) -> None:
    """Forget what was logged after a step."""
    db.execute("DELETE FROM history WHERE run_id = ? AND step > ?", (run_id, last_step))


def sample(lines: list[str], samples: int | None) -> list[str]:
    """At most so many lines, evenly spread, the first and the last among them."""
    if samples is None or samples <= 0 or len(lines) <= samples:
        return lines
    if samples == 1:
        return lines[-1:]
    stride = (len(lines) - 1) / (samples - 1)
    return [lines[round(i * stride)] for i in range(samples)]


def sampled(db: sqlite3.Connection, run_id: int, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that have all of the spec's keys, with only those; both ends of the steps are included."""
    keys = [str(key) for key in spec.get("keys") or []]
    last = spec.get("maxStep")
    found = lines(db, run_id, min_step=spec.get("minStep") or 0, max_step=None if last is None else last + 1)
    picked = []
    for line in found:
        row = json.loads(line)
        values = {key: _find(row, key) for key in keys} if keys else row
        if not any(value is _MISSING for value in values.values()):
            picked.append(values)
    wanted = spec.get("samples")
    if not wanted or len(picked) <= wanted:
        return picked
    return [picked[i] for i in sorted({round(n * (len(picked) - 1) / max(wanted - 1, 1)) for n in range(wanted)})]


_MISSING = object()


def lookup(tree: dict[str, Any], key: str) -> Any:
    """A value by its key or dotted path, None when it is not there."""
    value = _find(tree, key)
    return None if value is _MISSING else value


def _find(row: dict[str, Any], key: str) -> Any:
    """A value by its key, or by a dotted path into nested objects."""
    if key in row:
        return row[key]
    value: Any = row
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def keys(db: sqlite3.Connection, run_id: int) -> dict[str, Any]:
    """Which keys were logged, how often and as what, and the last step; in the words that the SDK reads."""
    types: dict[str, Counter[str]] = {}
    last: dict[str, Any] = {}
    monotonic: dict[str, bool] = {}
    last_step = -1
    for line in lines(db, run_id):
        row = json.loads(line)
        last_step = max(last_step, row.get("_step", last_step))
        for key, value in _flat(row):
            types.setdefault(key, Counter())[_type(value)] += 1
            monotonic[key] = monotonic.get(key, True) and _not_below(value, last.get(key))
            last[key] = value
    return {
        "sets": [],
        "lastStep": last_step,
        "keys": {
            key: {
                "typeCounts": [{"type": kind, "count": number} for kind, number in counts.items()],
                "monotonic": monotonic[key],
                "previousValue": last[key],
            }
            for key, counts in types.items()
        },
    }


def _flat(row: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and value and "_type" not in value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _not_below(value: Any, before: Any) -> bool:
    if not isinstance(value, int | float):
        return False
    return not isinstance(before, int | float) or value >= before


def _type(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("_type", "map"))
    if isinstance(value, bool) or value is None:
        return "boolean" if value is not None else "nil"
    names = {int: "number", float: "number", str: "string", list: "list"}
    return names.get(type(value), "unknown")
