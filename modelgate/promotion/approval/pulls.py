"""Find out what a workflow run judges, whether it can still be approved, and who wrote it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

from modelgate.errors import StepError
from modelgate.promotion.approval import api, job
from modelgate.text import to_line

_MAX_COMMITS = 250  # of a pull request; GitHub does not list more


def commit() -> dict[str, Any] | None:
    """
    Return the commit of this workflow run in lasting terms, for the evidence; None outside GitHub.

    For a pull request, the commit is a merge that GitHub makes only for this run. It is on no branch, so the evidence
    also names the pull request, its last commit (`head`), the commit that it was merged into (`base`), and the `tree`
    of the files, which is the same after a squash.
    """
    if not job.is_on_github():
        return None
    this_job = job.read_current()
    path = f"repos/{this_job['repository']}/git/commits/{this_job['sha']}"
    answer, number = api.get(path), job.find_pull_request()
    parents = [api.require_sha(path, parent) for parent in api.require_field(path, answer, "parents", list)]
    if number is not None and len(parents) != 2:
        raise api.refuse_answer(path, "is not a merge of two commits")
    base, head = (None, None) if number is None else parents
    tree = api.require_sha(path, api.require_field(path, answer, "tree", dict))
    return {"head": head, "base": base, "tree": tree, "pull_request": number}


def read_run(this_job: Mapping[str, Any]) -> dict[str, Any]:
    """This workflow run: its event, branch, commit, number and workflow."""
    path = f"repos/{this_job['repository']}/actions/runs/{this_job['run_id']}"
    answer = api.get(path)
    kinds = {"event": str, "head_branch": str, "head_sha": str, "run_number": int, "workflow_id": int}
    return {name: api.require_field(path, answer, name, kind) for name, kind in kinds.items()}


def list_starters(this_job: Mapping[str, Any], run: Mapping[str, Any], use_case: str) -> set[str]:
    """
    Return the people who do not count as reviewers of this workflow run, in lower case: those who started it or wrote
    what it judges.

    The person who only merged a pull request is not one of them. Refuse if there is something newer to approve.
    """
    started = {this_job["actor"], this_job["triggering_actor"]}
    number = job.find_pull_request()
    pull: dict[str, Any] | None = None
    if number is not None:
        pull = _open_pull(this_job, run, number)
    else:
        check_newest(this_job, run, use_case)
        if run["event"] == "push" and (pull := find_merged(this_job)) is not None:
            started.discard(this_job["actor"])
    return {login.lower() for login in started} | (set() if pull is None else list_writers(this_job, pull))


def _open_pull(this_job: Mapping[str, Any], run: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the pull request; refuse if it is closed, or if its last commit is not that of this workflow run."""
    path = f"repos/{this_job['repository']}/pulls/{number}"
    pull = api.get(path)
    if api.require_field(path, pull, "state", str) != "open":
        raise StepError(
            "pull_request_closed",
            f"pull request #{number} is closed",
            "reopen it; or, if it was merged, promote from main",
        )
    head = api.require_sha(path, api.require_field(path, pull, "head", dict))
    if head != run["head_sha"]:
        raise StepError(
            "pull_request_moved",
            f"pull request #{number} is now at commit {head}, but another one was evaluated",
            "approve the workflow run of its last commit",
        )
    return dict(pull)


def check_newest(this_job: Mapping[str, Any], run: Mapping[str, Any], use_case: str) -> None:
    """
    Refuse if the workflow run of a later push to the branch is also about this use case.

    A run that ended without success does not count. The jobs of a use case are called `<use case> / <step>`.
    """
    path = f"repos/{this_job['repository']}/actions/workflows/{run['workflow_id']}/runs"
    branch = urllib.parse.quote(run["head_branch"], safe="")
    answer = api.get(f"{path}?event=push&branch={branch}&per_page={api.PAGE}")
    for other in api.require_field(path, answer, "workflow_runs", list):
        failed = api.require_field(path, other, "status", str) == "completed" and other.get("conclusion") != "success"
        number, newer = api.require_field(path, other, "id", int), api.require_field(path, other, "run_number", int)
        if newer > run["run_number"] and not failed and _is_about(this_job, number, use_case):
            raise StepError(
                "superseded",
                f"workflow run {number} evaluates a newer commit of {to_line(run['head_branch'], 100)}",
                "approve that run; or promote this version with promote.yml",
            )


def _is_about(this_job: Mapping[str, Any], number: int, use_case: str) -> bool:
    """Return whether a workflow run has jobs of this use case."""
    path = f"repos/{this_job['repository']}/actions/runs/{number}/jobs"
    names = (api.require_field(path, each, "name", str) for each in api.read_pages(path, "jobs"))
    return any(name.startswith(f"{use_case} / ") for name in names)


def list_writers(this_job: Mapping[str, Any], pull: Mapping[str, Any]) -> set[str]:
    """Return who opened a pull request, and the authors and committers of its commits, in lower case."""
    pulls = f"repos/{this_job['repository']}/pulls"
    number = api.require_field(pulls, pull, "number", int)
    path = f"{pulls}/{number}/commits"
    commits = list(api.read_pages(path))
    if len(commits) >= _MAX_COMMITS:
        raise StepError(
            "too_many_commits",
            f"pull request #{number} has {_MAX_COMMITS} commits or more, but GitHub does not list all their authors",
            "squash its commits, or split it",
        )
    people = [api.require_login(path, commit, key) for commit in commits for key in ("author", "committer")]
    return {login.lower() for login in [api.require_login(pulls, pull), *people] if login is not None}


def find_merged(this_job: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the pull request whose merge into the default branch made the commit of this run; None without one."""
    path = f"repos/{this_job['repository']}/commits/{this_job['sha']}/pulls"
    return next((pull for pull in api.read_pages(path) if _is_merge(path, pull, this_job)), None)


def _is_merge(path: str, pull: Any, this_job: Mapping[str, Any]) -> bool:
    """Return whether merging this pull request into the default branch made the commit of this run."""
    base, head = api.require_field(path, pull, "base", dict), api.require_field(path, pull, "head", dict)
    repository = api.require_field(path, base, "repo", dict)
    return (
        isinstance(pull.get("merged_at"), str)
        and api.require_field(path, repository, "full_name", str) == this_job["repository"]
        and api.require_field(path, base, "ref", str) == api.require_field(path, repository, "default_branch", str)
        and this_job["sha"] in (pull.get("merge_commit_sha"), api.require_field(path, head, "sha", str))
    )
