"""Build the application: every address that the server answers, on one screen."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from modelgate_server.api import file_stream, file_transfer, graphql_api, internal
from modelgate_server.api.handling import Services, build_failure, refuse, refuse_bug, refuse_fault
from modelgate_server.errors import ServerError
from modelgate_server.settings import RUN_SILENCE_S, WATCH_S
from modelgate_server.store import removal, runs
from modelgate_server.store.db import format_now
from modelgate_server.web import pages

log = logging.getLogger("server")
# Returns the routes of additional pages.
Mount = Callable[[Services], Sequence[BaseRoute]]
ENTRY = "/artifactsV2/{region}/{entity}/{project}/{collection}"
ROUTES = [
    # First, because thousands of these requests come in a row.
    Route("/storage/wandb_artifacts/{number}/{md5}", file_transfer.upload_blob, methods=["PUT"]),
    Route("/graphql", graphql_api.receive, methods=["POST"]),
    Route("/files/{entity}/{project}/{run}/file_stream", file_stream.receive, methods=["POST"]),
    Route("/storage/wandb_artifacts/{md5}", file_transfer.download_blob, methods=["GET"]),
    Route("/storage/manifests/{md5}/wandb_manifest.json", file_transfer.download_blob, methods=["GET"]),
    Route("/storage/manifests/{number}/wandb_manifest.json", file_transfer.upload_manifest, methods=["PUT"]),
    Route("/storage/run_files/{number}/{name:path}", file_transfer.upload_run_file, methods=["PUT"]),
    Route("/storage/run_files/{number}/{name:path}", file_transfer.download_run_file, methods=["GET"]),
    Route("/storage/{path:path}", file_transfer.allow_origin, methods=["OPTIONS"]),
    Route(ENTRY + "/{artifact}/{birth}/{md5}/{name}", file_transfer.download_entry, methods=["GET"]),
    Route(ENTRY + "/{birth}/{md5}/{name}", file_transfer.download_entry, methods=["GET"]),
    Route("/_internal/healthcheck", internal.check_health),
    Route("/_internal/operations", internal.report_operations),
    Route("/ready", internal.check_health),
    Route("/health", internal.check_health),
]


async def _answer_unknown(request: Request, error: Exception) -> Response:
    """Answer an address or a method that the server does not know."""
    if pages.is_for_a_person(request):
        return pages.refuse_address()
    status = error.status_code if isinstance(error, HTTPException) else ServerError.status
    return JSONResponse(
        build_failure([(f"{request.method} {request.url.path} is not supported by this server", status)]), status
    )


@asynccontextmanager
async def _run_lifespan(app: Starlette, services: Services) -> AsyncIterator[None]:
    watch = asyncio.create_task(_watch(services))
    yield
    watch.cancel()
    services.database.close()


async def _watch(services: Services) -> None:
    """
    Mark runs as crashed, as W&B does, if they have sent nothing for too long: their process was killed. Delete versions
    whose time to live is over.
    """
    listening = Listening()
    while True:
        try:
            await run_in_threadpool(_mark_and_expire, services, listening.has_heard_enough())
        except sqlite3.OperationalError as error:  # another process has held the database for too long: try again later
            log.warning("runs and versions could not be checked: %s", error)
        await asyncio.sleep(WATCH_S)


def _mark_and_expire(services: Services, heard_all: bool) -> None:
    with services.database.write() as db:
        if heard_all:
            runs.mark_crashed(db, format_now(ago_s=RUN_SILENCE_S))
        removal.expire(db)


class Listening:
    """
    Tells whether this process has run without a pause for as long as a run may be silent. While a machine is suspended
    or a process is stopped, the server receives nothing, which says nothing about the runs.
    """

    def __init__(self) -> None:
        self._asked = time.time()
        self._paused = 0.0

    def has_heard_enough(self) -> bool:
        """Expect a call every `WATCH_S` seconds; a gap of twice that was a pause."""
        before, self._asked = self._asked, time.time()
        if not 0 <= self._asked - before < 2 * WATCH_S:
            self._paused = self._asked
        return self._asked - self._paused >= RUN_SILENCE_S


def create_app(services: Services, mount: Mount | None = None) -> Starlette:
    """Build the application. `mount` returns additional pages. They come before ours, so `/` may be one of them."""
    app = Starlette(
        routes=[*ROUTES, *(mount(services) if mount else ()), *pages.build_routes(services)],
        lifespan=partial(_run_lifespan, services=services),
        exception_handlers={
            ServerError: refuse,
            sqlite3.Error: refuse_fault,
            OSError: refuse_fault,
            HTTPException: _answer_unknown,
            Exception: refuse_bug,
        },
    )
    app.state.services = services
    return app
