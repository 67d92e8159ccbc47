"""
Call GitHub's API for the actions next to this file: each has this folder on its PYTHONPATH. Needs only Python.
"""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

AUTHOR = "github-actions[bot]"  # who writes with the workflow's own token
PAGE = 100


def ask(method: str, path: str, body: Any = None) -> Any:
    """
    GitHub's answer about what `path` names in this repository, or about the repository. Raises HTTPError if GitHub
    refuses, URLError without an answer.
    """
    request = urllib.request.Request(  # noqa: S310 - GitHub sets the address
        f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}{path and f'/{path}'}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read() or "null")


def read_pages(path: str, **query: str) -> Iterator[dict[str, Any]]:
    """Yield every row of a list that GitHub returns in pages."""
    page = 1
    while rows := ask("GET", f"{path}?{urllib.parse.urlencode(query | {'per_page': PAGE, 'page': page})}"):
        yield from rows
        if len(rows) < PAGE:
            return
        page += 1


def list_pulls(head: str, sha: str) -> Iterator[dict[str, Any]]:
    """The open pull requests from `owner:branch` whose last commit this is."""
    query = urllib.parse.urlencode({"head": head, "state": "open", "per_page": PAGE})
    return (pull for pull in ask("GET", f"pulls?{query}") if pull["head"]["sha"] == sha)
