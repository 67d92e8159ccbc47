"""
Find out who approved. This package is the only place in the steps that knows GitHub.

A promotion without an approval is refused, whatever the verdict. An approval has one of four forms:

name    a person at their own machine gives their name, after reading the report
browser the same, by the button under the report on the pages of this machine
github  on GitHub, a required reviewer of the use case's environment let this run continue
merge   on GitHub, if the plan has no required reviewers: the approving review of the pull request that was merged

A person who started the workflow run, or wrote what it judges, does not count.

GitHub creates a missing environment without any protection, so a job that names one proves nothing. That is why promote
asks GitHub who approved. The answer is input from outside: every type is checked, and an answer of another shape is a
refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgate.errors import WRONG_USE, StepError
from modelgate.promotion.approval import job, merge, reviewer
from modelgate.promotion.approval.approver import MAX_NAME_CHARS, Approval, Model, is_name
from modelgate.promotion.approval.pulls import commit
from modelgate.promotion.approval.reviewer import read_context
from modelgate.text import to_line

__all__ = ["WAYS", "Approval", "Model", "check_flags", "commit", "read_context"]

WAYS = ("github", "merge")


def check_flags(approver: str | None, method: str | None) -> None:
    """Refuse flags that cannot be an approval on this machine, before anything is asked."""
    if approver is not None and method is not None:
        raise StepError(
            "two_approvals", "--approver and --approval were both given", "use only one of them", exit_code=WRONG_USE
        )
    if method is not None and not job.is_on_github():
        raise StepError(
            "not_on_github",
            f"--approval {method} asks GitHub who approved its run, but this is not a run of GitHub Actions",
            "read the report, then give your name: --approver NAME",
        )
    if method is None and job.is_on_github():
        raise StepError(
            "name_is_no_approval",
            "on GitHub, a name on the command line is not an approval: anyone who can edit the workflow could write it",
            "use --approval github, or read the report and promote from your own machine",
        )
    if method is None and not to_line(approver or ""):
        raise StepError(
            "no_approval",
            "no one approved this evidence",
            "read the report, then give your name: --approver NAME",
        )
    if method is None and not is_name(approver or ""):
        raise StepError(
            "approver_not_a_name",
            f"--approver {to_line(approver, MAX_NAME_CHARS)!r} is not a person's name, login or e-mail address",
            "use a name that your colleagues know: --approver 'Ada Lovelace'",
            WRONG_USE,
        )


def check(
    approver: str | None, method: str | None, evidence: Mapping[str, Any], model: Model, *, in_browser: bool = False
) -> Approval:
    """Return the approval of this evidence; refuse if there is none. The flags have passed `check_flags`."""
    if method == "github":
        return reviewer.find_approval(evidence, model)
    if method == "merge":
        return merge.find_approval(evidence, model)
    return Approval(to_line(approver or "", MAX_NAME_CHARS), "browser" if in_browser else "name")
