"""Show what a repository lacks."""

from __future__ import annotations

from collections.abc import Iterator

from tools.github import actions, environments, keys, rules, variables
from tools.github.gh import NotOnPlan, Refused, get
from tools.github.wanted import Difference, Wanted


def differences(wanted: Wanted) -> Iterator[Difference]:
    """Return everything that needs a fix, in the order in which to fix it."""
    repository = get(f"repos/{wanted.repository}")
    if repository is None:
        raise Refused(
            f"{wanted.repository} does not exist, or you may not see it", "check owner/name, and `gh auth status`"
        )
    if not repository.get("permissions", {}).get("admin"):
        raise Refused(f"you do not administer {wanted.repository}", "log in as an administrator: gh auth login")
    at = f"repos/{wanted.repository}"
    whose = ("", "organization-")
    found = variables.Variables(*(variables.values(f"{at}/actions/{prefix}variables") for prefix in whose))
    approval = wanted.approval or found.get("APPROVAL") or "github"
    # What the merge approves is on main by then.
    promote_from = "main" if approval == "merge" else wanted.promote_from or found.get("PROMOTE_FROM") or "pr"
    if approval == "merge" and wanted.promote_from == "pr":
        raise Refused(
            "PROMOTE_FROM=pr does not go with APPROVAL=merge", "leave it out: here, the merge is the approval"
        )
    yield from actions.of_actions(at)
    yield from actions.of_workflows(at)
    limits = list(environments.of_plan(repository, approval))
    yield from limits
    for part in (
        environments.of_environments(at, wanted, approval, promote_from),
        keys.of_secrets(at, wanted.repository, found),
        variables.of_variables(at, wanted, found, approval),
        rules.of_default_branch(at, repository["default_branch"], approval),
    ):
        try:
            yield from part
        except NotOnPlan as error:
            if not limits:
                limits.append(Difference(str(error), "the workflows need it", by_hand=error.hint))
                yield limits[-1]


def doctor(wanted: Wanted) -> int:
    found = list(differences(wanted))
    for one in found:
        print(f"- {one.what}: {one.why}")
        for call in one.fix:
            print(f"  fix: {call}")
        if one.by_hand:
            print(f"  fix: {one.by_hand}")
    if not found:
        print(f"{wanted.repository} is set up")
        return 0
    print(f"\n{len(found)} to fix. `make github-setup REPO={wanted.repository}` fixes those that show a command.")
    return 1
