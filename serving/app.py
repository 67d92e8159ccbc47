"""
Serve over HTTP: the Open Inference Protocol v2, health and metrics, and one page for people.

A model answers in its own thread, so that health and metrics always answer. All input has limits: bytes, rows, seconds,
and waiting requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelgate import __name__ as product
from modelgate.errors import StepError
from modelgate.incoming import Refused
from serving import tensors
from serving.batching import Batcher
from serving.errors import Refusal
from serving.follow import Follower, Running
from serving.telemetry import Metrics, log

MAX_BODY_BYTES = 64 * 2**20  # 10,000 images of 28 by 28 are 30 MiB in binary
MAX_ROWS = 10_000
BODY_TIMEOUT_S = 20.0
ANSWER_TIMEOUT_S = 30.0
MAX_WAITING = 256  # requests for the model; more are asked to try again
_PAGE = Path(__file__).with_name("page")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; "
    "connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass
class _InferRequest:
    """A request's body. parsed: its content, after it was read."""

    body: bytes
    header_length: str | None
    parsed: tensors.Request = field(init=False)


class Service:
    """The handlers, over a follower."""

    def __init__(self, name: str, follower: Follower, metrics: Metrics) -> None:
        self.name = name
        self._follower = follower
        self._metrics = metrics
        self._together = Batcher(follower.interface.join)
        self._waiting = 0

    # --- health and metadata -----------------------------------------------------------------------------------------

    async def answer_live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def answer_ready(self, request: Request) -> Response:
        """Return 200 while a verified version answers. The body says which one, and why a newer one does not."""
        if (version := request.path_params.get("version")) is not None:
            self._require_running(request.path_params["model"], version)
        elif "model" in request.path_params:
            self._require_name(request.path_params["model"])
        running, problem = self._follower.running, self._follower.problem
        state: dict[str, Any] = {"ready": running is not None, "use_case": self.name}
        if running:
            state |= {**running.description, "verified_at": running.verified_at, "from_disk": running.from_disk}
        state["problem"] = problem.as_json()["error"] if problem else None
        return JSONResponse(state, 200 if running else 503)

    async def answer_server_metadata(self, _: Request) -> Response:
        return JSONResponse({"name": product, "version": "2", "extensions": ["binary_tensor_data"]})

    async def answer_model_metadata(self, request: Request) -> Response:
        running = self._require_running(request.path_params["model"], request.path_params.get("version"))
        interface = self._follower.interface
        inputs = [item.as_json() for item in interface.inputs]
        metadata = {"name": self.name, "versions": [running.name], "platform": f"{product}_{interface.task}"}
        return JSONResponse(
            {**metadata, "inputs": inputs, "outputs": interface.describe_outputs(), "parameters": running.description}
        )

    async def answer_metrics(self, _: Request) -> Response:
        return Response(self._metrics.render(), media_type=CONTENT_TYPE_LATEST)

    # --- for people --------------------------------------------------------------------------------------------------

    async def answer_example(self, _: Request) -> Response:
        """Return an example request with one row, to change and send back."""
        return JSONResponse(self._follower.interface.build_example())

    async def answer_form(self, _: Request) -> Response:
        """Return what the page asks a person for."""
        interface = self._follower.interface
        fields = [
            {**item.as_json(), "choices": list(item.choices), "nullable": item.nullable}
            | ({} if item.shape else {"example": item.example})
            for item in interface.inputs
        ]
        return JSONResponse({"name": self.name, "task": interface.task, "classes": interface.classes, "inputs": fields})

    # --- answers -----------------------------------------------------------------------------------------------------

    async def infer(self, request: Request) -> Response:
        running = self._require_running(request.path_params["model"], request.path_params.get("version"))
        body = await _read_body(request)
        if self._waiting >= MAX_WAITING:
            raise Refusal(f"{MAX_WAITING} requests are already waiting", 503, name="too_many_requests")
        self._waiting += 1
        parsed = _InferRequest(body, request.headers.get(tensors.HEADER_LENGTH))
        future = asyncio.wrap_future(
            self._together.submit(running.model, partial(self._read, parsed), partial(self._write, parsed, running))
        )
        future.add_done_callback(self._count_down)
        try:
            content, json_length = await asyncio.wait_for(asyncio.shield(future), ANSWER_TIMEOUT_S)
        except TimeoutError as error:
            future.cancel()  # if it has not begun
            raise Refusal(f"no answer within {ANSWER_TIMEOUT_S:.0f} s", 504, name="timeout") from error
        if json_length is None:
            return Response(content, media_type="application/json")
        headers = {tensors.HEADER_LENGTH: str(json_length)}
        return Response(content, media_type="application/octet-stream", headers=headers)

    def _count_down(self, future: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # after a timeout, nothing else may read the result

    # In the model's thread:

    def _read(self, infer_request: _InferRequest) -> Any:
        """Return the rows of a request after they passed the model's checks."""
        infer_request.parsed = tensors.parse(infer_request.body, infer_request.header_length)
        try:
            rows = self._follower.interface.read_rows(infer_request.parsed.inputs)
            if len(rows) > MAX_ROWS:
                raise Refusal(
                    f"there are {len(rows)} rows, and {MAX_ROWS} are allowed in a request", 413, name="too_many_rows"
                )
            self._follower.expected.require(rows)
        except Refused as error:
            raise Refusal(str(error), name=error.name, column=error.column) from error
        return rows

    def _write(self, infer_request: _InferRequest, running: Running, answers: Any) -> tuple[bytes, int | None]:
        """Return the body of the answer."""
        self._metrics.rows.inc(len(answers))
        fields = {"model_name": self.name, "model_version": running.name, "parameters": running.description}
        if infer_request.parsed.id is not None:
            fields["id"] = infer_request.parsed.id
        return tensors.answer(fields, self._follower.interface.build_answers(answers), infer_request.parsed)

    def _require_name(self, model: str) -> None:
        if model != self.name:
            raise Refusal(f"there is no model {model!r}, only {self.name!r}", 404, name="unknown_model")

    def _require_running(self, model: str, version: str | None) -> Running:
        self._require_name(model)
        if (running := self._follower.running) is None:
            problem = self._follower.problem
            raise Refusal(f"no version is loaded yet{f': {problem}' if problem else ''}", 503, name="not_ready")
        if version not in (None, running.name):
            raise Refusal(f"version {version!r} is not loaded; {running.name!r} is", 404, name="unknown_version")
        return running


async def _read_body(request: Request) -> bytes:
    """Return the body, within the limits of size and time."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal("a compressed body is not accepted", 415, name="compressed")
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise Refusal(f"the body has more than {MAX_BODY_BYTES} bytes", 413, name="body_too_large")
                parts.append(part)
    except TimeoutError as error:
        raise Refusal(f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s", 408, name="body_too_slow") from error
    return b"".join(parts)


# --- the application -------------------------------------------------------------------------------------------------


def create_app(name: str, follower: Follower, metrics: Metrics) -> ASGIApp:
    """Return the application. name: of the use case, which is the model's name in the protocol."""
    service = Service(name, follower, metrics)

    @asynccontextmanager
    async def run_lifespan(_: Starlette) -> AsyncIterator[None]:
        follower.start()
        yield
        follower.stop()

    routes = [
        Route("/v2", service.answer_server_metadata),
        Route("/v2/health/live", service.answer_live),
        Route("/v2/health/ready", service.answer_ready),
        Route("/metrics", service.answer_metrics),
        Route("/example", service.answer_example),
        Route("/form", service.answer_form),
        *(
            Route(path, _create_file_route(file))
            for path, file in (("/", "page.html"), ("/page.js", "page.js"), ("/page.css", "page.css"))
        ),
    ]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(path, service.answer_model_metadata),
            Route(f"{path}/ready", service.answer_ready),
            Route(f"{path}/infer", service.infer, methods=["POST"]),
        ]
    handlers: Any = {
        Refusal: _refuse,
        StepError: _answer_bad_rows,
        ClientDisconnect: _answer_gone,
        Exception: _answer_failure,
    }
    return _RequestLog(Starlette(routes=routes, lifespan=run_lifespan, exception_handlers=handlers), metrics)


def _create_file_route(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_: Request) -> Response:
        return FileResponse(_PAGE / name, headers=_HEADERS | {"Cache-Control": "no-cache"})

    return give


async def _refuse(_: Request, error: Refusal) -> Response:
    headers = {"Retry-After": "1"} if error.status == 503 else {}
    return JSONResponse(error.as_json(), error.status, headers=headers)


async def _answer_bad_rows(_: Request, error: StepError) -> Response:
    """The model itself has no answer to these rows."""
    log("request failed", level=40, name=error.name, message=str(error))
    return JSONResponse({"error": str(error), "name": error.name}, 500)


async def _answer_gone(_: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=499)


async def _answer_failure(_: Request, error: Exception) -> Response:
    log("request failed", level=40, error=error)
    return JSONResponse({"error": "the service failed; see its log", "name": "failed"}, 500)


class _RequestLog:
    """Counts and logs each request. It is pure ASGI, because Starlette's own middleware takes more time than a row."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            route = _name_route(scope["path"])
            self._metrics.requests.labels(route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(seconds)
            if route == "infer" or status >= 400:
                log(
                    "request",
                    method=scope["method"],
                    path=scope["path"][:200],
                    status=status,
                    ms=round(1000 * seconds, 2),
                )


def _name_route(path: str) -> str:
    """Return one of a few names for a path, so that clients cannot create new metrics."""
    last = path.rstrip("/").rpartition("/")[2]
    if path.startswith("/v2"):
        return last if last in ("infer", "ready", "live") else "metadata"
    return last if last in ("metrics", "example", "form") else "page"
