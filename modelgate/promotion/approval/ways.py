"""Check an approval in each of its forms, and the flags that name it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgate.errors import WRONG_USE, StepError
from modelgate.promotion.approval import job, merge, reviewer
from modelgate.promotion.approval.approver import MAX_NAME_CHARS, Approval, Model, is_name
from modelgate.text import to_line

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
