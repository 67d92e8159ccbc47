"""Check the environments: who approves, which branches are allowed, and whether the plan includes environments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.github.gh import MAIN, Call, Refused, get, put, read_list
from tools.github.wanted import Difference, Wanted, list_environments

PULLS = "refs/pull/*/merge"


def check_plan(repository: dict[str, Any], approval: str) -> Iterator[Difference]:
    """A public repository has everything. A private one has no environments on Free, and reviewers only on
    Enterprise.
    """
    if repository["visibility"] == "public":
        return
    plan = find_plan(repository["owner"])
    on_plan = f"the plan {plan}" if plan else "a plan that GitHub does not show you"
    scope = f"for a {repository['visibility']} repository on {on_plan}"
    if plan == "free":
        yield Difference(
            f"environments are not available {scope}",
            "no job gets its key, and no one is asked",
            by_hand="make the repository public, or choose a plan that has them: Pro, Team or Enterprise",
        )
    elif approval == "github" and plan != "enterprise":
        yield Difference(
            f"required reviewers are not available {scope}",
            "without them, the environment lets every job in, and promote refuses each job",
            by_hand="approve by the review of the merged pull request (APPROVAL=merge), or make the repository public",
        )


def find_plan(owner: dict[str, Any]) -> str | None:
    """Return the owner's plan. GitHub shows a person's plan only to that person."""
    account = get("user" if owner["type"] == "User" else f"orgs/{owner['login']}") or {}
    if owner["type"] == "User" and account.get("login") != owner["login"]:
        return None
    name = (account.get("plan") or {}).get("name")
    return str(name) if name else None


def check_environments(api: str, wanted: Wanted, approval: str, promote_from: str) -> Iterator[Difference]:
    if get(f"{api}/environments/training") is None:
        yield Difference(
            "the environment training is missing",
            "GitHub creates it at the first run, without the key that the steps need",
            (put(f"{api}/environments/training", {}),),
        )
    for name in list_environments():
        yield from check_production(api, name, wanted, approval, promote_from)


def check_production(api: str, name: str, wanted: Wanted, approval: str, promote_from: str) -> Iterator[Difference]:
    """Check the environment whose reviewers approve a model."""
    path = f"{api}/environments/{name}"
    current = get(path)
    protection = {rule["type"]: rule for rule in (current or {}).get("protection_rules", [])}
    reviewers = list_reviewers(protection)
    chosen = [find_reviewer(login) for login in wanted.get_reviewers(name)] or reviewers
    self_review = not protection.get("required_reviewers", {}).get("prevent_self_review", False)
    body: dict[str, Any] = {"deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}}
    # GitHub's API description omits this field, but a call without it could switch the bypass on again.
    body["can_admins_bypass"] = False
    if approval == "github":
        body |= {"reviewers": chosen, "prevent_self_review": True}
    fix = (put(path, body),)
    if current is None:
        yield Difference(
            f"the environment {name} is missing",
            "GitHub creates it at the first run, without any protection",
            fix if chosen or approval == "merge" else (),
            "" if chosen or approval == "merge" else "say who may approve: REVIEWERS='login org/team'",
        )
    elif approval == "github" and not chosen:
        yield Difference(
            f"the environment {name} has no required reviewers",
            "no one can approve, and promote refuses",
            by_hand="say who may approve: REVIEWERS='login org/team'",
        )
    elif approval == "github" and (list_ids(chosen) != list_ids(reviewers) or self_review):
        text = "lets people approve their own run" if list_ids(chosen) == list_ids(reviewers) else "has other reviewers"
        yield Difference(f"the environment {name} {text}", "people other than those you named could approve", fix)
    elif (current.get("deployment_branch_policy") or {}).get("custom_branch_policies") is not True:
        yield Difference(f"the environment {name} is open to every branch", "any branch could ask for an approval", fix)
    elif current.get("can_admins_bypass", True):
        yield Difference(
            f"the environment {name} lets administrators bypass the reviewers",
            "promote refuses that run as `bypassed`",
            fix,
        )
    yield from check_branches(path, name, promote_from)


def list_reviewers(protection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the required reviewers, in the form that GitHub accepts."""
    return [
        {"type": reviewer["type"], "id": reviewer["reviewer"]["id"]}
        for reviewer in protection.get("required_reviewers", {}).get("reviewers", [])
    ]


def find_reviewer(name: str) -> dict[str, Any]:
    organization, _, team = name.rpartition("/")
    account = get(f"orgs/{organization}/teams/{team}" if organization else f"users/{name}")
    if account is None:
        raise Refused(f"there is no {'team' if organization else 'user'} {name!r}", "use a login, or org/team")
    return {"type": "Team" if organization else "User", "id": account["id"]}


def list_ids(reviewers: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(reviewer["type"], reviewer["id"]) for reviewer in reviewers}


def check_branches(environment: str, name: str, promote_from: str) -> Iterator[Difference]:
    patterns = {MAIN, PULLS} if promote_from == "pr" else {MAIN}
    path = f"{environment}/deployment-branch-policies"
    policies = {row["name"]: row["id"] for row in read_list(path, "branch_policies")}
    for pattern in sorted(patterns - policies.keys()):
        yield Difference(
            f"{name} does not allow the branch {pattern}",
            "a promotion from there is refused before anyone is asked",
            (put(path, {"name": pattern}, "POST"),),
        )
    for pattern in sorted(policies.keys() - patterns):
        yield Difference(
            f"{name} allows the branch {pattern}",
            f"PROMOTE_FROM={promote_from} allows only {' and '.join(sorted(patterns))}",
            (Call(("api", "--method", "DELETE", f"{path}/{policies[pattern]}")),),
        )
