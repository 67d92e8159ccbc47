"""
Who said yes. The one place in the steps that knows GitHub.

A promotion without an approval is refused, whatever the verdict.
"""

from __future__ import annotations

import os

from steps.common.cli import StepError


def by_name(approver: str | None) -> str:
    """The person who approves, as named on the command line; refused when nobody is, or on GitHub."""
    if os.environ.get("GITHUB_ACTIONS"):
        raise StepError(
            "name_is_no_approval",
            "on GitHub a name on the command line approves nothing: whoever can edit the workflow could write it",
            "promote from a machine of your own, after reading the report",
        )
    if not (approver or "").strip():
        raise StepError(
            "no_approval",
            "nobody approved this evidence",
            "read the report, then name yourself: --approver NAME",
        )
    return str(approver).strip()
