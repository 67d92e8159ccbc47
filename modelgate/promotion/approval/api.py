"""
Ask GitHub. The answer is input from outside: every type is checked, and an answer of another shape is a refusal.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.promotion.approval import job

TIMEOUT_S = 10
_MAX_ANSWER_BYTES = 8_000_000  # a hundred pull requests with all their fields are about 2 MB
PAGE = 100  # the most that GitHub returns at once
_MAX_PAGES = 20


def get(path: str) -> Any:
    """Return GitHub's JSON answer. If it does not answer within 10 s, refuses, or sends no JSON, raise a StepError
    without the token.
    """
    return _ask("GET", path, os.environ.get("GITHUB_TOKEN", ""))


def post(path: str, body: Mapping[str, Any], token: str = "") -> None:
    """Ask GitHub to create something, with the job's token unless another is given. Raise a StepError without the
    token.
    """
    _ask("POST", path, token or os.environ.get("GITHUB_TOKEN", ""), json.dumps(body).encode())


def _ask(method: str, path: str, token: str, body: bytes | None = None) -> Any:
    base = _find_api_url()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise StepError("github_token", "GITHUB_TOKEN is not set", "pass ${{ github.token }} to the step", WRONG_USE)
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked in _api_url
        f"{base}/{path}",
        data=body,
        method=method,
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "User-Agent": "modelgate",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(_read_body(answer) or b"null")  # a dispatch has an empty answer
    except urllib.error.HTTPError as error:
        raise StepError(
            "github_refused",
            f"{base} answered {error.code} to {method} /{path}",
            "give the job `actions: read`, `pull-requests: read` and `contents: read`, and pass GITHUB_TOKEN",
            UNREACHABLE if error.code >= 500 else WRONG_USE,
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise StepError(
            "github_unreachable",
            f"{base} did not answer {method} /{path} within {TIMEOUT_S} s: {type(error).__name__}",
            "check https://www.githubstatus.com, then run the job again",
            UNREACHABLE,
        ) from None
    except (ValueError, RecursionError):
        raise refuse_answer(path, "is not JSON") from None


def read_pages(path: str, key: str | None = None) -> Iterator[Any]:
    """Yield a list that GitHub returns in pages, as such or under `key`, requesting each page when it is needed."""
    for page in range(1, _MAX_PAGES + 1):
        answer = get(f"{path}?per_page={PAGE}&page={page}")
        part = require_list(path, require_field(path, answer, key, list) if key else answer)
        yield from part
        if len(part) < PAGE:
            return
    raise refuse_answer(path, f"has more than {_MAX_PAGES} pages")


def require_list(path: str, answer: Any) -> list[Any]:
    """Return the answer if it is a list."""
    if not isinstance(answer, list):
        raise refuse_answer(path, "is not a list")
    return answer


def require_field(path: str, item: Any, name: str, kind: type) -> Any:
    """Return a field that GitHub documents. If it is missing or of another type, refuse the answer."""
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise refuse_answer(path, f"has no {kind.__name__} {name!r}")
    return value


def require_login(path: str, item: Any, key: str = "user") -> str | None:
    """Return a login; None for a deleted account, or for a commit whose author GitHub does not know."""
    if isinstance(item, dict) and not item.get(key):
        return None
    login = require_field(path, require_field(path, item, key, dict), "login", str)
    if not job.LOGIN.fullmatch(login):
        raise refuse_answer(path, "contains an invalid login")
    return str(login)


def require_sha(path: str, item: Any) -> str:
    """Return the hash of a commit or tree."""
    sha = require_field(path, item, "sha", str)
    if not re.fullmatch(job.SHA, sha):
        raise refuse_answer(path, "has an invalid 'sha'")
    return str(sha)


def refuse_answer(path: str, problem: str) -> StepError:
    """Return the refusal of an answer that is not as GitHub documents it."""
    return StepError(
        "github_answer_unknown",
        f"GitHub's answer to GET /{path} {problem}",
        "run the job again; if it happens again, report it",
    )


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as an error: urllib would send the token to the new address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _find_api_url() -> str:
    """Return the address of GitHub's API: https, or this machine, because the token goes there."""
    address = r"(https://[\w.-]+|http://127\.0\.0\.1)(:[0-9]{1,5})?(/[\w./-]*)?"
    return job.require_variable("GITHUB_API_URL", address).rstrip("/")


def _read_body(answer: http.client.HTTPResponse) -> bytes:
    """Return the whole answer, within the limits of time and size."""
    deadline, body = time.monotonic() + TIMEOUT_S, b""
    while chunk := answer.read1(65536):
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise ValueError("larger than any expected answer")
        if time.monotonic() > deadline:
            raise TimeoutError
    return body
