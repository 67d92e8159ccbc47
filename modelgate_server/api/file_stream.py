"""
Serve POST /files/{entity}/{project}/{run}/file_stream: history, system events, summary and console of a run.

The SDK repeats a failed request for up to a week. This is harmless, because each line is stored under its number
(store/history.py).
"""

import sqlite3
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api.bounds import Deadline
from modelgate_server.api.handling import get_services, hold_body, identify_user, is_shared, run_in_lane
from modelgate_server.errors import Invalid, TooLarge
from modelgate_server.settings import MAX_FILE_STREAM_BYTES, MAX_NAME_CHARS, SLICE, SMALL_BODY_BYTES
from modelgate_server.store import history, projects, runs
from modelgate_server.store.accounts import User
from modelgate_server.store.documents import parse_body
from modelgate_server.store.runs import Run


async def receive(request: Request) -> Response:
    user = await identify_user(request)
    async with hold_body(request, MAX_FILE_STREAM_BYTES, user) as received:
        return await run_in_lane(request, user, partial(_store, request, user, received))


def _store(request: Request, user: User, received: bytes, deadline: Deadline) -> Response:
    """
    Read everything, then write it: many lines are split into several transactions, so that other writers get their
    turn.
    """
    services, writer = get_services(request), read_shared_writer(request)
    with services.database.read() as db:
        _require_run(request, user, db)  # a client without permission is refused before the work
    plain, rest = _unpack_beginning(request, received)
    with services.lanes.hold_memory(len(plain) + bool(rest)):
        return _write_message(request, user, parse_body(plain + rest(), "the body"), writer)


def _require_run(request: Request, user: User, db: sqlite3.Connection) -> Run:
    at = request.path_params
    return runs.require(db, projects.require_writable(db, user, at["entity"], at["project"]), at["run"])


def _write_message(request: Request, user: User, message: dict[str, Any], writer: str | None) -> Response:
    pieces = [piece for chunk in _read_chunks(message) for piece in chunk.split(SLICE)]
    last = pieces[-1:]
    for piece in pieces[:-1]:
        with get_services(request).database.write() as db:
            history.write(db, _require_run(request, user, db).id, piece, writer)
    with get_services(request).database.write() as db:
        run = _require_run(request, user, db)
        for piece in last:
            history.write(db, run.id, piece, writer)
        runs.record_heartbeat(
            db,
            run,
            complete=message.get("complete") is True,
            exit_code=_read_exit_code(message),
            preempting=message.get("preempting") is True,
        )
        stop = bool(run.stop_requested)
    return JSONResponse({"exitcode": None, "limits": {}, "stopped": stop})


@dataclass(frozen=True)
class Packed:
    """Unpack a body step by step, because a few kilobytes can hide gigabytes."""

    unpacker: "zlib._Decompress"

    def __bool__(self) -> bool:
        return bool(self.unpacker.unconsumed_tail)

    def __call__(self) -> bytes:
        plain = self.unpack(self.unpacker.unconsumed_tail, MAX_FILE_STREAM_BYTES - SMALL_BODY_BYTES) if self else b""
        if self:
            raise TooLarge(f"the unpacked body has more than {MAX_FILE_STREAM_BYTES} bytes")
        return plain

    def unpack(self, packed: bytes, limit: int) -> bytes:
        try:
            return self.unpacker.decompress(packed, limit)
        except zlib.error:
            raise Invalid("the body is not gzip") from None


def _unpack_beginning(request: Request, received: bytes) -> tuple[bytes, Packed]:
    """Return the unpacked body: all of it if it is small, otherwise the beginning."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise Invalid(f'the body\'s encoding "{encoding[:40]}" is not known')
    packed = Packed(zlib.decompressobj(zlib.MAX_WBITS | 16))
    return (received if encoding == "identity" else packed.unpack(received, SMALL_BODY_BYTES)), packed


def read_shared_writer(request: Request) -> str | None:
    """
    Return which of several writers sent this, if the run is in shared mode, where each writer counts its lines from 0.

    https://docs.wandb.ai/models/track/log/distributed-training; the headers are set in the SDK's `core/`.
    """
    if request.headers.get("x-wandb-server-side-derived-summary", "false").lower() == "true":
        raise Invalid("a summary that the server derives from the history is not supported by this server")
    if not is_shared(request):
        return None
    writer = request.headers.get("x-wandb-async-client-id", "")
    if not 0 < len(writer) <= MAX_NAME_CHARS:
        raise Invalid("in shared mode, each writer needs its own id: X-WANDB-ASYNC-CLIENT-ID")
    return writer


def _read_chunks(message: dict[str, Any]) -> list[history.Chunk]:
    """Return the checked lines of each block."""
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
            or not all(isinstance(line, str) for line in lines)
        ):
            raise Invalid(f'"{stream[:80]}" needs a whole number "offset" from 0 and a list of strings "content"')
        chunks.append(history.check_chunk(stream, offset, lines))
    return chunks


def _read_exit_code(message: dict[str, Any]) -> int | None:
    code = message.get("exitcode")
    return code if isinstance(code, int) and abs(code) < 2**31 else None
