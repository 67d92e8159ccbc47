"""Check the approval of a required reviewer of the environment, in the attempt of the workflow run that was
evaluated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from modelgate.errors import StepError
from modelgate.promotion.approval import api, job, pulls
from modelgate.promotion.approval.approver import Approval, Model
from modelgate.text import to_line


def read_context(environment: str) -> dict[str, Any] | None:
    """
    Return where this evaluation runs on GitHub, for the evidence; None elsewhere.

    approvals, approvers: how many approvals of the environment this workflow run has had so far, and from whom. GitHub
    also lists those of earlier attempts, without their time, so promote must know which ones are old.
    """
    if not job.is_on_github():
        return None
    this_job = job.read_current()
    approvers = [login for login, _ in _read_decisions(this_job, environment)[0]]
    return {**this_job, "approvals": len(approvers), "approvers": approvers}


def find_approval(evidence: Mapping[str, Any], model: Model) -> Approval:
    """Return the approval of this evidence by a reviewer; refuse if there is none."""
    this_job, environment = job.read_current(), model.environment
    counted = _read_counted(evidence, this_job)
    approvals, bypassed = _read_decisions(this_job, environment)
    new = Counter(login for login, _ in approvals) - Counter(counted)
    if len(approvals) <= len(counted) and bypassed:
        raise StepError(
            "bypassed",
            f"an administrator started this job without waiting for a reviewer of the environment {environment!r}",
            "re-run all jobs and let a reviewer approve; `make github-setup` disables the bypass",
        )
    if len(approvals) <= len(counted):
        raise StepError(
            "no_approval",
            f"no one approved the environment {environment!r} in this attempt "
            f"({len(approvals)} approvals, {len(counted)} of them from before the evaluation)",
            f"add required reviewers to the environment {environment!r}; one of them approves after reading the report",
        )
    starters = pulls.list_starters(this_job, pulls.read_run(this_job), model.use_case)
    others = [login for login in new if login.lower() not in starters]
    if not others and not model.self_approval:
        raise StepError(
            "self_approval",
            f"{', '.join(sorted(new))} approved this workflow run, but started it or wrote what it judges",
            "let another reviewer approve, or set [gate] self_approval = true in the use case's config.toml",
        )
    approver = (others or list(new))[0]
    comment = [comment for login, comment in approvals if login == approver][-1]
    return Approval(approver, "github", comment, job.run_url(this_job))


def _read_counted(evidence: Mapping[str, Any], this_job: Mapping[str, Any]) -> list[str]:
    """Return whose approvals were there before the evaluation; refuse evidence of another attempt."""
    judged = evidence.get("github")
    same = ("repository", "run_id", "run_attempt")
    if not isinstance(judged, dict) or any(judged.get(key) != this_job[key] for key in same):
        raise StepError(
            "approval_other_attempt",
            f"the evidence is from {job.format_attempt(judged)}, but this is {job.format_attempt(this_job)}: "
            "an approval is only for one attempt",
            "re-run all jobs, not only the failed ones, or dispatch promote.yml",
        )
    counted = judged.get("approvers")
    if not isinstance(counted, list) or not all(isinstance(login, str) for login in counted):
        raise StepError("evidence_unreadable", "the evidence does not say whose approvals it counted", "evaluate again")
    return counted


def _read_decisions(this_job: Mapping[str, Any], environment: str) -> tuple[list[tuple[str, str]], bool]:
    """
    Return (login, comment) of every approval of the environment in this workflow run, in all attempts; and whether an
    administrator bypassed it, which GitHub calls `skipped`. The approval of a deleted account does not count.
    """
    path = f"repos/{this_job['repository']}/actions/runs/{this_job['run_id']}/approvals"
    approved, bypassed = [], False
    for review in api.require_list(path, api.get(path)):
        environments = api.require_field(path, review, "environments", list)
        names = [api.require_field(path, item, "name", str) for item in environments]
        state = api.require_field(path, review, "state", str)
        if environment in names:
            bypassed |= state == "skipped"
            if state == "approved" and (login := api.require_login(path, review)) is not None:
                approved.append((login, to_line(api.require_field(path, review, "comment", str))))
    return approved, bypassed
