"""
Show a W&B Table as rows of cells. https://github.com/wandb/wandb `sdk/data_types/table.py` writes the JSON.

A file is read once, one row at a time, to find where each row begins. After that, a page reads only its own rows. A
blob never changes, so this index stays correct, and the server keeps it for the most recent tables.

Arrays are not in the JSON but in a file next to it: their cells only say what they are.
"""

import json
import mmap
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

from modelgate_server.errors import Invalid
from modelgate_server.keyed_locks import KeyedLocks
from modelgate_server.settings import MIB
from modelgate_server.web import conditions, filters, json_stream

SUFFIX = ".table.json"
ROWS_A_PAGE = 50
# 60,000 rows with an image each are about 15 MB.
MAX_TABLE_BYTES = 64 * MIB
MAX_CELL_CHARS = 300
# The height at which small pictures are shown, so that you see what they are.
SMALL_PICTURE_PX = 64
# Row numbers and places of rows that are kept in memory for all tables: 8 bytes each.
MAX_KEPT = 2_000_000
# Rows that are decoded at once; after each batch, the deadline is checked.
ROWS_A_PIECE = 500
NO_TABLE = "the file is named like a table, but is not one: download it to see what it is"

PictureUrl = Callable[[str], str]
Check = Callable[[], None]


@dataclass(frozen=True)
class Question:
    """What to show of a table: `sort` is a column's name, with a minus before it for descending order."""

    page: int = 1
    size: int = ROWS_A_PAGE
    filter: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Cell:
    """`kind` is text, number, picture or empty; `pixelated` means a picture so small that it is enlarged."""

    kind: str
    text: str = ""
    url: str = ""
    pixelated: bool = False


@dataclass(frozen=True)
class Table:
    """
    One page: `numbers` are the numbers of its rows in the file, `count` is how many rows match the filter, `total` how
    many there are.
    """

    columns: list[str]
    rows: list[list[Cell]]
    numbers: list[int]
    first: int
    count: int
    total: int
    question: Question


@dataclass
class Index:
    """Where the rows of a file begin and end, and the sort orders that were requested."""

    path: Path
    columns: list[str]
    arrays: dict[str, str]
    starts: "array[int]"
    ends: "array[int]"
    orders: "dict[tuple[str, str], array[int]]" = field(default_factory=dict)

    def read_rows(self, numbers: Iterable[int]) -> Iterator[list[Any]]:
        """Yield these rows. Raise Invalid for a row that is not JSON."""
        with self.path.open("rb") as file:
            for number in numbers:
                yield _decode(_read_between(file, self.starts[number], self.ends[number]))

    def read_pieces(self, check: "Check") -> Iterator[tuple[int, list[list[Any]]]]:
        """
        Yield all rows in batches, with the number of the first one: decoding a batch at once takes a third of the time.
        """
        with self.path.open("rb") as file:
            for first in range(0, len(self.starts), ROWS_A_PIECE):
                check()
                last = min(first + ROWS_A_PIECE, len(self.starts)) - 1
                rows = _decode(b"[" + _read_between(file, self.starts[first], self.ends[last]) + b"]")
                if len(rows) != last - first + 1:
                    raise Invalid(NO_TABLE)
                yield first, rows

    def hash_rows(self) -> list[int]:
        """
        Return a hash of each row as it is written in the file. Python keys the hashes with a secret of this process, so
        no one can make two rows with the same hash.
        """
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return list(map(hash, map(data.__getitem__, map(slice, self.starts, self.ends))))

    @property
    def weight(self) -> int:
        return 2 * len(self.starts) + sum(map(len, self.orders.values()))


def _read_between(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _decode(text: bytes) -> list[Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid(NO_TABLE) from None
    return value if isinstance(value, list) else []


_indexes: dict[Path, Index] = {}
_lock = threading.Lock()
_building = KeyedLocks()


def load_index(path: Path, check: Check) -> Index:
    """
    Return the index of a table. Raise Invalid for a file that is not a table. If several requests need the same index,
    one of them builds it and the others wait.
    """
    with _building.hold(path, check):
        made = _get_kept(path) or _build_index(path, check)
        _keep(made)
        return made


def _get_kept(path: Path) -> Index | None:
    with _lock:
        return _indexes.pop(path, None)


def _keep(made: Index) -> None:
    with _lock:
        _indexes[made.path] = made  # the last one to be dropped
        while sum(index.weight for index in _indexes.values()) > MAX_KEPT:
            del _indexes[next(iter(_indexes))]


def _build_index(path: Path, check: Check) -> Index:
    starts, ends = array("Q"), array("Q")
    is_list = False

    def take(began: list[int], ended: list[int]) -> None:
        nonlocal is_list
        is_list = True
        check()
        starts.extend(began)
        ends.extend(ended)

    try:
        # With this encoding, each byte is one character, so their positions are the same; rows are read again when they
        # are shown.
        with path.open(encoding="ascii", errors="surrogateescape", newline="") as file:
            members = json_stream.Document(file).read_members("data", take)
        arrays = _describe_arrays(members)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Invalid(NO_TABLE) from None
    columns = members.get("columns")
    if not isinstance(columns, list) or not is_list:
        raise Invalid("the table has no columns or no rows: download it to see what it is")
    names = [filters.format_value(_decode_utf8(name)) for name in columns]
    return Index(path, names, {_decode_utf8(name): text for name, text in arrays.items()}, starts, ends)


def _decode_utf8(text: Any) -> Any:
    """Decode a text that was read one byte per character."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return text


def read(path: Path, question: Question, picture_url: PictureUrl, check: Check) -> Table:
    """
    Return a page of the table. Raise Invalid if it is not a table or the question cannot be understood. `picture_url`
    converts a media path to an address; `check` is called regularly, and may stop this.
    """
    index = load_index(path, check)
    numbers = _order_rows(index, question, check)
    last_page = max(len(numbers) - 1, 0) // question.size
    first = min(question.page - 1, last_page) * question.size
    shown = list(numbers[first : first + question.size])
    rows = [_build_cells(index, row, picture_url) for row in index.read_rows(shown)]
    return Table(index.columns, rows, shown, first, len(numbers), len(index.starts), question)


def find_differing(old: Index, new: Index) -> tuple[list[int], list[int]]:
    """
    Return the numbers of the rows that only one of two tables has. A row that occurs twice must occur twice in both.
    """
    before, after = old.hash_rows(), new.hash_rows()
    more = Counter(before)
    more.subtract(after)
    missing = {row: count for row, count in more.items() if count > 0}
    fresh = {row: -count for row, count in more.items() if count < 0}
    return _find_last(before, missing), _find_last(after, fresh)


def _find_last(rows: list[int], counts: dict[int, int]) -> list[int]:
    """Return the numbers of the last occurrences of these rows, as many of each as `counts` says."""
    numbers = []
    for number in reversed([number for number, row in enumerate(rows) if row in counts]):
        if counts[rows[number]]:
            counts[rows[number]] -= 1
            numbers.append(number)
    return numbers[::-1]


def select_rows(index: Index, numbers: list[int], limit: int, picture_url: PictureUrl) -> Table:
    """Return the first of these rows as a table."""
    rows = [_build_cells(index, row, picture_url) for row in index.read_rows(numbers[:limit])]
    return Table(index.columns, rows, numbers[:limit], 0, len(numbers), len(index.starts), Question())


def read_rows(path: Path, limit: int, check: Check) -> tuple[list[str], list[list[Any]]] | str:
    """Return the columns and the first rows as values, or in words why there are none."""
    try:
        index = load_index(path, check)
        return index.columns, list(index.read_rows(range(min(limit, len(index.starts)))))
    except Invalid as error:
        return str(error)


def _order_rows(index: Index, question: Question, check: Check) -> "range | array[int]":
    if not question.filter.strip() and not question.sort:
        return range(len(index.starts))
    key = question.filter, question.sort
    with _building.hold((index.path, *key), check):
        if key not in index.orders:
            made = array("L", _select_numbers(index, question, check))
            with _lock:
                index.orders[key] = made
            _keep(index)
        return index.orders[key]


def _select_numbers(index: Index, question: Question, check: Check) -> list[int]:
    """Return the numbers of the rows that match the filter, in the requested order."""
    wanted = conditions.parse(question.filter)
    places = {name: place for place, name in reversed(list(enumerate(index.columns)))}
    name, descending = question.sort.removeprefix("-"), question.sort.startswith("-")
    for known in [*(condition.name for condition in wanted.conditions), *([name] if name else [])]:
        if known not in places:
            raise Invalid(f'the table has no column "{known}" (it has: {", ".join(index.columns[:20])})')
    tests = [(places[known], test) for known, test in wanted.tests]
    chosen: list[tuple[int, Any]] = []
    for first, rows in index.read_pieces(check):
        kept = list(enumerate(rows, first))
        for place, test in tests:
            kept = [(number, row) for number, row in kept if test(_get_cell(row, place))]
        if wanted.texts:
            kept = [(number, row) for number, row in kept if wanted.has_texts(partial(filters.format_value, row))]
        chosen += [(number, _get_cell(row, places[name]) if name else None) for number, row in kept]
    if name:
        chosen = conditions.arrange(chosen, itemgetter(1), descending=descending)
    return [number for number, _ in chosen]


def _get_cell(row: list[Any], place: int) -> Any:
    return row[place] if place < len(row) else None


def _describe_arrays(document: dict[str, Any]) -> dict[str, str]:
    """Map each column that is stored next to the table to a text like "array 28 x 28 x 1"."""
    types = document.get("column_types", {}).get("params", {}).get("type_map", {})
    return {
        name: "array " + " x ".join(str(length) for length in kind.get("params", {}).get("shape", []))
        for name, kind in types.items()
        if kind.get("wb_type") == "ndarray"
    }


def _build_cells(index: Index, row: list[Any], picture_url: PictureUrl) -> list[Cell]:
    """Return the cells of a row. There may be fewer than there are columns."""
    named = zip(index.columns, row, strict=False)
    return [_build_cell(value, index.arrays.get(name, ""), picture_url) for name, value in named]


def _build_cell(value: Any, array_text: str, picture_url: PictureUrl) -> Cell:
    if value is None:
        return Cell("empty", array_text or "-")
    if filters.is_number(value):
        return Cell("number", filters.format_number(value))
    if isinstance(value, dict) and value.get("_type") == "image-file" and isinstance(value.get("path"), str):
        height = value.get("height")
        small = isinstance(height, int) and height <= SMALL_PICTURE_PX
        return Cell("picture", url=picture_url(value["path"]), pixelated=small)
    text = filters.format_value(value)
    return Cell("text", text if len(text) <= MAX_CELL_CHARS else text[:MAX_CELL_CHARS] + "…")
