"""Log in with an API key or with a link that works once, and log out."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modelgate_server.api.handling import authenticate
from modelgate_server.errors import Forbidden, ServerError
from modelgate_server.store import accounts
from modelgate_server.web.access import HEADERS, Access, Form, Visit, read_form, redirect, render_html, render_refusal
from modelgate_server.web.session import LINK_TTL_S, SESSION_TTL_S
from modelgate_server.web.urls import keep_local_path

UNKNOWN_KEY = "This server does not know that key."
USED_LINK = "This link was already used, or is too old. Log in with the key, or get a new link."
# A link may get into a log or a history, so it works only on this machine.
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def show(access: Access, request: Request) -> Response:
    target = keep_local_path(request.query_params.get("next", "/"))
    with access.services.database.read() as db:
        if access.find_session(request, db) is not None:
            return redirect(target)
    return _show_page(access, target)


def _show_page(access: Access, target: str = "/", status: int = 200, message: str = "") -> Response:
    settings = access.services.settings
    made = (settings.data_dir / "api_key").exists()
    return render_html("login.html", status, next=target, message=message, key_file=settings.key_file, made=made)


async def receive(access: Access, request: Request) -> Response:
    """POST: log in with a key, then go to the given page. The store compares the hash of the key."""
    try:
        fields = await read_form(request)
    except ServerError as error:
        return render_refusal(error, None)
    target = keep_local_path(fields.get("next", "/"))

    def start_session() -> str | None:
        with access.services.database.read() as db:
            user = accounts.find_user_by_key(db, fields.get("key", "").strip())
            return access.sessions.start(db, user) if user else None

    started = await run_in_threadpool(start_session)
    if started is None:
        return _show_page(access, target, 401, UNKNOWN_KEY)
    return _sign_in(access, request, started, target)


def offer(access: Access, request: Request) -> Response:
    """POST, with the API key as the SDK sends it: return the address of a link that logs this user in, once."""
    _require_this_machine(request)
    with access.services.database.read() as db:
        name = access.links.make(access.sessions.start(db, authenticate(request, db)))
    return JSONResponse({"path": f"/login/{name}", "seconds": LINK_TTL_S}, headers=HEADERS)


def follow(access: Access, request: Request) -> Response:
    """GET: log in with a link. A HEAD request does not use it up."""
    if request.method == "HEAD":
        return Response(headers=HEADERS)
    try:
        _require_this_machine(request)
    except ServerError as error:
        return render_refusal(error, None)
    started = access.links.take(request.path_params["name"])
    with access.services.database.read() as db:
        if started is None or access.sessions.find(db, started) is None:
            return _show_page(access, status=401, message=USED_LINK)
    return _sign_in(access, request, started, "/")


def _require_this_machine(request: Request) -> None:
    if request.url.hostname not in THIS_MACHINE:
        raise Forbidden("a link signs in only on the server's own machine, at the address 127.0.0.1")


def _sign_in(access: Access, request: Request, started: str, target: str) -> Response:
    answer = redirect(target)
    url = access.services.settings.external_url or str(request.url)
    answer.set_cookie(
        access.sessions.cookie,
        started,
        max_age=SESSION_TTL_S,
        httponly=True,
        samesite="strict",
        secure=url.startswith("https:"),
    )
    return answer


def leave(access: Access, visit: Visit, fields: Form) -> Response:
    """POST: end this session, here and in the browser."""
    access.sessions.end(visit.db, visit.request.cookies[access.sessions.cookie])
    answer = redirect("/login")
    answer.delete_cookie(access.sessions.cookie, httponly=True, samesite="strict")
    return answer
