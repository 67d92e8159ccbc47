"""
A W&B Table as rows of cells to show. https://github.com/wandb/wandb `sdk/data_types/table.py` writes the JSON.

Arrays are not in the JSON but in a file beside it: their cells say only what they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from modelgate_server.errors import Invalid
from modelgate_server.settings import MIB
from modelgate_server.web import streamed, words

SUFFIX = ".table.json"
ROWS_A_PAGE = 50
# The whole file is read to show a page of it, a row at a time: 60,000 rows with an image each are about 15 MB.
MAX_TABLE_BYTES = 64 * MIB
MAX_CELL_CHARS = 300
# So many pixels high are small pictures shown, so that one sees what they are.
SMALL_PICTURE_PX = 64


@dataclass(frozen=True)
class Cell:
    """`kind` is text, number, picture or empty; `pixelated` for a picture so small that it is enlarged."""

    kind: str
    text: str = ""
    url: str = ""
    pixelated: bool = False


@dataclass(frozen=True)
class Table:
    """One page: `first` is the number of its first row, `count` that of all rows."""

    columns: list[str]
    rows: list[list[Cell]]
    first: int
    count: int


@dataclass
class _Rows:
    """Those of one page, or of the last when there are not so many; the others are only counted."""

    page: int
    check: Callable[[], None]
    count: int | None = None
    kept: list[list[Any]] = field(default_factory=list)

    def take(self, rows: Iterator[Any]) -> None:
        self.count = 0
        for row in rows:
            if not isinstance(row, list):
                raise TypeError("a row is no list")
            if self.count % ROWS_A_PAGE == 0:
                self.check()
            if self.count // ROWS_A_PAGE < self.page:
                if self.count % ROWS_A_PAGE == 0:
                    self.kept = []
                self.kept.append(row)
            self.count += 1


def read(file: TextIO, page: int, picture_url: Callable[[str], str], check: Callable[[], None]) -> Table:
    """
    Page `page` (from 1) of the table; Invalid when it is none. `picture_url` turns a media path into an address,
    `check` is asked now and then whether to go on.
    """
    rows = _Rows(page, check)
    try:
        document = streamed.Document(file).members("data", rows.take)
        arrays = _arrays(document)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Invalid("the file is called a table and is none: download it to see what it is") from None
    columns = document.get("columns")
    if not isinstance(columns, list) or rows.count is None:
        raise Invalid("the table has no columns or no rows: download it to see what it is")
    names = [words.text_of(name) for name in columns]
    first = min((page - 1) * ROWS_A_PAGE, max(rows.count - 1, 0) // ROWS_A_PAGE * ROWS_A_PAGE)
    shown = [
        [_cell(value, arrays.get(name, ""), picture_url) for name, value in zip(names, row, strict=False)]
        for row in rows.kept
    ]
    return Table(names, shown, first, rows.count)


def _arrays(document: dict[str, Any]) -> dict[str, str]:
    """Column -> "array 28 x 28 x 1" for columns that are kept beside the table."""
    types = document.get("column_types", {}).get("params", {}).get("type_map", {})
    return {
        name: "array " + " x ".join(str(length) for length in kind.get("params", {}).get("shape", []))
        for name, kind in types.items()
        if kind.get("wb_type") == "ndarray"
    }


def _cell(value: Any, array: str, picture_url: Callable[[str], str]) -> Cell:
    if value is None:
        return Cell("empty", array or "-")
    if words.is_number(value):
        return Cell("number", words.number(value))
    if isinstance(value, dict) and value.get("_type") == "image-file" and isinstance(value.get("path"), str):
        height = value.get("height")
        small = isinstance(height, int) and height <= SMALL_PICTURE_PX
        return Cell("picture", url=picture_url(value["path"]), pixelated=small)
    text = words.text_of(value)
    return Cell("text", text if len(text) <= MAX_CELL_CHARS else text[:MAX_CELL_CHARS] + "…")
