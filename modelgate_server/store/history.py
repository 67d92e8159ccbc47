"""
A run's streams: history, system events and console. A line is stored under its number, so that the same request twice
is the same as once. Lines are kept as text: they may hold NaN and Infinity, which JSON does not know.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from modelgate_server.errors import Invalid
from modelgate_server.store.db import update
from modelgate_server.store.documents import json_object

# More lines or steps than any run has; SQLite could not hold a number of arbitrary length.
MAX_NUMBER = 10**15
# Rows that are parsed together: many at once are faster, all at once would take much memory.
AT_ONCE = 1000
# The SDK's own names for the streams.
HISTORY, EVENTS, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
# The tables of those that have numbered lines.
TABLES = {"history": HISTORY, "events": EVENTS, "console": CONSOLE}
Item = TypeVar("Item")


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
    # The plus keeps SQLite from reading a whole run in the order of its lines to find the few of a page.
    order = "line" if max_step is None else "+line"
    sql = f"SELECT data {_WITHIN} ORDER BY {order}"
    return [row[0] for row in db.execute(sql, (run_id, min_step, max_step))]


# A bound that may be missing, in a form that an index can follow.
_WITHIN = f"FROM history WHERE run_id = ?1 AND step >= ?2 AND step < coalesce(?3, {2 * MAX_NUMBER})"


def first_step(db: sqlite3.Connection, run_id: int) -> int | None:
    """None for a run without history."""
    step: int | None = db.execute("SELECT min(step) FROM history WHERE run_id = ?", (run_id,)).fetchone()[0]
    return step


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
    if abs(last_step) > MAX_NUMBER:
        raise Invalid(f"a history has no step {last_step}")
    db.execute("DELETE FROM history WHERE run_id = ? AND step > ?", (run_id, last_step))


def sample(items: Sequence[Item], wanted: int | None) -> list[Item]:
    """At most so many, evenly spread, the first and the last among them."""
    if not wanted or wanted <= 0 or len(items) <= wanted:
        return list(items)
    if wanted == 1:
        return [items[-1]]
    stride = (len(items) - 1) / (wanted - 1)
    return [items[round(i * stride)] for i in range(wanted)]


def sampled(db: sqlite3.Connection, run_id: int, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that have all of the spec's keys, with only those; both ends of the steps are included."""
    keys = spec.get("keys") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Invalid('"keys" of a history spec must be a list of strings')
    first, last, wanted = (_number_in(spec, name) for name in ("minStep", "maxStep", "samples"))
    within = (run_id, first or 0, None if last is None else last + 1)
    if wanted:
        # A long history is not read for a few hundred points, if those that are picked turn out to have the keys.
        for candidates in (_every_line, _lines_that_mention):
            numbers = candidates(db, within, keys)
            if numbers is not None:
                rows = [json.loads(_line(db, run_id, number)) for number in sample(numbers, wanted)]
                picked = [values for row in rows if (values := _values(row, keys)) is not None]
                if len(picked) == len(rows):
                    return picked
    found = lines(db, run_id, min_step=within[1], max_step=within[2])
    return sample([values for line in found if (values := _values(json.loads(line), keys)) is not None], wanted)


Within = tuple[int, int, int | None]
# The end of a key that stands for itself in the JSON that the SDK writes.
_PLAIN = re.compile(r"[\w :-]+\Z", re.ASCII)


def _every_line(db: sqlite3.Connection, within: Within, keys: list[str]) -> Sequence[int] | None:
    """The numbers of the lines between these steps; None when they have gaps."""
    first, last, count = db.execute(f"SELECT min(line), max(line), count(*) {_WITHIN}", within).fetchone()
    return range(first, last + 1) if count and last - first + 1 == count else None


def _lines_that_mention(db: sqlite3.Connection, within: Within, keys: list[str]) -> Sequence[int] | None:
    """The numbers of the lines in whose text the end of every key stands; None when a key has no plain end."""
    ends = [_PLAIN.search(key) for key in keys]
    words = [f'{end[0]}"' for end in ends if end]
    if len(words) < len(keys):
        return None
    mentions = "".join(f" AND instr(data, ?{number})" for number in range(4, 4 + len(words)))
    return [line for (line,) in db.execute(f"SELECT line {_WITHIN}{mentions} ORDER BY line", (*within, *words))]


def _line(db: sqlite3.Connection, run_id: int, number: int) -> str:
    return str(db.execute("SELECT data FROM history WHERE run_id = ? AND line = ?", (run_id, number)).fetchone()[0])


def _values(row: dict[str, Any], keys: list[str]) -> dict[str, Any] | None:
    """The values of these keys, of all keys for none; None when one is missing."""
    values = {key: _find(row, key) for key in keys} if keys else row
    return None if any(value is _MISSING for value in values.values()) else values


def _number_in(spec: dict[str, Any], name: str) -> int | None:
    value = spec.get(name)
    if value is not None and (not isinstance(value, int) or abs(value) > MAX_NUMBER):
        raise Invalid(f'"{name}" of a history spec must be a whole number')
    return value


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
    found: dict[str, _Logged] = {}
    last_step = -1
    logged = lines(db, run_id)
    for start in range(0, len(logged), AT_ONCE):
        for row in json.loads(f"[{','.join(logged[start : start + AT_ONCE])}]"):
            last_step = max(last_step, row.get("_step", last_step))
            for key, value in _flat(row):
                if key not in found:
                    found[key] = _Logged()
                found[key].add(value)
    return {"sets": [], "lastStep": last_step, "keys": {key: one.shape() for key, one in found.items()}}


class _Logged:
    """What is known of one key after some rows."""

    __slots__ = ("_counts", "_last", "_monotonic")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._monotonic = True
        self._last: Any = None

    def add(self, value: Any) -> None:
        kind = _type(value)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._monotonic = self._monotonic and _not_below(value, self._last)
        self._last = value

    def shape(self) -> dict[str, Any]:
        counts = [{"type": kind, "count": number} for kind, number in self._counts.items()]
        return {"typeCounts": counts, "monotonic": self._monotonic, "previousValue": self._last}


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
    return _TYPES.get(type(value), "unknown")


_TYPES = {int: "number", float: "number", str: "string", list: "list", bool: "boolean", type(None): "nil"}
