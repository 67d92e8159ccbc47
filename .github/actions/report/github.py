"""Call GitHub's API for a report: the pull request, its comments, and check runs."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterator
from typing import Any

from api import AUTHOR, ask, list_pulls, read_pages
from forms import get_at
from page import get_marker

DEPENDABOT = "dependabot[bot]"
APP = "github-actions"


def find_pull_of_fork(head: str, sha: str) -> str:
    """
    Return the number of the open pull request from `owner:branch` whose last commit was judged; empty without one.

    Only of a fork or of Dependabot: on any other the pipeline has commented itself, whatever its branch is called.
    """
    for pull in list_pulls(head, sha):
        ours = get_at(pull, "head", "repo", "full_name") == os.environ["GITHUB_REPOSITORY"]
        if not ours or get_at(pull, "user", "login") == DEPENDABOT:
            return str(pull["number"])
    return ""


def write(number: int, use_case: str, text: str) -> str:
    """Update our comment on this model, or the one without a model, or create it."""
    ours = {
        line: comment
        for comment in list_comments(number)
        for line in (get_marker(use_case), get_marker(""))
        if has_first_line(comment, line)
    }
    if comment := ours.get(get_marker(use_case)) or ours.get(get_marker("")):
        if comment["body"] != text:
            ask("PATCH", f"issues/comments/{comment['id']}", {"body": text})
        return "updated"
    ask("POST", f"issues/{number}/comments", {"body": text})
    return "wrote"


def has_first_line(comment: dict[str, Any], line: str) -> bool:
    return str(comment["body"] or "").startswith(f"{line}\n")


def list_comments(number: int) -> Iterator[dict[str, Any]]:
    """The comments that we wrote, the newest first: each mark is then of the first one that has it."""
    # A user is null if the account was deleted.
    ours = [row for row in read_pages(f"issues/{number}/comments") if (row["user"] or {}).get("login") == AUTHOR]
    yield from reversed(ours)


def check(use_case: str, sha: str, ends: str, title: str, summary: str, address: str | None = None) -> None:
    """Create the check run of a model on a commit, or replace it. address: its page in W&B, if there is one."""
    name = f"model gate ({use_case})"
    output = {"title": title, "summary": summary}
    body = {"name": name, "status": "completed", "conclusion": ends, "output": output}
    body["details_url"] = address or os.environ["RUN_URL"]
    query = urllib.parse.urlencode({"check_name": name, "filter": "latest"})
    runs = ask("GET", f"commits/{sha}/check-runs?{query}")["check_runs"]
    ours = [run["id"] for run in runs if get_at(run, "app", "slug") == APP]
    print(f"{name}: {ends}")
    if ours:
        ask("PATCH", f"check-runs/{ours[0]}", body)
    else:
        ask("POST", "check-runs", body | {"head_sha": sha})
