"""What is not W&B's: the health check. It stands apart from the emulated API."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.api.http import services


async def health(request: Request) -> Response:
    """200 when the database answers."""

    def ask() -> None:
        with services(request).database.read() as db:
            db.execute("SELECT 1").fetchone()

    await run_in_threadpool(ask)
    return JSONResponse({"status": "ok"})
