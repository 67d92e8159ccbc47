"""
POST /files/{entity}/{project}/{run}/file_stream: history, system events, summary and console of a running process.

The SDK repeats a failed request for up to a week; what a line is stored under makes that harmless (store/history.py).
"""

import zlib
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api.handling import authenticated, body, is_shared, services
from modelgate_server.errors import Invalid, TooLarge
from modelgate_server.settings import MAX_FILE_STREAM_BYTES, MAX_NAME_CHARS
from modelgate_server.store import history, projects, runs
from modelgate_server.store.documents import sent


async def receive(request: Request) -> Response:
    received = await body(request, MAX_FILE_STREAM_BYTES)
    return await run_in_threadpool(_store, request, received)


def _store(request: Request, received: bytes) -> Response:
    at = request.path_params
    writer = shared_writer(request)
    with services(request).database.write() as db:
        user = authenticated(request, db)
        message = sent(_plain(request, received), "the body")
        home = projects.writable(db, user, at["entity"], at["project"])
        run = runs.require(db, home, at["run"])
        for chunk in _chunks(message):
            history.write(db, run.id, chunk, writer)
        runs.heartbeat(
            db,
            run,
            complete=message.get("complete") is True,
            exit_code=_exit_code(message),
            preempting=message.get("preempting") is True,
        )
        stop = bool(run.stop_requested)
    return JSONResponse({"exitcode": None, "limits": {}, "stopped": stop})


def _plain(request: Request, received: bytes) -> bytes:
    """The body without its gzip, of which a few kilobytes can hide gigabytes."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return received
    if encoding != "gzip":
        raise Invalid(f'the body\'s encoding "{encoding[:40]}" is not known')
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(received, MAX_FILE_STREAM_BYTES)
    except zlib.error:
        raise Invalid("the body is not gzip") from None
    if unpacker.unconsumed_tail:
        raise TooLarge(f"the unpacked body has more than {MAX_FILE_STREAM_BYTES} bytes")
    return plain


def shared_writer(request: Request) -> str | None:
    """
    Which of several writers sends this, when the run is in shared mode: each counts its lines from 0.

    https://docs.wandb.ai/models/track/log/distributed-training; the headers are set in the SDK's `core/`.
    """
    if request.headers.get("x-wandb-server-side-derived-summary", "false").lower() == "true":
        raise Invalid("a summary that the server derives from the history is not known to this server")
    if not is_shared(request):
        return None
    writer = request.headers.get("x-wandb-async-client-id", "")
    if not 0 < len(writer) <= MAX_NAME_CHARS:
        raise Invalid("in shared mode each writer needs an id of its own: X-WANDB-ASYNC-CLIENT-ID")
    return writer


def _chunks(message: dict[str, Any]) -> list[history.Chunk]:
    """The lines of each block, checked."""
    blocks = message.get("files") or {}
    if not isinstance(blocks, dict):
        raise Invalid('"files" must be an object')
    chunks = []
    for stream, block in blocks.items():
        offset, lines = (block.get("offset"), block.get("content")) if isinstance(block, dict) else (None, None)
        if (
            not isinstance(offset, int)
            or offset < 0
            or not isinstance(lines, list)
            or not all(isinstance(one, str) for one in lines)
        ):
            raise Invalid(f'"{stream[:80]}" needs a whole number "offset" from 0 and a list of strings "content"')
        chunks.append(history.chunk(stream, offset, lines))
    return chunks


def _exit_code(message: dict[str, Any]) -> int | None:
    code = message.get("exitcode")
    return code if isinstance(code, int) and abs(code) < 2**31 else None
