"""Render a template as a page: the templates of this folder extend those of the server."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader
from starlette.responses import HTMLResponse, Response

from modelgate_server.web import access
from modelgate_server.web.access import HEADERS, Visit


@cache
def _create_environment() -> Environment:
    server = access.load_environment()
    assert server.loader is not None  # noqa: S101 - a template environment of ours
    own = FileSystemLoader(Path(__file__).parent / "templates")
    return server.overlay(loader=ChoiceLoader([own, server.loader]))


def render(visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
    text = _create_environment().get_template(template).render(session=visit.session, **values)
    return HTMLResponse(text.encode("utf-8", "replace"), status, HEADERS)
