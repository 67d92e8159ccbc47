"""
A W&B Table as rows of cells to show. https://github.com/wandb/wandb `sdk/data_types/table.py` writes the JSON.

A file is read once, a row at a time, to learn where each row begins; from then on a page reads its own rows alone. A
blob never changes, so what was learned of it stays right, and the server keeps it for the tables looked at last.

Arrays are not in the JSON but in a file next to it: their cells say only what they are.
"""

import hashlib
import json
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from modelgate_server.errors import Invalid
from modelgate_server.settings import MIB
from modelgate_server.web import conditions, streamed, words

SUFFIX = ".table.json"
ROWS_A_PAGE = 50
# 60,000 rows with an image each are about 15 MB.
MAX_TABLE_BYTES = 64 * MIB
MAX_CELL_CHARS = 300
# So many pixels high are small pictures shown, so that one sees what they are.
SMALL_PICTURE_PX = 64
# Row numbers and places of rows that are kept in memory, of all tables: 8 bytes each.
MAX_KEPT = 2_000_000
# How often it is asked whether to go on.
ROWS_A_CHECK = 500

PictureUrl = Callable[[str], str]
Check = Callable[[], None]


@dataclass(frozen=True)
class Question:
    """What of a table to show: `sort` is a column's name, with a minus before it for the largest first."""

    page: int = 1
    size: int = ROWS_A_PAGE
    filter: str = ""
    sort: str = ""


@dataclass(frozen=True)
class Cell:
    """`kind` is text, number, picture or empty; `pixelated` for a picture so small that it is enlarged."""

    kind: str
    text: str = ""
    url: str = ""
    pixelated: bool = False


@dataclass(frozen=True)
class Table:
    """
    One page: `numbers` are those of its rows in the file, `count` is how many rows the filter lets through, `total` how
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
    """Where the rows of a file begin and end, and the orders in which somebody wanted to see them."""

    path: Path
    columns: list[str]
    arrays: dict[str, str]
    starts: "array[int]"
    ends: "array[int]"
    orders: "dict[tuple[str, str], array[int]]" = field(default_factory=dict)

    def row(self, number: int) -> list[Any]:
        with self.path.open("rb") as file:
            return self._read(file, number)

    def rows(self, numbers: "Iterator[int] | list[int]") -> Iterator[list[Any]]:
        with self.path.open("rb") as file:
            for number in numbers:
                yield self._read(file, number)

    def _read(self, file: Any, number: int) -> list[Any]:
        file.seek(self.starts[number])
        value = json.loads(file.read(self.ends[number] - self.starts[number]))
        return value if isinstance(value, list) else []

    @property
    def weight(self) -> int:
        return 2 * len(self.starts) + sum(map(len, self.orders.values()))


_indexes: dict[Path, Index] = {}
_lock = threading.Lock()


def index(path: Path, check: Check) -> Index:
    """Raises Invalid for a file that is no table."""
    with _lock:
        kept = _indexes.pop(path, None)
        if kept is not None:
            _indexes[path] = kept  # the last to go
            return kept
    made = _indexed(path, check)
    _keep(made)
    return made


def _keep(made: Index) -> None:
    with _lock:
        _indexes[made.path] = made
        while sum(one.weight for one in _indexes.values()) > MAX_KEPT:
            del _indexes[next(iter(_indexes))]


def _indexed(path: Path, check: Check) -> Index:
    starts, ends = array("Q"), array("Q")
    is_list = False

    def take(rows: Iterator[Any]) -> None:
        nonlocal is_list
        is_list = True
        for row in rows:
            if not isinstance(row, list):
                raise TypeError("a row is no list")
            if len(starts) % ROWS_A_CHECK == 0:
                check()
            starts.append(document.started)
            ends.append(document.position)

    try:
        # So each byte is a character, and a character's place is the byte's; rows are read again when they are shown.
        with path.open(encoding="ascii", errors="surrogateescape", newline="") as file:
            document = streamed.Document(file)
            members = document.members("data", take)
        arrays = _arrays(members)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Invalid("the file is called a table but is not one: download it to see what it is") from None
    columns = members.get("columns")
    if not isinstance(columns, list) or not is_list:
        raise Invalid("the table has no columns or no rows: download it to see what it is")
    names = [words.text_of(_utf8(name)) for name in columns]
    return Index(path, names, {_utf8(name): text for name, text in arrays.items()}, starts, ends)


def _utf8(text: Any) -> Any:
    """What was read a byte at a time, as the text that it is."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return text


def read(path: Path, question: Question, picture_url: PictureUrl, check: Check) -> Table:
    """
    A page of the table; Invalid when it is not one or the question cannot be understood. `picture_url` turns a media
    path into an address, `check` is asked now and then whether to go on.
    """
    found = index(path, check)
    numbers = _order(found, question, check)
    last_page = max(len(numbers) - 1, 0) // question.size
    first = min(question.page - 1, last_page) * question.size
    shown = list(numbers[first : first + question.size])
    try:
        rows = [_cells(found, row, picture_url) for row in found.rows(shown)]
    except ValueError:
        raise Invalid("the file is called a table but is not one: download it to see what it is") from None
    return Table(found.columns, rows, shown, first, len(numbers), len(found.starts), question)


def differing(old: Index, new: Index, check: Check) -> tuple[list[int], list[int]]:
    """The numbers of the rows that only one of two tables has; of a row that is there twice, each has to be."""
    before, after = list(_texts(old, check)), list(_texts(new, check))
    return _only_in(before, after), _only_in(after, before)


def _only_in(texts: list[bytes], others: list[bytes]) -> list[int]:
    left = Counter(others)
    numbers = []
    for number, text in enumerate(texts):
        if left[text]:
            left[text] -= 1
        else:
            numbers.append(number)
    return numbers


def _texts(index: Index, check: Check) -> Iterator[bytes]:
    """Each row as it is written in the file, as a digest: two hundred thousand long rows have to fit into memory."""
    with index.path.open("rb") as file:
        for number, (start, end) in enumerate(zip(index.starts, index.ends, strict=True)):
            if number % ROWS_A_CHECK == 0:
                check()
            file.seek(start)
            yield hashlib.blake2b(file.read(end - start), digest_size=16).digest()


def some(index: Index, numbers: list[int], limit: int, picture_url: PictureUrl) -> Table:
    """The first of these rows."""
    rows = [_cells(index, row, picture_url) for row in index.rows(numbers[:limit])]
    return Table(index.columns, rows, numbers[:limit], 0, len(numbers), len(index.starts), Question())


def rows(path: Path, limit: int, check: Check) -> tuple[list[str], list[list[Any]]] | str:
    """The columns and the first rows as values, or in words why there are none."""
    try:
        found = index(path, check)
        return found.columns, list(found.rows(list(range(min(limit, len(found.starts))))))
    except (Invalid, ValueError) as error:
        return str(error)


def _order(index: Index, question: Question, check: Check) -> "range | array[int]":
    if not question.filter.strip() and not question.sort:
        return range(len(index.starts))
    key = question.filter, question.sort
    if key not in index.orders:
        made = array("L", _chosen(index, question, check))
        with _lock:
            index.orders[key] = made
        _keep(index)
    return index.orders[key]


def _chosen(index: Index, question: Question, check: Check) -> list[int]:
    """The numbers of the rows that the filter lets through, in the order that was asked for."""
    wanted = conditions.parse(question.filter)
    places = {name: place for place, name in reversed(list(enumerate(index.columns)))}
    name, descending = question.sort.removeprefix("-"), question.sort.startswith("-")
    for known in [*wanted.names(), *([name] if name else [])]:
        if known not in places:
            raise Invalid(f'the table has no column "{known}" (it has: {", ".join(index.columns[:20])})')
    chosen: list[tuple[int, Any]] = []
    for number, row in enumerate(index.rows(list(range(len(index.starts))))):
        if number % ROWS_A_CHECK == 0:
            check()
        look_up, text = partial(_look_up, row, places), partial(words.text_of, row)
        if wanted.holds(look_up, text):
            chosen.append((number, _at(row, places[name]) if name else None))
    if name:
        chosen = conditions.arranged(chosen, lambda pair: pair[1], descending=descending)
    return [number for number, _ in chosen]


def _look_up(row: list[Any], places: dict[str, int], name: str) -> Any:
    return _at(row, places[name])


def _at(row: list[Any], place: int) -> Any:
    return row[place] if place < len(row) else None


def _arrays(document: dict[str, Any]) -> dict[str, str]:
    """Column -> "array 28 x 28 x 1" for columns that are kept next to the table."""
    types = document.get("column_types", {}).get("params", {}).get("type_map", {})
    return {
        name: "array " + " x ".join(str(length) for length in kind.get("params", {}).get("shape", []))
        for name, kind in types.items()
        if kind.get("wb_type") == "ndarray"
    }


def _cells(index: Index, row: list[Any], picture_url: PictureUrl) -> list[Cell]:
    """A row may be shorter than the columns are many."""
    named = zip(index.columns, row, strict=False)
    return [_cell(value, index.arrays.get(name, ""), picture_url) for name, value in named]


def _cell(value: Any, array_text: str, picture_url: PictureUrl) -> Cell:
    if value is None:
        return Cell("empty", array_text or "-")
    if words.is_number(value):
        return Cell("number", words.number(value))
    if isinstance(value, dict) and value.get("_type") == "image-file" and isinstance(value.get("path"), str):
        height = value.get("height")
        small = isinstance(height, int) and height <= SMALL_PICTURE_PX
        return Cell("picture", url=picture_url(value["path"]), pixelated=small)
    text = words.text_of(value)
    return Cell("text", text if len(text) <= MAX_CELL_CHARS else text[:MAX_CELL_CHARS] + "…")
