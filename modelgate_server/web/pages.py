"""Define the routes of all pages, on one screen."""

from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from modelgate_server.api.handling import Services
from modelgate_server.errors import NotFound
from modelgate_server.web import (
    alerts,
    differences,
    home,
    kinds,
    lineage,
    login,
    project_page,
    registries,
    run_page,
    status,
    versions,
)
from modelgate_server.web.access import HEADERS, Access, render_refusal
from modelgate_server.web.session import Sessions

STATIC = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}

PROJECT = "/{entity}/{project}"
RUN = PROJECT + "/runs/{run}"
COLLECTION = PROJECT + "/artifacts/{type}/{name}"
VERSION = COLLECTION + "/{version}"


def build_routes(services: Services) -> list[Route]:
    """Return the routes. They must come last: some match any address of one or two segments."""
    access = Access(services, Sessions(services.secret))
    page, form = access.wrap_page, access.wrap_form
    return [
        Route("/login", partial(login.show, access), methods=["GET"]),
        Route("/login", partial(login.receive, access), methods=["POST"]),
        Route("/login/link", partial(login.offer, access), methods=["POST"]),
        Route("/login/{name}", partial(login.follow, access), methods=["GET"]),
        Route("/logout", form(partial(login.leave, access)), methods=["POST"]),
        Route("/-/{name}", send_static, methods=["GET"]),
        Route("/_internal/status", page(partial(status.show, services.metrics)), methods=["GET"]),
        Route("/", page(home.show_home), methods=["GET"]),
        Route("/orgs/{organization}/registry/{registry}", page(registries.show_registry), methods=["GET"]),
        Route("/{entity}/registry/model", page(registries.show_legacy), methods=["GET"]),
        Route("/{entity}", page(home.show_entity), methods=["GET"]),
        Route(PROJECT, page(project_page.show), methods=["GET"]),
        Route(PROJECT + "/workspace", page(project_page.show), methods=["GET"]),
        Route(PROJECT + "/series", page(project_page.send_points), methods=["GET"]),
        Route(PROJECT + "/alerts", page(alerts.show), methods=["GET"]),
        Route(RUN, page(run_page.show), methods=["GET"]),
        Route(RUN + "/rename", form(run_page.rename), methods=["POST"]),
        Route(RUN + "/delete", page(run_page.ask), methods=["GET"]),
        Route(RUN + "/delete", form(run_page.delete), methods=["POST"]),
        Route(RUN + "/series", page(run_page.send_points), methods=["GET"]),
        Route(RUN + "/file", page(run_page.show_file), methods=["GET"]),
        Route(RUN + "/frame", page(run_page.send_frame), methods=["GET"]),
        Route(RUN + "/picture", page(run_page.send_picture), methods=["GET"]),
        Route(RUN + "/download", page(run_page.send_download), methods=["GET"]),
        Route(PROJECT + "/artifacts/{type}", page(kinds.show), methods=["GET"]),
        Route(COLLECTION, page(versions.open_collection), methods=["GET"]),
        Route(VERSION, page(versions.open_version), methods=["GET"]),
        Route(VERSION + "/diff", page(differences.show), methods=["GET"]),
        Route(VERSION + "/lineage", page(lineage.show), methods=["GET"]),
        Route(VERSION + "/aliases", form(versions.change_alias), methods=["POST"]),
        Route(VERSION + "/file", page(versions.show_file), methods=["GET"]),
        Route(VERSION + "/frame", page(versions.send_frame), methods=["GET"]),
        Route(VERSION + "/picture", page(versions.send_picture), methods=["GET"]),
        Route(VERSION + "/download", page(versions.send_download), methods=["GET"]),
    ]


def send_static(request: Request) -> Response:
    """GET /-/{name}: our own style, scripts and icon, and uPlot's."""
    path = STATIC.get(request.path_params["name"])
    if path is None:
        return refuse_address()
    # Browsers ask again each time: the files are small, and must match the server that made the page.
    return FileResponse(path, headers=HEADERS | {"Cache-Control": "no-cache"})


def is_for_a_person(request: Request) -> bool:
    """Return whether the answer will be shown in a browser's window."""
    return "text/html" in request.headers.get("accept", "")


def refuse_address() -> Response:
    return render_refusal(NotFound("there is nothing at this address"), None)
