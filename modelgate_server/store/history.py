"""
Store a run's streams: history, system events and console. A line is stored under its number, so a repeated request has
no effect. Lines are stored as text, because they may contain NaN and Infinity, which JSON does not have.
"""

import itertools
import json
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from modelgate_server.errors import Invalid
from modelgate_server.store.db import update
from modelgate_server.store.documents import parse_object

# More lines or steps than any run has; SQLite could not hold a number of arbitrary length.
MAX_NUMBER = 10**15
# Rows that are copied in one transaction, which blocks all other writers.
MAX_FORKED_ROWS = 200_000
# Rows that are parsed together: many at once are faster, but all at once would take too much memory.
AT_ONCE = 1000
# The SDK's own names for the streams.
HISTORY, EVENTS, SUMMARY, CONSOLE = "wandb-history.jsonl", "wandb-events.jsonl", "wandb-summary.json", "output.log"
# The tables of the streams with numbered lines.
TABLES = {"history": HISTORY, "events": EVENTS, "console": CONSOLE}
Item = TypeVar("Item")


@dataclass(frozen=True)
class Chunk:
    """Checked lines of one stream: `lines[i]` is line `offset + i`; in the history, `steps[i]` is its step."""

    stream: str
    offset: int
    lines: list[str]
    steps: list[int]

    def split(self, size: int) -> "Iterator[Chunk]":
        """Yield the same lines in smaller chunks."""
        for start in range(0, len(self.lines), size):
            stop = start + size
            yield Chunk(self.stream, self.offset + start, self.lines[start:stop], self.steps[start:stop])


def check_chunk(stream: str, offset: int, lines: list[str], *, lowest: int = 0) -> Chunk:
    """Return checked lines. Raise Invalid for a malformed stream or line. This needs no database."""
    if not lowest <= offset <= MAX_NUMBER:
        raise Invalid(f"stream {stream} has no line {offset}")
    if stream not in (HISTORY, EVENTS, CONSOLE, SUMMARY):
        raise Invalid(f'"{stream[:80]}" is not a stream of a run')
    if stream == SUMMARY and lines:
        parse_object(lines[-1], "the summary")
    steps = [_read_step(offset + i, line) for i, line in enumerate(lines)] if stream == HISTORY else []
    return Chunk(stream, offset, lines, steps)


def _read_step(number: int, line: str) -> int:
    step = parse_object(line, "a line of history").get("_step", number)
    if not isinstance(step, int) or abs(step) > MAX_NUMBER:
        raise Invalid(f"line {number} of the history has the step {step!r}, which is not a valid step")
    return step


def append(db: sqlite3.Connection, run_id: int, stream: str, offset: int, lines: list[str], *, lowest: int = 0) -> None:
    """Write `lines[i]` as line `offset + i`. Raise Invalid for a malformed stream or line."""
    write(db, run_id, check_chunk(stream, offset, lines, lowest=lowest))


def write(db: sqlite3.Connection, run_id: int, chunk: Chunk, writer: str | None = None) -> None:
    """
    Write the lines. Writing them again changes nothing. `writer` is one of several processes that log to the run at
    once: its lines are added at the end and get new steps, because two rows with the same step would look like a single
    row; its summary is merged into the existing one.
    """
    if chunk.stream == SUMMARY:
        if chunk.lines:
            _write_summary(db, run_id, chunk.lines[-1], laid_over=writer is not None)
        return
    numbers = list(range(chunk.offset, chunk.offset + len(chunk.lines)))
    if writer is not None:
        numbers = _assign_shared_lines(db, run_id, writer, chunk.stream, numbers)
        if chunk.stream == HISTORY:
            rows = zip(numbers, chunk.lines, strict=True)
            stepped = [json.dumps({**json.loads(line), "_step": number}) for number, line in rows]
            chunk = replace(chunk, lines=stepped, steps=numbers)
    table = next(table for table, stream in TABLES.items() if stream == chunk.stream)
    columns = (numbers, chunk.steps, chunk.lines) if chunk.stream == HISTORY else (numbers, chunk.lines)
    marks = ", ".join("?" * (1 + len(columns)))
    given = ((run_id, *row) for row in zip(*columns, strict=True))
    db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", given)  # noqa: S608  a name of our own


def _write_summary(db: sqlite3.Connection, run_id: int, text: str, *, laid_over: bool) -> None:
    if laid_over:
        row = db.execute("SELECT summary FROM runs WHERE id = ?", (run_id,)).fetchone()
        text = json.dumps({**json.loads(row[0] if row else "{}"), **json.loads(text)})
    update(db, "runs", run_id, summary=text)


def _assign_shared_lines(
    db: sqlite3.Connection, run_id: int, writer: str, stream: str, numbers: list[int]
) -> list[int]:
    """Return the stream's line numbers for those of one writer, assigned now if they are new."""
    if not numbers:
        return []
    where = "WHERE run_id = ? AND writer = ? AND stream = ? AND number BETWEEN ? AND ?"
    mine = (run_id, writer, stream, numbers[0], numbers[-1])
    known = dict(db.execute(f"SELECT number, line FROM shared_lines {where}", mine))  # noqa: S608  our own text
    counts = {HISTORY: count, EVENTS: count_events, CONSOLE: count_console}
    fresh = itertools.count(counts[stream](db, run_id))
    given = {number: next(fresh) for number in numbers if number not in known}
    rows = [(run_id, writer, stream, number, line) for number, line in given.items()]
    db.executemany("INSERT INTO shared_lines VALUES (?, ?, ?, ?, ?)", rows)
    return [known.get(number, given.get(number, 0)) for number in numbers]


def fork(db: sqlite3.Connection, source_id: int, run_id: int, last_step: int) -> None:
    """
    Begin a run with what another run has logged up to a step. The new run counts its own lines from 0, so earlier lines
    have negative numbers.
    """
    within = "FROM history WHERE run_id = ? AND step <= ?"
    number = _count(db, f"SELECT count(*) {within}", source_id, last_step)
    if number > MAX_FORKED_ROWS:
        raise Invalid(f"a run can be forked behind at most {MAX_FORKED_ROWS} rows, these are {number}")
    sql = f"INSERT INTO history SELECT ?, row_number() OVER (ORDER BY line) - 1 - ?, step, data {within}"
    db.execute(sql, (run_id, number, source_id, last_step))


def count(db: sqlite3.Connection, run_id: int) -> int:
    """Count the lines of history: a resumed run continues after them."""
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM history WHERE run_id = ?", run_id)


def count_events(db: sqlite3.Connection, run_id: int) -> int:
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM events WHERE run_id = ?", run_id)


def count_console(db: sqlite3.Connection, run_id: int) -> int:
    return _count(db, "SELECT coalesce(max(line) + 1, 0) FROM console WHERE run_id = ?", run_id)


def _count(db: sqlite3.Connection, sql: str, *values: int) -> int:
    return int(db.execute(sql, values).fetchone()[0])


def read_lines(db: sqlite3.Connection, run_id: int, *, min_step: int = 0, max_step: int | None = None) -> list[str]:
    """Return the history as it was logged, with `min_step <= _step < max_step`."""
    # Without the plus, SQLite would read a whole run in the order of its lines to find the few of a page.
    order = "line" if max_step is None else "+line"
    sql = f"SELECT data {_WITHIN} ORDER BY {order}"
    return [row[0] for row in db.execute(sql, (run_id, min_step, max_step))]


# The upper bound may be missing; in this form, SQLite can use an index for it.
_WITHIN = f"FROM history WHERE run_id = ?1 AND step >= ?2 AND step < coalesce(?3, {2 * MAX_NUMBER})"


def find_first_step(db: sqlite3.Connection, run_id: int) -> int | None:
    """Return the first step, None for a run without history."""
    step: int | None = db.execute("SELECT min(step) FROM history WHERE run_id = ?", (run_id,)).fetchone()[0]
    return step


def read_rows(db: sqlite3.Connection, run_id: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_lines(db, run_id)]


def sample_rows(db: sqlite3.Connection, run_id: int, wanted: int) -> Iterator[dict[str, Any]]:
    """
    Yield at most `wanted` rows, evenly spread, including the first and the last, so that only one is in memory at a
    time.
    """
    numbers = [line for (line,) in db.execute("SELECT line FROM history WHERE run_id = ? ORDER BY line", (run_id,))]
    for line in sample(numbers, wanted):
        yield json.loads(_read_line(db, run_id, line))


def sample_rows_between(
    db: sqlite3.Connection, run_id: int, wanted: int, keys: Sequence[str], first: int = 0, last: int | None = None
) -> list[dict[str, Any]]:
    """
    Return at most `wanted` rows, evenly spread, with `first <= _step < last`. For a key that most of them lack, because
    it is logged rarely, the same number of rows is added, for at most MAX_RARE keys.
    """
    within = (run_id, first, last)
    numbers = _find_range(db, within, []) or _list_lines(db, within)
    picked = {line: json.loads(_read_line(db, run_id, line)) for line in sample(numbers, wanted)}
    if len(picked) < len(numbers):
        for key in _find_rare(picked.values(), keys):
            mentioned = _find_mentions(db, within, [key])
            for line in sample(mentioned or [], wanted):
                picked.setdefault(line, json.loads(_read_line(db, run_id, line)))
    return [row for _, row in sorted(picked.items())]


# Each rare key takes a search of all lines; keys that are logged together take one search.
MAX_RARE = 8


def _find_rare(rows: Collection[dict[str, Any]], keys: Sequence[str]) -> Iterator[str]:
    """Yield the keys that most rows lack. After rows were added for one key, another key may no longer be rare."""
    left = MAX_RARE
    for key in keys:
        if left and sum(_find(row, key) is not _MISSING for row in rows) < min(len(rows) / 2, FEW_ROWS):
            left -= 1
            yield key


# This many points are enough to draw a line.
FEW_ROWS = 100


def find_last_line(db: sqlite3.Connection, run_id: int) -> str | None:
    row = db.execute("SELECT data FROM history WHERE run_id = ? ORDER BY line DESC LIMIT 1", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def read_events(db: sqlite3.Connection, run_id: int) -> list[str]:
    return [row[0] for row in db.execute("SELECT data FROM events WHERE run_id = ? ORDER BY line", (run_id,))]


def sample_events(db: sqlite3.Connection, run_id: int, wanted: int) -> list[str]:
    """Return at most `wanted` events, evenly spread, including the first and the last. No other event is read."""
    sql = "SELECT data FROM events WHERE run_id = ? AND line = ?"
    every = range(count_events(db, run_id))
    read = (db.execute(sql, (run_id, line)).fetchone() for line in sample(every, wanted))
    return [row[0] for row in read if row]


def find_last_event(db: sqlite3.Connection, run_id: int) -> str | None:
    row = db.execute("SELECT data FROM events WHERE run_id = ? ORDER BY line DESC LIMIT 1", (run_id,)).fetchone()
    return None if row is None else str(row[0])


def read_console(db: sqlite3.Connection, run_id: int, *, first: int = 0) -> list[tuple[int, str]]:
    """Return (number, line) from the line `first` on, in order. Numbers may be missing."""
    sql = "SELECT line, data FROM console WHERE run_id = ? AND line >= ? ORDER BY line"
    return db.execute(sql, (run_id, first)).fetchall()


def read_numbered(db: sqlite3.Connection, run_id: int, table: str) -> Iterator[tuple[int, str]]:
    """Yield (number, line) of a stream, given its table's name, without all of them in memory at once."""
    if table not in TABLES:
        raise LookupError(table)
    yield from db.execute(f"SELECT line, data FROM {table} WHERE run_id = ? ORDER BY line", (run_id,))  # noqa: S608


def rewind(db: sqlite3.Connection, run_id: int, last_step: int) -> None:
    """Delete what was logged after a step."""
    if abs(last_step) > MAX_NUMBER:
        raise Invalid(f"a history has no step {last_step}")
    db.execute("DELETE FROM history WHERE run_id = ? AND step > ?", (run_id, last_step))


def sample(items: Sequence[Item], wanted: int | None) -> list[Item]:
    """Return at most `wanted` items, evenly spread, including the first and the last."""
    if not wanted or wanted <= 0 or len(items) <= wanted:
        return list(items)
    if wanted == 1:
        return [items[-1]]
    stride = (len(items) - 1) / (wanted - 1)
    return [items[round(i * stride)] for i in range(wanted)]


def sample_by_spec(db: sqlite3.Connection, run_id: int, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows that have all of the spec's keys, with only those keys. Both bounds of the steps are inclusive."""
    keys = spec.get("keys") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Invalid('"keys" of a history spec must be a list of strings')
    first, last, wanted = (_read_number(spec, name) for name in ("minStep", "maxStep", "samples"))
    within = (run_id, first or 0, None if last is None else last + 1)
    if wanted:
        # A long history is not read in full for a few hundred points if the sampled rows have all of the keys.
        for candidates in (_find_range, _find_mentions):
            numbers = candidates(db, within, keys)
            if numbers is not None:
                rows = [json.loads(_read_line(db, run_id, number)) for number in sample(numbers, wanted)]
                picked = [values for row in rows if (values := _select_values(row, keys)) is not None]
                if len(picked) == len(rows):
                    return picked
    logged = read_lines(db, run_id, min_step=within[1], max_step=within[2])
    return sample([values for line in logged if (values := _select_values(json.loads(line), keys)) is not None], wanted)


Within = tuple[int, int, int | None]
# Matches the end of a key that is unescaped in the SDK's JSON.
_PLAIN = re.compile(r"[\w :-]+\Z", re.ASCII)


def _find_range(db: sqlite3.Connection, within: Within, keys: list[str]) -> Sequence[int] | None:
    """Return the numbers of the lines between these steps, None if there are gaps."""
    first, last, count = db.execute(f"SELECT min(line), max(line), count(*) {_WITHIN}", within).fetchone()
    return range(first, last + 1) if count and last - first + 1 == count else None


def _list_lines(db: sqlite3.Connection, within: Within) -> Sequence[int]:
    return [line for (line,) in db.execute(f"SELECT line {_WITHIN} ORDER BY line", within)]


def _find_mentions(db: sqlite3.Connection, within: Within, keys: list[str]) -> Sequence[int] | None:
    """Return the numbers of the lines whose text contains the end of every key, None if a key has no such end."""
    ends = [_PLAIN.search(key) for key in keys]
    endings = [f'{end[0]}"' for end in ends if end]
    if len(endings) < len(keys):
        return None
    mentions = "".join(f" AND instr(data, ?{number})" for number in range(4, 4 + len(endings)))
    return [line for (line,) in db.execute(f"SELECT line {_WITHIN}{mentions} ORDER BY line", (*within, *endings))]


def _read_line(db: sqlite3.Connection, run_id: int, number: int) -> str:
    return str(db.execute("SELECT data FROM history WHERE run_id = ? AND line = ?", (run_id, number)).fetchone()[0])


def _select_values(row: dict[str, Any], keys: list[str]) -> dict[str, Any] | None:
    """Return the values of these keys, or of all keys if there are none. Return None if a key is missing."""
    values = {key: _find(row, key) for key in keys} if keys else row
    return None if any(value is _MISSING for value in values.values()) else values


def _read_number(spec: dict[str, Any], name: str) -> int | None:
    value = spec.get(name)
    if value is not None and (not isinstance(value, int) or abs(value) > MAX_NUMBER):
        raise Invalid(f'"{name}" of a history spec must be a whole number')
    return value


_MISSING = object()


def look_up(tree: dict[str, Any], key: str) -> Any:
    """Return a value by its key or dotted path, None if it is missing."""
    value = _find(tree, key)
    return None if value is _MISSING else value


def _find(row: dict[str, Any], key: str) -> Any:
    """Return a value by its key, or by a dotted path into nested objects."""
    if key in row:
        return row[key]
    value: Any = row
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def summarize_keys(db: sqlite3.Connection, run_id: int) -> dict[str, Any]:
    """
    Return which keys were logged, how often and with which types, and the last step, under the names that the SDK
    reads.
    """
    logged_keys: dict[str, _Logged] = {}
    last_step = -1
    logged = db.execute("SELECT data FROM history WHERE run_id = ? ORDER BY line", (run_id,))
    while some := logged.fetchmany(AT_ONCE):
        for row in json.loads(f"[{','.join(line for (line,) in some)}]"):
            last_step = max(last_step, row.get("_step", last_step))
            for key, value in _flatten(row):
                if key not in logged_keys:
                    logged_keys[key] = _Logged()
                logged_keys[key].add(value)
    return {"sets": [], "lastStep": last_step, "keys": {key: known.describe() for key, known in logged_keys.items()}}


class _Logged:
    """What is known about one key after some rows."""

    __slots__ = ("_counts", "_last", "_monotonic")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._monotonic = True
        self._last: Any = None

    def add(self, value: Any) -> None:
        kind = _name_type(value)
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._monotonic = self._monotonic and _is_not_below(value, self._last)
        self._last = value

    def describe(self) -> dict[str, Any]:
        counts = [{"type": kind, "count": number} for kind, number in self._counts.items()]
        return {"typeCounts": counts, "monotonic": self._monotonic, "previousValue": self._last}


def _flatten(row: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, dict) and value and "_type" not in value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _is_not_below(value: Any, before: Any) -> bool:
    if not isinstance(value, int | float):
        return False
    return not isinstance(before, int | float) or value >= before


def _name_type(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("_type", "map"))
    return _TYPES.get(type(value), "unknown")


_TYPES = {int: "number", float: "number", str: "string", list: "list", bool: "boolean", type(None): "nil"}
