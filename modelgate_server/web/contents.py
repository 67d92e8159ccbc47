"""
Files that somebody uploaded, shown or handed out. They are hostile: nothing of them is ever run or rendered here, and
a picture is one only when its first bytes say so.
"""

import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.responses import FileResponse, Response

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.settings import KIB
from modelgate_server.store.blobs import Blobs
from modelgate_server.web import tables, words
from modelgate_server.web.tables import Table

# Shown of a text; the rest is in the download.
MAX_TEXT_BYTES = 512 * KIB
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
SAFE_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, max-age=3600",
}


@dataclass(frozen=True)
class Shown:
    """What can be shown of a file: a table, a picture, a text, or (`reason` says why) nothing."""

    table: Table | None = None
    picture: bool = False
    text: str | None = None
    cut: bool = False
    reason: str = ""


def show(
    blobs: Blobs,
    md5: str | None,
    name: str,
    page: int,
    picture_url: Callable[[str], str],
    check: Callable[[], None] = lambda: None,
) -> Shown:
    """A look into the file `name`; `check` is asked now and then whether to go on."""
    size = blobs.size(md5) if md5 else None
    if md5 is None or size is None:
        return Shown(reason="The bytes of this file are not on this server.")
    path = blobs.path(md5)
    if name.endswith(tables.SUFFIX):
        return _table(path, size, page, picture_url, check)
    with path.open("rb") as file:
        head = file.read(MAX_TEXT_BYTES + 1)
    if picture_type(head):
        return Shown(picture=True)
    text = _text(head)
    if text is None:
        return Shown(reason="This is not text.")
    cut = size > MAX_TEXT_BYTES
    return Shown(text=_indented(text) if name.endswith(".json") and not cut else text, cut=cut)


def _table(path: Path, size: int, page: int, picture_url: Callable[[str], str], check: Callable[[], None]) -> Shown:
    if size > tables.MAX_TABLE_BYTES:
        return Shown(reason=f"The table is too large to be shown ({words.size(size)}).")
    try:
        with path.open(encoding="utf-8") as file:
            return Shown(table=tables.read(file, page, picture_url, check))
    except Invalid as error:
        return Shown(reason=str(error))


def _text(head: bytes) -> str | None:
    """The start of the file as text, None when it is none."""
    try:
        # Incremental, because the last character of a longer file may be cut in two.
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(head[:MAX_TEXT_BYTES], final=len(head) <= MAX_TEXT_BYTES)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _indented(text: str) -> str:
    try:
        return words.pretty(json.loads(text))
    except (ValueError, RecursionError):
        return text


def picture_type(head: bytes) -> str | None:
    return next((kind for magic, kind in PICTURES.items() if head.startswith(magic)), None)


def picture(blobs: Blobs, md5: str | None) -> Response:
    """The picture, to stand in a page; NotFound for anything that is none."""
    if md5 is not None and blobs.size(md5) is not None:
        path = blobs.path(md5)
        with path.open("rb") as file:
            kind = picture_type(file.read(16))
        if kind is not None:
            return FileResponse(path, media_type=kind, headers=SAFE_HEADERS)
    raise NotFound("this is no PNG, JPEG or GIF")


def download(blobs: Blobs, md5: str | None, name: str) -> Response:
    """The bytes, to be saved and not opened."""
    if md5 is None or blobs.size(md5) is None:
        raise NotFound(f'the bytes of "{name}" are not on this server')
    return FileResponse(
        blobs.path(md5),
        media_type="application/octet-stream",
        filename=PurePosixPath(name).name,
        content_disposition_type="attachment",
        headers=SAFE_HEADERS,
    )
