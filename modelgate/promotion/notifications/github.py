"""Notify GitHub: the deployment that the environment of promote's job created, and a `repository_dispatch`."""

from __future__ import annotations

import os
import re
from typing import Any

from modelgate.promotion.approval import api, job
from modelgate.promotion.notifications.message import EVENT, Message
from modelgate.promotion.notifications.untold import Untold
from modelgate.text import shorten_name, to_line

REPOSITORY, TOKEN = "PROMOTION_DISPATCH_REPOSITORY", "PROMOTION_DISPATCH_TOKEN"
_NAME = re.compile(r"[A-Za-z0-9][\w-]*/(?!\.\.?$)[\w.-]+", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_RUN = re.compile(r"https?://[\w.:-]+/([\w-]+/[\w.-]+)/actions/runs/([0-9]{1,18})/attempts/[0-9]{1,9}", re.ASCII)
_LOOK_AT = 10  # the newest deployments of the environment
_MAX_DESCRIPTION = 140  # GitHub's


def find_workflow_run() -> str | None:
    """Return the page of this workflow run's attempt; None outside GitHub Actions."""
    return job.run_url(job.read_current()) if job.is_on_github() else None


def set_status(message: Message) -> None:
    """Add a status with the version's page, digest and entry to the deployment of the workflow run that promoted."""
    page = str(message.entry.content.get("workflow_run"))
    by = _RUN.fullmatch(page)
    if by is None or not job.is_on_github() or by[1] != job.read_current()["repository"]:
        raise Untold("only a workflow run of the repository that promoted can update its deployment")
    repository, run = by.groups()
    deployment, statuses = _find_deployment(repository, run, message.environment)
    status = {"state": "success", "description": _describe(message), "log_url": page, "auto_inactive": False}
    status |= {"environment_url": message.link} if message.link else {}
    if not any(known.get("description") == status["description"] for known in statuses):
        api.post(f"repos/{repository}/deployments/{deployment}/statuses", status)


def dispatch(message: Message) -> None:
    """Start the workflows of a repository that wait for `model-promoted`. The token needs write access to its
    contents.
    """
    repository, token = os.environ.get(REPOSITORY, ""), os.environ.get(TOKEN, "")
    if not _NAME.fullmatch(repository):
        raise Untold(f"{REPOSITORY} is {to_line(repository, 100)!r}, but must be owner/name")
    if not token and repository != job.read_current()["repository"]:
        raise Untold(f"{TOKEN} is not set: the workflow's own token cannot start anything in {repository}")
    if token and not _TOKEN.fullmatch(token):
        raise Untold(f"{TOKEN} is not a token: there is a space or a line break in it")
    api.post(f"repos/{repository}/dispatches", {"event_type": EVENT, "client_payload": message.as_json()}, token)


def _describe(message: Message) -> str:
    entry = message.entry
    name = shorten_name(entry.content["to"]["name"])
    description = f"digest {entry.content['to']['digest']}, ledger entry v{entry.number} ({entry.sha256[:12]}), {name}"
    return to_line(description, _MAX_DESCRIPTION)


def _find_deployment(repository: str, run: str, environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of the deployment that a workflow run created, and its statuses, whose addresses name the
    run.
    """
    path = f"repos/{repository}/deployments"
    listed = api.require_list(path, api.get(f"{path}?environment={environment}&per_page={_LOOK_AT}"))
    for deployment in listed:
        number = api.require_field(path, deployment, "id", int)
        own = f"{path}/{number}/statuses"
        statuses = [status for status in api.require_list(own, api.get(own)) if isinstance(status, dict)]
        pages = [str(status.get(key)) for status in statuses for key in ("log_url", "target_url")]
        if any(f"/{repository}/actions/runs/{run}/" in f"{page}/" for page in pages):
            return number, statuses
    raise Untold(f"none of the last {_LOOK_AT} deployments to {environment} is of the workflow run that promoted")
