"""Provide what every handler needs: the services, the user, a body within the limit, errors as JSON."""

import asyncio
import base64
import binascii
import logging
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api import bounds
from modelgate_server.api.bounds import Budget, Deadline, Held, Lanes
from modelgate_server.api.metrics import Metrics
from modelgate_server.api.shapes import Addresses
from modelgate_server.errors import Busy, Invalid, ServerError, TooLarge, Unauthenticated
from modelgate_server.settings import BODY_S, SMALL_BODY_BYTES, Settings
from modelgate_server.store import accounts
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database
from modelgate_server.store.faults import translate_error

log = logging.getLogger("server")
# A host name, an IPv4 address or a bracketed IPv6 address, and optionally a port. It becomes part of the addresses that
# clients call.
HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?", re.ASCII)


@dataclass(frozen=True)
class Services:
    """Stored in the application as `app.state.services`."""

    settings: Settings
    database: Database
    blobs: Blobs
    secret: bytes
    metrics: Metrics = field(default_factory=Metrics)
    lanes: Lanes = field(default_factory=Lanes)
    budget: Budget = field(default_factory=Budget)


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


def get_addresses(request: Request) -> Addresses:
    """
    Return the addresses for this client: at the configured URL, or else at the one by which it reached the server.
    """
    services = get_services(request)
    if services.settings.external_url:
        return Addresses(services.settings.external_url, services.secret)
    host = request.headers.get("host", "")
    if not HOST.fullmatch(host):
        raise Invalid("the request's Host header is not a valid host")
    return Addresses(f"http://{host}", services.secret)


async def identify_user(request: Request) -> User:
    """Return the user, before any of the body is read."""

    def look() -> User:
        with get_services(request).database.read() as db:
            return authenticate(request, db)

    return await run_in_threadpool(look)


async def run_in_lane(request: Request, user: User, work: Callable[[Deadline], Response]) -> Response:
    """Run `work` in one of the user's threads, until its deadline."""
    return await bounds.run(request, get_services(request).lanes.get_user_lane(user.id), work)


def authenticate(request: Request, db: sqlite3.Connection) -> User:
    """Return the user of the request's API key, which is the password of basic authentication."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        _, _, key = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        key = ""
    if scheme.lower() != "basic" or not key:
        raise Unauthenticated("an API key is required: set WANDB_API_KEY")
    user = accounts.find_user_by_key(db, key)
    if user is None:
        raise Unauthenticated("the API key is not known to this server")
    return user


def is_shared(request: Request) -> bool:
    """Return whether several processes log to the run at once (`mode="shared"`), and this is one of them."""
    return request.headers.get("x-wandb-use-async-filestream", "").lower() == "true"


@asynccontextmanager
async def hold_body(request: Request, limit: int, user: User | None = None) -> AsyncIterator[bytes]:
    """Hold the whole body in memory while it is needed. Raise TooLarge as soon as it exceeds the limit."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() else limit
    if size > limit:
        raise TooLarge(f"the request has {announced} bytes, at most {limit} are accepted")
    services = get_services(request)
    waiting = services.lanes.hold_large_body(user.id) if user and size > SMALL_BODY_BYTES else nullcontext()
    async with waiting:
        with services.budget.hold() as held:
            received = await _receive_body(request, limit, held)
            held.complete()
            yield received


async def _receive_body(request: Request, limit: int, held: Held) -> bytes:
    pieces: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                pieces.append(piece)
                held.take(len(piece))
                if held.size > limit:
                    raise TooLarge(f"the request has more than {limit} bytes")
    except TimeoutError:
        raise Busy(f"the request's body took more than {BODY_S} s") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not held.evicted or task is None:
            raise
        task.uncancel()
        raise Busy("the server has too many large requests at once: try again") from None
    return b"".join(pieces)


def build_failure(refusals: list[tuple[str, int]]) -> dict[str, object]:
    """Return an error body that every version of the SDK understands, from the (message, status) of each error."""
    errors = [{"message": message, "path": [], "extensions": {"code": code}} for message, code in refusals]
    return {"errors": errors, "data": None}


async def refuse(request: Request, error: Exception) -> Response:
    """Return one of our refusals as JSON."""
    status = error.status if isinstance(error, ServerError) else ServerError.status
    log.info("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse(build_failure([(str(error), status)]), status)


async def refuse_fault(request: Request, error: Exception) -> Response:
    """Answer an error of the disk or the database; any other error is a bug."""
    broken = translate_error(error)
    if broken is None:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return await refuse_bug(request, error)
    log.error("%s %s: %s (%s)", request.method, request.url.path, broken, error)
    return JSONResponse(build_failure([(str(broken), broken.status)]), broken.status)


async def refuse_bug(request: Request, error: Exception) -> Response:
    """Answer a bug with a 400: on a 500, the SDK would retry for minutes and hang. uvicorn logs the traceback."""
    return JSONResponse(
        build_failure([("internal error: see the server's log", ServerError.status)]), ServerError.status
    )
