"""List the addresses of these pages, on one screen. They are below `-`, which no project name begins with."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from modelgate_server.api.handling import Services
from modelgate_server.web import home as server_home
from modelgate_server.web.access import HEADERS, Access
from modelgate_server.web.session import Sessions
from pages import approval, home, timeline
from pages.promotion_process import PromotionProcess

ROOT = Path(__file__).parents[1]
STATIC = Path(__file__).parent / "static"


def create_routes(folder: Path, services: Services) -> list[Route]:
    """folder: where the runner keeps what waits."""
    access = Access(services, Sessions(services.secret))
    promotion = PromotionProcess(folder, ROOT)
    return [
        Route("/", access.wrap_page(partial(home.show, folder)), methods=["GET"]),
        Route("/-/all", access.wrap_page(server_home.show_home), methods=["GET"]),
        Route("/-/ledger/{use_case}", access.wrap_page(timeline.show), methods=["GET"]),
        Route("/-/approval", access.wrap_page(partial(approval.show, promotion)), methods=["GET"]),
        Route("/-/approval", access.wrap_form(partial(approval.receive, promotion)), methods=["POST"]),
        *(Route(f"/-/{path.name}", partial(serve_static, path), methods=["GET"]) for path in sorted(STATIC.iterdir())),
    ]


def serve_static(path: Path, request: Request) -> Response:
    return FileResponse(path, headers=HEADERS | {"Cache-Control": "no-cache"})
