"""Log in with an API key, and out again."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from modelgate_server.errors import ServerError
from modelgate_server.store import accounts
from modelgate_server.web.access import Access, Form, Visit, html, read_form, refusal, see_other
from modelgate_server.web.addresses import local_path
from modelgate_server.web.session import SESSION_TTL_S

UNKNOWN_KEY = "This server does not know that key."


def show(access: Access, request: Request) -> Response:
    target = local_path(request.query_params.get("next", "/"))
    with access.services.database.read() as db:
        if access.session(request, db) is not None:
            return see_other(target)
    return html("login.html", next=target, message="")


async def receive(access: Access, request: Request) -> Response:
    """POST: the key, and where to go then. The key is compared by its hash, in the store."""
    try:
        fields = await read_form(request)
    except ServerError as error:
        return refusal(error, None)
    target = local_path(fields.get("next", "/"))

    def token() -> str | None:
        with access.services.database.read() as db:
            user = accounts.user_of_key(db, fields.get("key", "").strip())
            return access.sessions.start(db, user) if user else None

    started = await run_in_threadpool(token)
    if started is None:
        return html("login.html", 401, next=target, message=UNKNOWN_KEY)
    answer = see_other(target)
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
    """POST: this session ends, here and in the browser."""
    access.sessions.end(visit.request.cookies[access.sessions.cookie])
    answer = see_other("/login")
    answer.delete_cookie(access.sessions.cookie, httponly=True, samesite="strict")
    return answer
