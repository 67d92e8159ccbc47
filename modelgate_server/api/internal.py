"""Serve what is not part of W&B's API: the health check, and what was requested. It is separate from the emulated
API.
"""

from dataclasses import asdict

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api.handling import authenticated, services


async def health(request: Request) -> Response:
    """Return 200 if the database answers."""

    def ask() -> None:
        with services(request).database.read() as db:
            db.execute("SELECT 1").fetchone()

    # Answers under any load, so that a supervisor does not think that the server is dead.
    await anyio.to_thread.run_sync(ask, limiter=services(request).lanes.health)
    return JSONResponse({"status": "ok"})


async def operations(request: Request) -> Response:
    """Return the metrics as JSON, for the holder of an API key. The page for people is /_internal/status."""
    here = services(request)

    def ask() -> None:
        with here.database.read() as db:
            authenticated(request, db)

    await run_in_threadpool(ask)
    return JSONResponse({"since": here.metrics.since, "operations": [asdict(one) for one in here.metrics.listing()]})
