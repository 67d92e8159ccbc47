"""Describe this job by the variables that GitHub sets: repository, workflow run, attempt, commit, and who started
it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from modelgate.errors import WRONG_USE, StepError
from modelgate.text import to_line

LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})(?:\[bot\])?")
SHA = r"[0-9a-f]{40,64}"


def is_on_github() -> bool:
    """Return whether this process runs in a job of GitHub Actions."""
    return bool(os.environ.get("GITHUB_ACTIONS"))


def read_current() -> dict[str, Any]:
    """This job, from the variables that GitHub sets."""
    logins = LOGIN.pattern
    return {
        "repository": require_variable("GITHUB_REPOSITORY", r"[A-Za-z0-9][\w-]*/(?!\.\.?$)[\w.-]+"),
        "run_id": int(require_variable("GITHUB_RUN_ID", r"[0-9]{1,18}")),
        "run_attempt": int(require_variable("GITHUB_RUN_ATTEMPT", r"[0-9]{1,9}")),
        "sha": require_variable("GITHUB_SHA", SHA),
        "actor": require_variable("GITHUB_ACTOR", logins),
        "triggering_actor": require_variable("GITHUB_TRIGGERING_ACTOR", logins),
    }


def find_pull_request() -> int | None:
    """Return the number of the pull request of this workflow run; None for the run of a branch."""
    match = re.fullmatch(r"refs/pull/([0-9]{1,9})/merge", require_variable("GITHUB_REF", r"refs/\S{1,500}"))
    return int(match[1]) if match else None


def format_attempt(github: object) -> str:
    """Format a workflow run's attempt for people."""
    if not isinstance(github, dict):
        return "no workflow run on GitHub"
    return to_line(
        f"run {github.get('run_id')} of {github.get('repository')}, attempt {github.get('run_attempt')}", 200
    )


def run_url(this_job: Mapping[str, Any]) -> str:
    """Return the attempt's page."""
    server = require_variable("GITHUB_SERVER_URL", r"https?://[\w.:-]+")
    return f"{server}/{this_job['repository']}/actions/runs/{this_job['run_id']}/attempts/{this_job['run_attempt']}"


def require_variable(name: str, pattern: str) -> str:
    """Return a variable that GitHub sets; raise StepError `github_variable` if it has an unexpected form."""
    value = os.environ.get(name, "")
    if not re.fullmatch(pattern, value, re.ASCII):
        raise StepError(
            "github_variable",
            f"{name} is {to_line(value, 100)!r}, which is not what GitHub sets",
            f"pass {name} to the step unchanged",
            WRONG_USE,
        )
    return value
