"""Check GitHub Actions: whether it is on, which actions may run, what a workflow's token may do, which workflows are
off.
"""

from __future__ import annotations

from collections.abc import Iterator

from tools.github.gh import Call, get, put, read_list
from tools.github.wanted import Difference

# The third-party actions that the workflows use, in addition to GitHub's own. A test compares this with the files.
OTHERS_ACTIONS = ("docker/login-action@*",)


def check_actions(api: str) -> Iterator[Difference]:
    path = f"{api}/actions/permissions"
    settings = get(path)
    if not settings["enabled"]:
        yield Difference(
            "GitHub Actions is off", "no workflow runs", (put(path, {"enabled": True, "allowed_actions": "all"}),)
        )
    elif lacking := find_forbidden_actions(path, settings["allowed_actions"]):
        chosen = get(f"{path}/selected-actions") if settings["allowed_actions"] == "selected" else None
        patterns = [*(chosen or {}).get("patterns_allowed", []), *(name for name in lacking if name in OTHERS_ACTIONS)]
        body = {"github_owned_allowed": True, "verified_allowed": bool((chosen or {}).get("verified_allowed"))}
        yield Difference(
            f"the repository does not allow the actions {', '.join(lacking)}",
            "a workflow that uses them does not start",
            (
                put(path, {"enabled": True, "allowed_actions": "selected"}),
                put(f"{path}/selected-actions", body | {"patterns_allowed": patterns}),
            ),
        )
    token = get(f"{path}/workflow")
    good = {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
    if any(token.get(key) != value for key, value in good.items()):
        yield Difference(
            "by default, the token of a workflow may write, or approve pull requests",
            "a workflow that someone adds gets more rights than it needs",
            (put(f"{path}/workflow", good),),
        )


def find_forbidden_actions(path: str, allowed: str) -> list[str]:
    """Return the actions that the workflows use, but that the settings do not let run."""
    if allowed == "all":
        return []
    chosen = (get(f"{path}/selected-actions") or {}) if allowed == "selected" else {}
    github = [] if chosen.get("github_owned_allowed") else ["actions/*"]
    patterns = set(chosen.get("patterns_allowed") or ())
    return github + [name for name in OTHERS_ACTIONS if not {name, f"{name.partition('/')[0]}/*"} & patterns]


def check_workflows(api: str) -> Iterator[Difference]:
    """GitHub disables the workflows of a fork, and scheduled ones after 60 days. A person can disable them, too."""
    for row in read_list(f"{api}/actions/workflows", "workflows"):
        if row["state"].startswith("disabled"):
            yield Difference(
                f"the workflow {row['path']} is disabled ({row['state']})",
                "it does not run",
                (Call(("api", "--method", "PUT", f"{api}/actions/workflows/{row['id']}/enable")),),
            )
