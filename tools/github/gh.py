"""Call GitHub through `gh`: read an answer, read a list in pages, change something."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from typing import Any, NamedTuple

PAGE = 100
VARIABLES_PAGE = 30  # GitHub returns at most this many at once
MAIN = "main"
NOT_LOGGED_IN = 4  # gh's exit code; `gh help exit-codes`


class Refused(Exception):
    """An error that a person can fix: message, hint, exit code."""

    def __init__(self, message: str, hint: str, code: int = 2) -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


class NotOnPlan(Refused):
    """GitHub does not offer this on the plan of the repository's owner."""


class Call(NamedTuple):
    """One call of gh. secret: the name of the secret to ask for on standard input."""

    arguments: tuple[str, ...]
    body: Any = None
    secret: str = ""

    def __str__(self) -> str:
        line = shlex.join(["gh", *self.arguments])
        if self.secret:
            return f"{line}   # asks for {self.secret} without echo"
        return line if self.body is None else f"{line} <<< {shlex.quote(json.dumps(self.body))}"


def run(arguments: tuple[str, ...], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["gh", *arguments], input=stdin or "", capture_output=True, text=True, check=False)
    except OSError as error:
        raise Refused(
            f"`gh` is not installed ({error.strerror})",
            "install it: https://cli.github.com; only `make github-setup ARGS=--dry-run` works without it",
            3,
        ) from error


def get(path: str) -> Any:
    """Return GitHub's answer, or None if there is no such thing."""
    if shutil.which("gh") is None and assumed:
        return answer_fresh(path.partition("?")[0])
    done = run(("api", path))
    if done.returncode == 0:
        return json.loads(done.stdout)
    if "HTTP 404" in done.stderr:
        return None
    if done.returncode == NOT_LOGGED_IN or "HTTP 401" in done.stderr:
        raise Refused("`gh` is not logged in", "run: gh auth login", 3)
    last_line = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    if "HTTP 403" in done.stderr and "Upgrade to" in done.stderr:
        raise NotOnPlan(
            f"GET {path} is not part of the plan: {last_line}", "make the repository public, or take another plan"
        )
    if "HTTP 403" in done.stderr:
        raise Refused(f"GET {path} is not permitted: {last_line}", "log in as an administrator: gh auth login", 2)
    raise Refused(f"GET {path} was not answered: {last_line}", "look at `gh auth status`, then run this again", 3)


def read_list(path: str, key: str = "", size: int = PAGE) -> list[dict[str, Any]]:
    """Return every row of a list that GitHub returns in pages, under `key` if the answer is an object."""
    rows: list[dict[str, Any]] = []
    while True:
        answer = get(f"{path}?per_page={size}&page={1 + len(rows) // size}")
        part = (answer[key] if key else answer) if answer else []
        rows += part
        if len(part) < size:
            return rows


assumed: list[str] = []  # the repository that a dry run without `gh` assumes to be new and public


def answer_fresh(path: str) -> Any:
    """Return what GitHub would answer about a new repository."""
    owner, _, name = path.partition("/")[2].partition("/")
    if (owner and not name) or "/teams/" in path:
        return {"id": f"the id of {path.partition('/')[2]}"}
    if path in [f"repos/{repository}" for repository in assumed]:
        fields = {"visibility": "public", "default_branch": MAIN, "permissions": {"admin": True}}
        return fields | {"owner": {"login": owner, "type": "Organization"}}
    if path.endswith("/actions/permissions"):
        return {"enabled": True, "allowed_actions": "all"}
    if path.endswith("/actions/permissions/workflow"):
        return {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": False}
    return None


def put(path: str, body: Any, method: str = "PUT") -> Call:
    return Call(("api", "--method", method, path, "--input", "-"), body)
