"""
Run the model service with one more address: the bare call of its model, in the same process.

    python -m benchmarks.answers_service USE_CASE FOLDER PORT

FOLDER: where `make serve-model` kept a verified version. GET /bare?rows=N&calls=M answers the seconds of M calls of N
rows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from modelgate import config, usecase
from serving import tensors
from serving.app import create_app
from serving.follow import Follower
from serving.telemetry import Metrics, log_as_json

POLL_S = 3600.0  # W&B is not asked while this measures


class WithBareCalls:
    """The service's application, with the bare model in the same process."""

    def __init__(self, app: ASGIApp, follower: Follower) -> None:
        self._app, self._follower = app, follower

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/bare":
            await self._app(scope, receive, send)
            return
        query = Request(scope).query_params
        seconds = await asyncio.to_thread(self._call, int(query["rows"]), int(query["calls"]))
        await JSONResponse(seconds)(scope, receive, send)

    def _call(self, rows: int, calls: int) -> list[float]:
        """Return the seconds of each call; every row is the example's."""
        if (running := self._follower.running) is None:
            raise RuntimeError("no version is loaded")
        model, interface = running.model, self._follower.interface
        example = [repeat_row(item, rows) for item in interface.build_example()["inputs"]]
        x = model.order_columns(interface.read_rows({item["name"]: tensors.read(item) for item in example}))
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            model.model_format.predict(model.loaded, x)
            seconds.append(time.perf_counter() - began)
        return seconds


def repeat_row(item: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return a JSON tensor of one row, with that row repeated."""
    return {**item, "shape": [rows, *item["shape"][1:]], "data": item["data"] * rows}


def main() -> None:
    name, folder, port = sys.argv[1:]
    log_as_json()
    settings, metrics = config.load(name), Metrics()
    data = usecase.load_part(name, "data")
    follower = Follower(settings, settings.collection, data, Path(folder), metrics, POLL_S)
    service = create_app(name, follower, metrics)
    uvicorn.run(WithBareCalls(service, follower), port=int(port), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
