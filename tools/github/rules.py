"""Check what can reach the default branch: its name, its owners, and the ruleset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.github.gh import MAIN, Call, get, put, read_list
from tools.github.wanted import Difference

RULESET = "modelgate: what reaches the default branch"
CHECK = {
    "context": "done",
    "integration_id": 15368,
}  # GitHub Actions; otherwise anyone with write access could set the status


def check_default_branch(api: str, branch: str, approval: str) -> Iterator[Difference]:
    if branch != MAIN:
        yield Difference(
            f"the default branch is {branch}",
            "the workflows and the environment expect main",
            (put(f"{api}/branches/{branch}/rename", {"new_name": MAIN}, "POST"),),
        )
    for error in (get(f"{api}/codeowners/errors") or {"errors": []})["errors"]:
        yield Difference(
            f"{error['path']}, line {error['line']}: {error['kind']}",
            "a line that GitHub cannot read protects nothing",
            by_hand="write a user or team with write access there, and merge it",
        )
    rules = read_list(f"{api}/rules/branches/{branch}")
    # If several rulesets have a rule of the same kind, all of them apply.
    reviews = [rule["parameters"] for rule in rules if rule["type"] == "pull_request"]
    checks = [rule["parameters"] for rule in rules if rule["type"] == "required_status_checks"]
    good = any(CHECK.items() <= status.items() for check in checks for status in check["required_status_checks"])
    good = good and any(review["require_code_owner_review"] for review in reviews)
    if approval == "merge":
        good = good and any(review["required_approving_review_count"] for review in reviews)
    if not good:
        yield Difference(
            f"{branch} can be changed without the check `done` of GitHub Actions and the review of a code owner",
            "anyone who can change the steps or the workflows can change what judges a model",
            (write_ruleset(f"{api}/rulesets"),),
        )


def write_ruleset(path: str) -> Call:
    """Create the ruleset, or replace the one of the same name: GitHub allows only one of each name."""
    ours = [row["id"] for row in read_list(path) if row["name"] == RULESET and row.get("source_type") != "Organization"]
    return put(f"{path}/{ours[0]}", build_ruleset()) if ours else put(path, build_ruleset(), "POST")


def build_ruleset() -> dict[str, Any]:
    review = {
        "required_approving_review_count": 1,
        "require_code_owner_review": True,
        "require_last_push_approval": True,
        "dismiss_stale_reviews_on_push": True,
        "required_review_thread_resolution": False,
    }
    checks = {"strict_required_status_checks_policy": False, "required_status_checks": [CHECK]}
    return {
        "name": RULESET,
        "target": "branch",
        "enforcement": "active",
        "conditions": {"ref_name": {"include": ["~DEFAULT_BRANCH"], "exclude": []}},
        "rules": [
            {"type": "deletion"},
            {"type": "non_fast_forward"},
            {"type": "pull_request", "parameters": review},
            {"type": "required_status_checks", "parameters": checks},
        ],
    }
