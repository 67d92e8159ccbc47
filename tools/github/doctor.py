"""Show what a repository lacks."""

from __future__ import annotations

from collections.abc import Iterator

from tools.github import actions, environments, keys, rules, variables
from tools.github.gh import NotOnPlan, Refused, get
from tools.github.wanted import Difference, Wanted


def find_differences(wanted: Wanted) -> Iterator[Difference]:
    """Return everything that needs a fix, in the order in which to fix it."""
    repository = get(f"repos/{wanted.repository}")
    if repository is None:
        raise Refused(
            f"{wanted.repository} does not exist, or you may not see it", "check owner/name, and `gh auth status`"
        )
    if not repository.get("permissions", {}).get("admin"):
        raise Refused(f"you do not administer {wanted.repository}", "log in as an administrator: gh auth login")
    api = f"repos/{wanted.repository}"
    prefixes = ("", "organization-")
    current = variables.Variables(*(variables.read_values(f"{api}/actions/{prefix}variables") for prefix in prefixes))
    approval = wanted.approval or current.get("APPROVAL") or "github"
    # What the merge approves is on main by then.
    promote_from = "main" if approval == "merge" else wanted.promote_from or current.get("PROMOTE_FROM") or "pr"
    if approval == "merge" and wanted.promote_from == "pr":
        raise Refused(
            "PROMOTE_FROM=pr does not go with APPROVAL=merge", "leave it out: here, the merge is the approval"
        )
    yield from actions.check_actions(api)
    yield from actions.check_workflows(api)
    limits = list(environments.check_plan(repository, approval))
    yield from limits
    for part in (
        environments.check_environments(api, wanted, approval, promote_from),
        keys.check_secrets(api, wanted.repository, current),
        variables.check_variables(api, wanted, current, approval),
        rules.check_default_branch(api, repository["default_branch"], approval),
    ):
        try:
            yield from part
        except NotOnPlan as error:
            if not limits:
                limits.append(Difference(str(error), "the workflows need it", by_hand=error.hint))
                yield limits[-1]


def report_differences(wanted: Wanted) -> int:
    differences = list(find_differences(wanted))
    for difference in differences:
        print(f"- {difference.what}: {difference.why}")
        for call in difference.fix:
            print(f"  fix: {call}")
        if difference.by_hand:
            print(f"  fix: {difference.by_hand}")
    if not differences:
        print(f"{wanted.repository} is set up")
        return 0
    print(f"\n{len(differences)} to fix. `make github-setup REPO={wanted.repository}` fixes those that show a command.")
    return 1
