"""
Control access: a page needs a login, and a form must come from a page that showed it. Protect answers: every answer has
the headers that keep uploaded content from running as a script on our pages.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from modelgate_server.api import bounds
from modelgate_server.api.bounds import Deadline, enforce_deadline
from modelgate_server.api.handling import Services, get_services, hold_body
from modelgate_server.errors import Forbidden, Invalid, NotFound, ServerError
from modelgate_server.settings import KIB
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.faults import translate_error
from modelgate_server.web import filters, urls
from modelgate_server.web.session import Links, Session, Sessions, is_same

# Scripts, styles, pictures, requests, forms and frames only from and to this server.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it, a browser would not tell this server where a form came from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# The forms here have an alias and a token, or a key.
MAX_FORM_BYTES = 16 * KIB
MAX_FORM_FIELDS = 10

Form = dict[str, str]
Endpoint = Callable[[Request], Awaitable[Response]]


@cache
def load_environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "between": filters.format_between,
        "branches": filters.sort_branches,
        "console_line": filters.clean_console_line,
        "facts": filters.list_facts,
        "is_address": filters.is_address,
        "is_branch": filters.is_branch,
        "is_number": filters.is_number,
        "number": filters.format_number,
        "size": filters.format_size,
        "text": filters.format_value,
        "time": filters.format_time,
    }
    return templates


def render_html(template: str, status: int = 200, *, session: Session | None = None, **values: Any) -> Response:
    text = load_environment().get_template(template).render(session=session, **values)
    # Logged text may contain half a surrogate pair, which no page can show.
    return HTMLResponse(text.encode("utf-8", "replace"), status, HEADERS)


def redirect(path: str) -> Response:
    """Redirect after a form: the browser requests the page again, and a reload repeats nothing."""
    return RedirectResponse(path, 303, HEADERS)


@dataclass(frozen=True)
class Visit:
    """A request of a logged-in user, with everything that a page needs."""

    request: Request
    db: sqlite3.Connection
    blobs: Blobs
    session: Session
    deadline: Deadline

    @property
    def user(self) -> User:
        return self.session.user

    def read_path(self, name: str) -> str:
        """Return a part of the address's path."""
        return str(self.request.path_params[name])

    def read_query(self, name: str) -> str:
        """Return a query parameter of the address, empty if it is missing."""
        return self.request.query_params.get(name, "")

    @property
    def page(self) -> int:
        """Return the number of the page of a long list, from 1."""
        text = self.read_query("page")
        return max(int(text), 1) if text.isascii() and text.isdigit() and len(text) < 9 else 1

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        return render_html(template, status, session=self.session, **values)


@dataclass(frozen=True)
class Access:
    services: Services
    sessions: Sessions
    links: Links = field(default_factory=Links)

    def find_session(self, request: Request, db: sqlite3.Connection) -> Session | None:
        return self.sessions.find(db, request.cookies.get(self.sessions.cookie, ""))

    def wrap_page(self, view: Callable[[Visit], Response]) -> Endpoint:
        """Return an endpoint that shows `view` to logged-in users, and asks others to log in first."""

        def answer(request: Request, deadline: Deadline) -> Response:
            with self.services.database.read() as db, enforce_deadline(db, deadline):
                session = self.find_session(request, db)
                if session is None:
                    return redirect(f"/login?{urls.encode_query(next=_read_target(request))}")
                try:
                    return view(Visit(request, db, self.services.blobs, session, deadline))
                except ServerError as error:
                    return render_refusal(error, session)
                except sqlite3.OperationalError as error:
                    broken = translate_error(error)
                    if broken is None:
                        raise
                    return render_refusal(broken, session)

        async def endpoint(request: Request) -> Response:
            return await bounds.run(request, self.services.lanes.pages, partial(answer, request))

        return endpoint

    def wrap_form(self, view: Callable[[Visit, Form], Response]) -> Endpoint:
        """Return an endpoint that runs `view`, in a transaction, for a form that this session was shown."""

        def answer(request: Request, fields: Form, deadline: Deadline) -> Response:
            session: Session | None = None
            try:
                with self.services.database.write() as db:
                    session = self.find_session(request, db)
                    if session is None:
                        return redirect("/login")
                    if not is_same(session.csrf, fields.get("csrf", "")):
                        raise Forbidden("this form belongs to another session: reload the page and send it again")
                    return view(Visit(request, db, self.services.blobs, session, deadline), fields)
            except ServerError as error:
                return render_refusal(error, session)

        async def endpoint(request: Request) -> Response:
            try:
                fields = await read_form(request)
            except ServerError as error:
                return render_refusal(error, None)
            return await bounds.run(request, self.services.lanes.pages, partial(answer, request, fields))

        return endpoint


async def read_form(request: Request) -> Form:
    """Return the fields of a form that was sent from a page of this server."""
    origin = request.headers.get("origin")
    ours = {request.headers.get("host"), urlsplit(get_services(request).settings.external_url or "").netloc}
    if origin is not None and origin.partition("://")[2] not in ours - {""}:
        raise Forbidden("the form was sent from a page of another site")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Invalid("these pages do not have this form")
    try:
        async with hold_body(request, MAX_FORM_BYTES) as received:
            return dict(parse_qsl(received.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise Invalid("these pages do not have this form") from None


def render_refusal(error: ServerError, session: Session | None) -> Response:
    """Return a page that says what was refused and why."""
    titles = {NotFound: "Not found", Forbidden: "Not allowed"}
    title = titles.get(type(error), "That did not work")
    return render_html("error.html", error.status, session=session, title=title, message=str(error))


def _read_target(request: Request) -> str:
    """Return the requested page with its parameters, to return to after the login."""
    question = request.url.query
    path = bytes(request.scope["raw_path"]).partition(b"?")[0].decode("ascii", "replace")
    return urls.keep_local_path(f"{path}?{question}" if question else path)
