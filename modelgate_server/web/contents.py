"""
Show or send files that someone uploaded. They may be hostile, so they never run here. Markdown is rendered with its
HTML escaped, HTML is in a frame without any rights, and a file is a picture only if its first bytes say so.
"""

import codecs
import json
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from starlette.responses import FileResponse, Response

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.settings import KIB
from modelgate_server.store.blobs import Blobs
from modelgate_server.web import filters, markdown, model_file, tables
from modelgate_server.web.model_file import Summary
from modelgate_server.web.tables import Question, Table

# How much of a text is shown; the rest is in the download.
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
# A run's page shows a logged HTML page with its own styles and embedded pictures, and nothing else.
FRAMED = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'"
}


@dataclass(frozen=True)
class Shown:
    """
    What can be shown of a file: one of these or nothing, for the given `reason`. `note` is about what is not shown.
    """

    table: Table | None = None
    model: Summary | None = None
    document: str | None = None
    picture: bool = False
    is_page: bool = False
    text: str | None = None
    cut: bool = False
    reason: str = ""
    note: str = ""


def show(
    blobs: Blobs,
    md5: str | None,
    name: str,
    question: Question,
    picture_url: Callable[[str], str],
    check: Callable[[], None] = lambda: None,
) -> Shown:
    """Look into the file `name`. `check` is called regularly, and may stop this."""
    size = blobs.get_size(md5) if md5 else None
    if md5 is None or size is None:
        return Shown(reason="The server does not have the bytes of this file.")
    path = blobs.locate(md5)
    if name.endswith(tables.SUFFIX):
        return _show_table(path, size, question, picture_url, check)
    try:
        model = model_file.summarize(path, name)
    except Invalid as error:
        return Shown(reason=filters.make_sentence(str(error)))
    if model is not None:
        return Shown(model=model)
    with path.open("rb") as file:
        head = file.read(MAX_TEXT_BYTES + 1)
    if detect_picture_type(head):
        return Shown(picture=True)
    text = _decode_text(head)
    if text is None:
        return Shown(reason="This is not text.")
    cut = size > MAX_TEXT_BYTES
    if name.endswith(markdown.SUFFIXES) and len(text) <= markdown.MAX_CHARS:
        folder = name.rpartition("/")[0]
        return Shown(
            document=markdown.render(
                text, lambda path: picture_url(posixpath.normpath(f"{folder}/{path}").lstrip("/"))
            ),
            text=text,
        )
    is_page = name.endswith((".html", ".htm")) and not cut
    return Shown(text=_indent(text) if name.endswith(".json") and not cut else text, cut=cut, is_page=is_page)


def _show_table(
    path: Path, size: int, question: Question, picture_url: Callable[[str], str], check: Callable[[], None]
) -> Shown:
    if size > tables.MAX_TABLE_BYTES:
        return Shown(reason=f"The table is too large to be shown ({filters.format_size(size)}).")
    try:
        return Shown(table=tables.read(path, question, picture_url, check))
    except Invalid as error:
        if not question.filter and not question.sort:
            return Shown(reason=filters.make_sentence(str(error)))
        plain = _show_table(path, size, Question(size=question.size), picture_url, check)
        return replace(plain, note=filters.make_sentence(str(error)))


def _decode_text(head: bytes) -> str | None:
    """Return the start of the file as text, None if it is not text."""
    try:
        # Incremental, because the last character of a longer file may be incomplete.
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(head[:MAX_TEXT_BYTES], final=len(head) <= MAX_TEXT_BYTES)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _indent(text: str) -> str:
    try:
        return filters.format_json(json.loads(text))
    except (ValueError, RecursionError):
        return text


def detect_picture_type(head: bytes) -> str | None:
    return next((kind for magic, kind in PICTURES.items() if head.startswith(magic)), None)


def send_picture(blobs: Blobs, md5: str | None) -> Response:
    """Send a picture for use in a page. Raise NotFound for anything else."""
    if md5 is not None and blobs.get_size(md5) is not None:
        path = blobs.locate(md5)
        with path.open("rb") as file:
            kind = detect_picture_type(file.read(16))
        if kind is not None:
            return FileResponse(path, media_type=kind, headers=SAFE_HEADERS)
    raise NotFound("this is not a PNG, JPEG or GIF")


def send_frame(blobs: Blobs, md5: str | None) -> Response:
    """Send a whole HTML page for a frame. No script in it runs, and it cannot load anything."""
    size = blobs.get_size(md5) if md5 else None
    if md5 is None or size is None or size > MAX_TEXT_BYTES:
        raise NotFound("this page cannot be shown")
    return FileResponse(blobs.locate(md5), media_type="text/html; charset=utf-8", headers=SAFE_HEADERS | FRAMED)


def send_download(blobs: Blobs, md5: str | None, name: str) -> Response:
    """Send the bytes as a file to save, not to open."""
    if md5 is None or blobs.get_size(md5) is None:
        raise NotFound(f'the server does not have the bytes of "{name}"')
    return FileResponse(
        blobs.locate(md5),
        media_type="application/octet-stream",
        filename=PurePosixPath(name).name,
        content_disposition_type="attachment",
        headers=SAFE_HEADERS,
    )
