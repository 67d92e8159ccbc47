"""
Set a repository on GitHub up for the workflows here, and say what it lacks.

    python3 tools/github_setup.py doctor owner/name
    python3 tools/github_setup.py setup owner/name --reviewer bob --reviewer acme/ml --entity acme [--dry-run]

Both look at the same list: what has to be so, what is found, and the call that mends it. `doctor` prints the
differences, `setup` makes the calls; so a second `setup` changes nothing, and `--dry-run` prints what the first would
do.

Asks GitHub through `gh` (https://cli.github.com), logged in as somebody who administers the repository. Secrets are
asked for without echo and handed to `gh` on its standard input; they are never printed and never on a command line.

`setup --dry-run` works without `gh` too: it then prints what a fresh public repository needs.

Exits 0 nothing is left to mend; 1 something is, and it is named; 2 wrong use; 3 gh or GitHub is not available.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

MAIN, PULLS = "main", "refs/pull/*/merge"
MAX_REVIEWERS = 6
# Who may do what with W&B; the environment alone decides which job gets to see it. See docs/github.md.
SECRETS = {
    "training": ("WANDB_API_KEY", "reads and writes the project, links into the registry"),
    "production": ("WANDB_PROMOTE_KEY", "the only key that may set the alias production"),
}
DATA_TOKEN = "DATA_TOKEN"  # noqa: S105 - the name of the one that a use case may declare
RULESET = "modelgate: what reaches the default branch"
CHECK = {"context": "done", "integration_id": 15368}  # GitHub Actions; else whoever may write could set the status
# The actions of others that the workflows use, beside GitHub's own; a test holds this to the files.
OTHERS_ACTIONS = ("docker/login-action@*",)
PAGE = 100
VARIABLES_PAGE = 30  # GitHub gives no more of these at once


class Refused(Exception):
    """What a person can mend: message, hint, exit code."""

    def __init__(self, message: str, hint: str, code: int = 2) -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


class NotOnPlan(Refused):
    """GitHub does not offer this to the repository on its owner's plan."""


class Call(NamedTuple):
    """One call of gh. secret: the name of what its standard input is asked for."""

    words: tuple[str, ...]
    body: Any = None
    secret: str = ""

    def __str__(self) -> str:
        line = shlex.join(["gh", *self.words])
        if self.secret:
            return f"{line}   # asks for {self.secret} without echo"
        return line if self.body is None else f"{line} <<< {shlex.quote(json.dumps(self.body))}"


class Difference(NamedTuple):
    """Something that is not as it has to be; `mend` is empty where only a person can."""

    what: str
    why: str
    mend: tuple[Call, ...] = ()
    by_hand: str = ""


class Wanted(NamedTuple):
    """What the person wants of the repository; None is: whatever it has, if it has anything."""

    repository: str
    reviewers: tuple[str, ...]
    entity: str | None
    base_url: str | None
    approval: str | None
    promote_from: str | None


# --- gh --------------------------------------------------------------------------------------------------------------


def gh(words: tuple[str, ...], given: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["gh", *words], input=given or "", capture_output=True, text=True, check=False)
    except OSError as error:
        raise Refused(f"there is no `gh` here ({error.strerror})", "install it: https://cli.github.com", 3) from error


def get(path: str) -> Any:
    """GitHub's answer, or None where there is no such thing."""
    if shutil.which("gh") is None and assumed:
        return fresh(path.partition("?")[0])
    done = gh(("api", path))
    if done.returncode == 0:
        return json.loads(done.stdout)
    if "HTTP 404" in done.stderr:
        return None
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    if "HTTP 403" in done.stderr and "Upgrade to" in done.stderr:
        raise NotOnPlan(
            f"GET {path} is not part of the plan: {said}", "make the repository public, or take another plan"
        )
    if "HTTP 403" in done.stderr:
        raise Refused(f"GET {path} is not permitted: {said}", "log in as an administrator of it: gh auth login", 2)
    raise Refused(f"GET {path} was not answered: {said}", "look at `gh auth status`, then run this again", 3)


def listed(path: str, key: str = "", size: int = PAGE) -> list[dict[str, Any]]:
    """Every row of a list that GitHub gives in pages, under `key` where the answer is an object; empty without one."""
    found: list[dict[str, Any]] = []
    while True:
        answer = get(f"{path}?per_page={size}&page={1 + len(found) // size}")
        part = (answer[key] if key else answer) if answer else []
        found += part
        if len(part) < size:
            return found


assumed: list[str] = []  # the repository of which a dry run without `gh` assumes that it is fresh and public


def fresh(path: str) -> Any:
    """What GitHub would answer about a repository that was just made."""
    owner, _, name = path.partition("/")[2].partition("/")
    if (owner and not name) or "/teams/" in path:
        return {"id": f"the id of {path.partition('/')[2]}"}
    if path in [f"repos/{repository}" for repository in assumed]:
        about = {"visibility": "public", "default_branch": MAIN, "permissions": {"admin": True}}
        return about | {"owner": {"login": owner, "type": "Organization"}}
    if path.endswith("/actions/permissions"):
        return {"enabled": True, "allowed_actions": "all"}
    if path.endswith("/actions/permissions/workflow"):
        return {"default_workflow_permissions": "write", "can_approve_pull_request_reviews": False}
    return None


def put(path: str, body: Any, method: str = "PUT") -> Call:
    return Call(("api", "--method", method, path, "--input", "-"), body)


# --- what has to be so -----------------------------------------------------------------------------------------------


def differences(wanted: Wanted) -> Iterator[Difference]:
    """Everything that is to be mended, in the order in which it is."""
    repository = get(f"repos/{wanted.repository}")
    if repository is None:
        raise Refused(f"{wanted.repository} is not found, or not yours to see", "give owner/name; see `gh auth status`")
    if not repository.get("permissions", {}).get("admin"):
        raise Refused(f"you do not administer {wanted.repository}", "log in as somebody who does: gh auth login")
    at = f"repos/{wanted.repository}"
    variables = Variables(*(values(f"{at}/actions/{whose}variables") for whose in ("", "organization-")))
    approval = wanted.approval or variables.get("APPROVAL") or "github"
    # What the merge approves is on main by then.
    promote_from = "main" if approval == "merge" else wanted.promote_from or variables.get("PROMOTE_FROM") or "pr"
    if approval == "merge" and wanted.promote_from == "pr":
        raise Refused(
            "PROMOTE_FROM=pr does not go with APPROVAL=merge", "leave it out: the merge is before the approval"
        )
    yield from of_actions(at)
    yield from of_workflows(at)
    limits = list(of_plan(repository, approval))
    yield from limits
    for part in (
        of_environments(at, wanted, approval, promote_from),
        of_secrets(at, wanted.repository),
        of_variables(at, wanted, variables, approval),
        of_default_branch(at, repository["default_branch"], approval),
    ):
        try:
            yield from part
        except NotOnPlan as error:
            if not limits:
                limits.append(Difference(str(error), "the workflows need it", by_hand=error.hint))
                yield limits[-1]


class Variables(NamedTuple):
    """The repository's own variables, and its organization's, which hold where it has none of its own."""

    own: dict[str, str]
    organization: dict[str, str]

    def get(self, name: str) -> str | None:
        return (self.organization | self.own).get(name)


def values(path: str) -> dict[str, str]:
    return {row["name"]: row["value"] for row in listed(path, "variables", VARIABLES_PAGE)}


def of_actions(at: str) -> Iterator[Difference]:
    path = f"{at}/actions/permissions"
    found = get(path)
    if not found["enabled"]:
        yield Difference(
            "GitHub Actions is off", "no workflow runs", (put(path, {"enabled": True, "allowed_actions": "all"}),)
        )
    elif lacking := actions_that_are_not_allowed(path, found["allowed_actions"]):
        chosen = get(f"{path}/selected-actions") if found["allowed_actions"] == "selected" else None
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
            "the token of a workflow may write, or approve pull requests, unless a workflow says otherwise",
            "a workflow that somebody adds begins with more than it needs",
            (put(f"{path}/workflow", good),),
        )


def actions_that_are_not_allowed(path: str, allowed: str) -> list[str]:
    """Of GitHub's own and of others, those that the workflows use and the settings do not let run."""
    if allowed == "all":
        return []
    chosen = (get(f"{path}/selected-actions") or {}) if allowed == "selected" else {}
    github = [] if chosen.get("github_owned_allowed") else ["actions/*"]
    patterns = set(chosen.get("patterns_allowed") or ())
    return github + [name for name in OTHERS_ACTIONS if not {name, f"{name.partition('/')[0]}/*"} & patterns]


def of_workflows(at: str) -> Iterator[Difference]:
    """GitHub switches the workflows of a fork off, and scheduled ones after 60 days; a person can, too."""
    for row in listed(f"{at}/actions/workflows", "workflows"):
        if row["state"].startswith("disabled"):
            yield Difference(
                f"the workflow {row['path']} is switched off ({row['state']})",
                "it does not run",
                (Call(("api", "--method", "PUT", f"{at}/actions/workflows/{row['id']}/enable")),),
            )


def of_plan(repository: dict[str, Any], approval: str) -> Iterator[Difference]:
    """A public repository has everything; a private one no environments on Free, and reviewers on Enterprise alone."""
    if repository["visibility"] == "public":
        return
    plan = plan_of(repository["owner"])
    where = f"for a {repository['visibility']} repository on the plan {plan or 'that GitHub does not tell you'}"
    if plan == "free":
        yield Difference(
            f"environments do not exist {where}",
            "no job gets its key, and nobody is asked",
            by_hand="make the repository public, or take a plan that has them: Pro, Team or Enterprise",
        )
    elif approval == "github" and plan != "enterprise":
        yield Difference(
            f"required reviewers do not exist {where}",
            "an environment without them lets every job in, and promote refuses each of them",
            by_hand="approve by the review of the merged pull request (APPROVAL=merge), or make the repository public",
        )


def plan_of(owner: dict[str, Any]) -> str | None:
    """The owner's plan; of a person GitHub tells it to that person alone."""
    found = get("user" if owner["type"] == "User" else f"orgs/{owner['login']}") or {}
    if owner["type"] == "User" and found.get("login") != owner["login"]:
        return None
    name = (found.get("plan") or {}).get("name")
    return str(name) if name else None


def of_environments(at: str, wanted: Wanted, approval: str, promote_from: str) -> Iterator[Difference]:
    if get(f"{at}/environments/training") is None:
        yield Difference(
            "the environment training is missing",
            "GitHub makes it at the first run, without the key that the steps need",
            (put(f"{at}/environments/training", {}),),
        )
    found = get(f"{at}/environments/production")
    protection = {rule["type"]: rule for rule in (found or {}).get("protection_rules", [])}
    reviewers = [
        {"type": one["type"], "id": one["reviewer"]["id"]}
        for one in protection.get("required_reviewers", {}).get("reviewers", [])
    ]
    chosen = [reviewer_of(name) for name in wanted.reviewers] or reviewers
    self_review = not protection.get("required_reviewers", {}).get("prevent_self_review", False)
    body: dict[str, Any] = {"deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True}}
    # GitHub's description of its API leaves this one out, and a call without it could switch the bypass on again.
    body["can_admins_bypass"] = False
    if approval == "github":
        body |= {"reviewers": chosen, "prevent_self_review": True}
    mend = (put(f"{at}/environments/production", body),)
    if found is None:
        yield Difference(
            "the environment production is missing",
            "GitHub makes it at the first run, without any protection",
            mend if chosen or approval == "merge" else (),
            "" if chosen or approval == "merge" else "name who may approve: REVIEWERS='login org/team'",
        )
    elif approval == "github" and not chosen:
        yield Difference(
            "the environment production has no required reviewers",
            "nobody can approve, and promote refuses",
            by_hand="name who may approve: REVIEWERS='login org/team'",
        )
    elif approval == "github" and (by_id(chosen) != by_id(reviewers) or self_review):
        what = "lets who started a run approve it" if by_id(chosen) == by_id(reviewers) else "has other reviewers"
        yield Difference(f"the environment production {what}", "the approval is not that of who you named", mend)
    elif (found.get("deployment_branch_policy") or {}).get("custom_branch_policies") is not True:
        yield Difference("the environment production is open to every branch", "any branch could ask for it", mend)
    elif found.get("can_admins_bypass", True):
        yield Difference(
            "the environment production lets administrators pass without a reviewer",
            "promote refuses such a run as `bypassed`",
            mend,
        )
    yield from of_branches(f"{at}/environments/production/deployment-branch-policies", promote_from)


def reviewer_of(name: str) -> dict[str, Any]:
    organization, _, team = name.rpartition("/")
    found = get(f"orgs/{organization}/teams/{team}" if organization else f"users/{name}")
    if found is None:
        raise Refused(f"there is no {'team' if organization else 'user'} {name!r}", "give a login, or org/team")
    return {"type": "Team" if organization else "User", "id": found["id"]}


def by_id(reviewers: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(one["type"], one["id"]) for one in reviewers}


def of_branches(path: str, promote_from: str) -> Iterator[Difference]:
    patterns = {MAIN, PULLS} if promote_from == "pr" else {MAIN}
    found = {row["name"]: row["id"] for row in listed(path, "branch_policies")}
    for name in sorted(patterns - found.keys()):
        yield Difference(
            f"production does not let {name} in",
            "a promotion from there is refused before anybody is asked",
            (put(path, {"name": name}, "POST"),),
        )
    for name in sorted(found.keys() - patterns):
        yield Difference(
            f"production lets {name} in",
            f"PROMOTE_FROM={promote_from} names {' and '.join(sorted(patterns))} alone",
            (Call(("api", "--method", "DELETE", f"{path}/{found[name]}")),),
        )


def of_secrets(at: str, repository: str) -> Iterator[Difference]:
    for environment, (name, purpose) in SECRETS.items():
        there = {row["name"] for row in listed(f"{at}/environments/{environment}/secrets", "secrets")}
        if name not in there:
            call = Call(("secret", "set", name, "--env", environment, "--repo", repository), secret=name)
            yield Difference(f"the environment {environment} has no secret {name}", purpose, (call,))
        for other in sorted({name for name, _ in SECRETS.values()} & there - {name}):
            yield Difference(
                f"the environment {environment} has the secret {other} of the other environment",
                "one key for training and for production is no second key",
                (Call(("secret", "delete", other, "--env", environment, "--repo", repository)),),
            )
    ours = {DATA_TOKEN, *(name for name, _ in SECRETS.values())}
    for row in listed(f"{at}/actions/secrets", "secrets"):
        if row["name"] in ours:
            yield Difference(
                f"the repository has the secret {row['name']} for every job",
                "it belongs in its environment alone",
                (Call(("secret", "delete", row["name"], "--repo", repository)),),
            )
    for row in listed(f"{at}/actions/organization-secrets", "secrets"):
        if row["name"] in ours:
            yield Difference(
                f"the organization has the secret {row['name']} for every job of this repository",
                "it belongs in its environment alone",
                by_hand="take this repository out of the secret's list, in the settings of the organization",
            )


def of_variables(at: str, wanted: Wanted, variables: Variables, approval: str) -> Iterator[Difference]:
    found = variables.organization | variables.own
    asked = {
        "WANDB_ENTITY": wanted.entity,
        "WANDB_BASE_URL": wanted.base_url,
        "APPROVAL": wanted.approval,
        "PROMOTE_FROM": "main" if approval == "merge" else wanted.promote_from,
    }
    for name, value in asked.items():
        if value is not None and found.get(name) != value:
            body = {"name": name, "value": value}
            there = name in variables.own
            path = f"{at}/actions/variables{'/' + name if there else ''}"
            yield Difference(
                f"the variable {name} is {repr(found[name]) if name in found else 'not set'}, and has to be {value!r}",
                "the workflows read it",
                (put(path, body, "PATCH" if there else "POST"),),
            )
    if wanted.entity is None and not found.get("WANDB_ENTITY"):
        yield Difference(
            "the variable WANDB_ENTITY is missing",
            "the steps would write to whatever entity each key has by default",
            by_hand="say which: ENTITY=your-team",
        )
    for name, allowed in (("APPROVAL", ("github", "merge")), ("PROMOTE_FROM", ("pr", "main"))):
        if name in found and found[name] not in allowed:
            yield Difference(
                f"the variable {name} is {found[name]!r}",
                f"it may be {' or '.join(allowed)}",
                by_hand=f"say which: {name}={allowed[0]}",
            )


def of_default_branch(at: str, branch: str, approval: str) -> Iterator[Difference]:
    if branch != MAIN:
        yield Difference(
            f"the default branch is {branch}",
            "the workflows and the environment name main",
            (put(f"{at}/branches/{branch}/rename", {"new_name": MAIN}, "POST"),),
        )
    for error in (get(f"{at}/codeowners/errors") or {"errors": []})["errors"]:
        yield Difference(
            f"{error['path']}, line {error['line']}: {error['kind']}",
            "a line that GitHub cannot read protects nothing",
            by_hand="write a user or team with write access there, and merge it",
        )
    rules = listed(f"{at}/rules/branches/{branch}")
    # Of several rules of a kind, from several rulesets, all hold.
    reviews = [rule["parameters"] for rule in rules if rule["type"] == "pull_request"]
    checks = [rule["parameters"] for rule in rules if rule["type"] == "required_status_checks"]
    good = any(CHECK.items() <= one.items() for check in checks for one in check["required_status_checks"])
    good = good and any(review["require_code_owner_review"] for review in reviews)
    if approval == "merge":
        good = good and any(review["required_approving_review_count"] for review in reviews)
    if not good:
        yield Difference(
            f"{branch} can be changed without the check `done` of GitHub Actions and the review of a code owner",
            "who can change the steps or the workflows can change what judges a model",
            (of_ruleset(f"{at}/rulesets"),),
        )


def of_ruleset(path: str) -> Call:
    """Make the ruleset, or write it anew where there is one of its name, of which GitHub takes one alone."""
    ours = [one["id"] for one in listed(path) if one["name"] == RULESET and one.get("source_type") != "Organization"]
    return put(f"{path}/{ours[0]}", ruleset()) if ours else put(path, ruleset(), "POST")


def ruleset() -> dict[str, Any]:
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


# --- the two commands ------------------------------------------------------------------------------------------------


def doctor(wanted: Wanted) -> int:
    found = list(differences(wanted))
    for one in found:
        print(f"- {one.what}: {one.why}")
        for call in one.mend:
            print(f"  mend: {call}")
        if one.by_hand:
            print(f"  mend: {one.by_hand}")
    if not found:
        print(f"{wanted.repository} is set up")
        return 0
    print(f"\n{len(found)} to mend. `make github-setup REPO={wanted.repository}` does what has a call.")
    return 1


def setup(wanted: Wanted, dry_run: bool, ask: Callable[[str], str]) -> int:
    left = 0
    for one in differences(wanted):
        print(f"- {one.what}")
        if not one.mend:
            left += 1
            print(f"  by hand: {one.by_hand}")
        for call in one.mend:
            print(f"  + {call}", flush=True)
            if not dry_run and not make(call, ask):
                left += 1
                break
    print("Nothing was changed." if dry_run else f"{left} left to mend." if left else f"{wanted.repository} is set up.")
    return 1 if left else 0


def make(call: Call, ask: Callable[[str], str]) -> bool:
    """Make a call; says why where it was not made."""
    given = json.dumps(call.body) if call.body is not None else None
    if call.secret:
        given = ask(call.secret)
        if not given:
            print(f"  not set: {call.secret} was not given; run this on a terminal, or the line above")
            return False
    done = gh(call.words, given)
    if done.returncode != 0:
        said = (done.stderr.strip() or "nothing").replace(given or "\0", "***")
        print(f"  refused: {said}")
    return done.returncode == 0


def ask_without_echo(name: str) -> str:
    if not sys.stdin.isatty():
        return ""
    return getpass.getpass(f"  {name}: ").strip()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 tools/github_setup.py",
        description="Set a repository on GitHub up for the workflows here, and say what it lacks.",
        epilog="example: python3 tools/github_setup.py setup acme/models --reviewer bob --entity acme --dry-run",
        allow_abbrev=False,
    )
    parser.add_argument("command", choices=("doctor", "setup"), help="say what is missing, or mend it")
    parser.add_argument("repository", metavar="OWNER/NAME")
    parser.add_argument("--reviewer", action="append", default=[], metavar="LOGIN|ORG/TEAM", help="who may approve")
    parser.add_argument("--entity", metavar="NAME", help="the W&B team that owns the project")
    parser.add_argument("--base-url", metavar="URL", help="a W&B of your own, for example https://wandb.example.org")
    parser.add_argument("--approval", choices=("github", "merge"), help="by the environment, or by the merged review")
    parser.add_argument("--promote-from", choices=("pr", "main"), help="whether a pull request may promote")
    parser.add_argument("--dry-run", action="store_true", help="print the calls and make none")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if not re.fullmatch(r"[A-Za-z0-9][\w-]*/(?!\.\.?$)[\w.-]+", args.repository):
            raise Refused(f"{args.repository!r} is no repository", "give owner/name")
        reviewers = tuple(word for text in args.reviewer for word in text.split())
        if len(reviewers) > MAX_REVIEWERS:
            raise Refused(
                f"{len(reviewers)} reviewers were named", f"GitHub takes {MAX_REVIEWERS}; a team counts as one"
            )
        wanted = Wanted(args.repository, reviewers, args.entity, args.base_url, args.approval, args.promote_from)
        if args.command == "doctor":
            return doctor(wanted)
        if args.dry_run and shutil.which("gh") is None:
            print("There is no `gh` here, so GitHub was not asked. This is what a fresh public repository needs:")
            assumed.append(wanted.repository)
        return setup(wanted, args.dry_run, ask_without_echo)
    except Refused as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
