"""Serve what is not part of W&B's API: the health check, and the counts of what clients have requested."""

from dataclasses import asdict

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api.handling import authenticate, get_services


async def check_health(request: Request) -> Response:
    """Return 200 if the database answers."""

    def ask() -> None:
        with get_services(request).database.read() as db:
            db.execute("SELECT 1").fetchone()

    # This answers under any load, so that a supervisor does not think that the server is dead.
    await anyio.to_thread.run_sync(ask, limiter=get_services(request).lanes.health)
    return JSONResponse({"status": "ok"})


async def report_operations(request: Request) -> Response:
    """Return the metrics as JSON, for the holder of an API key. The page for people is /_internal/status."""
    services = get_services(request)

    def ask() -> None:
        with services.database.read() as db:
            authenticate(request, db)

    await run_in_threadpool(ask)
    return JSONResponse(
        {"since": services.metrics.since, "operations": [asdict(count) for count in services.metrics.list_counts()]}
    )
