"""
Setting a repository up, and saying what it lacks: the real script with a `gh` that holds the settings in a file.

    pytest tests/workflows/test_repository.py
"""

from __future__ import annotations

import copy
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests import own
from tests.steps.published import whole
from tests.workflows.acting import others_actions
from tests.workflows.files import ROOT
from tools.github.actions import OTHERS_ACTIONS

__all__ = ["whole"]  # a fixture

AT = "repos/acme/models"
KEYS = {"WANDB_API_KEY": "k1-" + "a" * 37, "WANDB_PROMOTE_KEY": "k2-" + "b" * 37}
# As GitHub makes a repository.
FRESH = {
    AT: {
        "visibility": "public",
        "default_branch": "main",
        "owner": {"login": "acme", "type": "Organization"},
        "permissions": {"admin": True},
    },
    f"{AT}/actions/permissions": {"enabled": True, "allowed_actions": "all"},
    f"{AT}/actions/permissions/workflow": {
        "default_workflow_permissions": "write",
        "can_approve_pull_request_reviews": False,
    },
    f"{AT}/actions/variables": {"total_count": 0, "variables": []},
    f"{AT}/actions/secrets": {"total_count": 0, "secrets": []},
    f"{AT}/actions/organization-secrets": {"total_count": 0, "secrets": []},
    f"{AT}/actions/organization-variables": {"total_count": 0, "variables": []},
    f"{AT}/actions/workflows": {
        "total_count": 2,
        "workflows": [{"id": 31, "path": ".github/workflows/pipeline.yml", "state": "active"}],
    },
    f"{AT}/codeowners/errors": {"errors": []},
    f"{AT}/rules/branches/main": [],
    f"{AT}/rulesets": [],
    "users/bob": {"id": 7},
    "users/carol": {"id": 8},
    "orgs/acme/teams/ml": {"id": 70},
}


class GitHub:
    """The settings, and what was asked of them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.state_file, self.calls_file = folder / "state.json", folder / "calls.jsonl"
        (folder / "bin").mkdir()
        gh = folder / "bin" / "gh"
        gh.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {ROOT}/tests/workflows/fake_gh.py "$@"\n')
        gh.chmod(0o755)
        self.state = FRESH
        self.said = ""
        self.clone = own.clone(folder / "clone", ("tools", "Makefile"))
        shutil.rmtree(self.clone / "usecases/remote")  # one use case, whose environment is `production`

    @property
    def state(self):
        return json.loads(self.state_file.read_text())

    @state.setter
    def state(self, state):
        self.state_file.write_text(json.dumps(state))

    def changes(self):
        """The calls so far that change something."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        rows = [json.loads(line) for line in lines]
        return [row for row in rows if row["words"][0] != "api" or "--method" in row["words"]]

    def environ(self):
        return {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "GH_STATE": str(self.state_file),
            "GH_CALLS": str(self.calls_file),
        }

    def run(self, *words, **environ):
        done = subprocess.run(
            [sys.executable, "-m", "tools.github", *words],
            cwd=self.clone,
            env=self.environ() | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        self.said = done.stdout + done.stderr
        assert "Traceback" not in self.said, self.said
        return done.returncode

    def setup_on_a_terminal(self, *words, answers):
        """As a person: each question is answered when it is asked; what the terminal shows is kept."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.clone)
            command = [sys.executable, "-m", "tools.github", "setup", *words]
            os.execve(sys.executable, command, self.environ())  # noqa: S606
        shown, waiting = b"", list(answers.items())
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
            if waiting and f"  {waiting[0][0]}: ".encode() in shown:
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
        self.said = shown.decode()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def github(tmp_path):
    return GitHub(tmp_path)


def is_set_up(github):
    """A repository that lacks nothing."""
    words = ("acme/models", "--reviewer", "bob acme/ml", "--entity", "acme")
    assert github.setup_on_a_terminal(*words, answers=KEYS) == 0, github.said
    return github


def test_a_fresh_repository_is_set_up_and_the_second_time_changes_nothing(github):
    is_set_up(github)
    made = github.changes()
    assert len(made) >= 8
    assert github.run("doctor", "acme/models") == 0, github.said
    assert github.run("setup", "acme/models", "--reviewer", "bob acme/ml", "--entity", "acme") == 0, github.said
    assert github.changes() == made
    production = github.state[f"{AT}/environments/production"]["protection_rules"][0]
    assert production["prevent_self_review"] is True
    assert [(one["type"], one["reviewer"]["id"]) for one in production["reviewers"]] == [("User", 7), ("Team", 70)]
    patterns = github.state[f"{AT}/environments/production/deployment-branch-policies"]["branch_policies"]
    assert [row["name"] for row in patterns] == ["main", "refs/pull/*/merge"]


def test_each_use_case_has_an_environment_with_its_own_reviewers_and_second_key(github):
    folder = github.clone / "usecases/other"
    shutil.copytree(github.clone / "usecases/glyphs", folder)
    own.edit(folder / "config.toml", ("[build]", '[approval]\nenvironment = "production-other"\n\n[build]'))
    words = ("acme/models", "--reviewer", "bob", "--entity", "acme")
    assert github.run("setup", *words, "--dry-run") == 0
    for name in ("production", "production-other"):
        assert f"{AT}/environments/{name} " in github.said
        assert f"gh secret set WANDB_PROMOTE_KEY --env {name} " in github.said
    assert github.run("setup", *words) == 1, github.said  # the keys are left
    ours = ("acme/models", "--reviewer", "carol", "--environment", "production-other")
    assert github.run("setup", *ours) == 1, github.said
    reviewers = {
        name: github.state[f"{AT}/environments/{name}"]["protection_rules"][0]["reviewers"][0]["reviewer"]["id"]
        for name in ("production", "production-other")
    }
    assert reviewers == {"production": 7, "production-other": 8}
    assert github.run("doctor", "acme/models") == 1
    assert github.said.count("has no secret WANDB_PROMOTE_KEY") == 2 and "reviewers" not in github.said
    assert github.run("setup", *ours[:-1], "staging") == 2
    assert "there are: production, production-other" in github.said


def test_a_secret_goes_to_gh_alone(github):
    is_set_up(github)
    for name, value in KEYS.items():
        assert value not in github.said
        calls = [call for call in github.changes() if call["words"][:3] == ["secret", "set", name]]
        assert [call["given"] for call in calls] == [value]
        assert all(value not in " ".join(call["words"]) for call in github.changes())


def test_without_a_terminal_a_secret_is_left_and_named(github):
    assert github.run("setup", "acme/models", "--reviewer", "bob", "--entity", "acme") == 1
    assert "WANDB_PROMOTE_KEY was not given" in github.said
    assert not [call for call in github.changes() if call["words"][0] == "secret"]


def test_a_dry_run_prints_every_call_and_makes_none(github):
    words = ("setup", "acme/models", "--reviewer", "bob", "--entity", "acme", "--dry-run")
    assert github.run(*words) == 0
    assert github.changes() == []
    for path in ("environments/training", "environments/production", "rulesets", "actions/variables"):
        assert "gh api --method" in github.said and f"{AT}/{path}" in github.said
    assert "gh secret set WANDB_PROMOTE_KEY --env production --repo acme/models" in github.said


def production(state):
    return state[f"{AT}/environments/production"]


def policies(state):
    return state[f"{AT}/environments/production/deployment-branch-policies"]["branch_policies"]


# What was done to the repository, and what the doctor says of it.
def secret(at, name):
    """A change of the state: there is this secret, too."""
    return lambda state: state[f"{AT}/{at}"]["secrets"].append({"name": name})


def variable(name, value):
    """A change of the state: there is this variable of the repository, too."""
    return lambda state: state[f"{AT}/actions/variables"]["variables"].append({"name": name, "value": value})


DIFFERENCES = {
    "actions off": (lambda s: s[f"{AT}/actions/permissions"].update(enabled=False), "GitHub Actions is off"),
    "only one's own actions": (
        lambda s: s[f"{AT}/actions/permissions"].update(allowed_actions="local_only"),
        "does not allow the actions actions/*, docker/login-action@*",
    ),
    "chosen actions": (
        lambda s: (
            s[f"{AT}/actions/permissions"].update(allowed_actions="selected")
            or s.update({f"{AT}/actions/permissions/selected-actions": {"github_owned_allowed": True}})
        ),
        "does not allow the actions docker/login-action@*",
    ),
    "a workflow off": (
        lambda s: s[f"{AT}/actions/workflows"]["workflows"][0].update(state="disabled_fork"),
        "the workflow .github/workflows/pipeline.yml is disabled (disabled_fork)",
    ),
    "a workflow off, far down": (
        lambda s: s[f"{AT}/actions/workflows"]["workflows"].extend(
            {"id": 100 + n, "path": f"{n}.yml", "state": "active" if n < 140 else "disabled_inactivity"}
            for n in range(141)
        ),
        "the workflow 140.yml is disabled (disabled_inactivity)",
    ),
    "bypass": (
        lambda s: production(s).update(can_admins_bypass=True),
        "lets administrators bypass the reviewers",
    ),
    "token for every job": (
        secret("actions/secrets", "DATA_TOKEN"),
        "the repository has the secret DATA_TOKEN for every job",
    ),
    "other secrets for every job, far down": (
        lambda s: s[f"{AT}/actions/secrets"]["secrets"].extend({"name": f"S{number}"} for number in range(131)),
        "the repository has secrets for every job: S0, S1, S2, S3, S4, S5, S6, S7, S8, S9 and 121 more",
    ),
    "another secret for every job": (
        secret("actions/secrets", "SLACK"),
        "the repository has secrets for every job: SLACK",
    ),
    "another secret of the organization": (
        secret("actions/organization-secrets", "NPM"),
        "the organization has secrets for every job of this repository: NPM",
    ),
    "key of the organization": (
        secret("actions/organization-secrets", "WANDB_API_KEY"),
        "the organization has secrets for every job of this repository: WANDB_API_KEY",
    ),
    "merge from pull requests": (
        lambda s: (
            s[f"{AT}/actions/variables"]["variables"].append({"name": "APPROVAL", "value": "merge"})
            or policies(s).pop()
        ),
        "the variable PROMOTE_FROM is not set, but must be 'main'",
    ),
    "a status of anybody": (
        lambda s: ruled(s)[3]["parameters"].update(required_status_checks=[{"context": "done"}]),
        "without the check `done` of GitHub Actions",
    ),
    "token writes": (
        lambda s: s[f"{AT}/actions/permissions/workflow"].update(default_workflow_permissions="write"),
        "the token of a workflow may write",
    ),
    "token approves": (
        lambda s: s[f"{AT}/actions/permissions/workflow"].update(can_approve_pull_request_reviews=True),
        "or approve pull requests",
    ),
    "no training": (lambda s: s.pop(f"{AT}/environments/training"), "the environment training is missing"),
    "no production": (lambda s: s.pop(f"{AT}/environments/production"), "the environment production is missing"),
    "no reviewers": (lambda s: production(s).update(protection_rules=[]), "has no required reviewers"),
    "self-review": (
        lambda s: production(s)["protection_rules"][0].update(prevent_self_review=False),
        "lets people approve their own run",
    ),
    "any branch": (lambda s: production(s).update(deployment_branch_policy=None), "open to every branch"),
    "main not let in": (lambda s: policies(s).pop(0), "production does not let main in"),
    "others let in": (lambda s: policies(s).append({"id": 9, "name": "feature/*"}), "production lets feature/* in"),
    "no training key": (
        lambda s: (
            s[f"{AT}/environments/training"].clear() or s[f"{AT}/environments/training/secrets"].update(secrets=[])
        ),
        "training has no secret WANDB_API_KEY",
    ),
    "no second key": (
        lambda s: s[f"{AT}/environments/production/secrets"].update(secrets=[]),
        "production has no secret WANDB_PROMOTE_KEY",
    ),
    "second key in training": (
        secret("environments/training/secrets", "WANDB_PROMOTE_KEY"),
        "training has the secret WANDB_PROMOTE_KEY",
    ),
    "key for every job": (
        secret("actions/secrets", "WANDB_PROMOTE_KEY"),
        "the repository has the secret WANDB_PROMOTE_KEY for every job",
    ),
    "whom to tell, for every job": (
        secret("actions/secrets", "PROMOTION_WEBHOOK_URL"),
        "the repository has the secret PROMOTION_WEBHOOK_URL for every job",
    ),
    "whom to tell, in training": (
        secret("environments/training/secrets", "PROMOTION_WEBHOOK_URL"),
        "the environment training has the secret PROMOTION_WEBHOOK_URL",
    ),
    "a webhook without a key": (
        secret("environments/production/secrets", "PROMOTION_WEBHOOK_URL"),
        "the environment production has no secret PROMOTION_WEBHOOK_SECRET",
    ),
    "another repository without a token": (
        variable("PROMOTION_DISPATCH_REPOSITORY", "acme/consumer"),
        "the environment production has no secret PROMOTION_DISPATCH_TOKEN",
    ),
    "no repository to tell": (
        variable("PROMOTION_DISPATCH_REPOSITORY", "consumer"),
        "the variable PROMOTION_DISPATCH_REPOSITORY is 'consumer'",
    ),
    "unknown template": (
        variable("PROMOTION_WEBHOOK_TEMPLATE", "discord"),
        "the variable PROMOTION_WEBHOOK_TEMPLATE is 'discord'",
    ),
    "no entity": (lambda s: s[f"{AT}/actions/variables"].update(variables=[]), "WANDB_ENTITY is missing"),
    "unknown approval": (
        variable("APPROVAL", "anybody"),
        "the variable APPROVAL is 'anybody'",
    ),
    "pull requests may not": (
        variable("PROMOTE_FROM", "main"),
        "production lets refs/pull/*/merge in",
    ),
    "private": (
        lambda s: s[AT].update(visibility="private") or s.update({"orgs/acme": {"plan": {"name": "team"}}}),
        "required reviewers are not available for a private repository on the plan team",
    ),
    "private, on Free": (
        lambda s: s[AT].update(visibility="private") or s.update({"orgs/acme": {"plan": {"name": "free"}}}),
        "environments are not available for a private repository on the plan free",
    ),
    "private, a person's": (
        lambda s: (
            s[AT].update(visibility="private", owner={"login": "ada", "type": "User"})
            or s.update({"user": {"login": "ada", "plan": {"name": "pro"}}})
        ),
        "required reviewers are not available for a private repository on the plan pro",
    ),
    "private, another person's": (
        lambda s: (
            s[AT].update(visibility="private", owner={"login": "ada", "type": "User"})
            or s.update({"user": {"login": "bob", "plan": {"name": "free"}}})
        ),
        "on a plan that GitHub does not show you",
    ),
    "private, plan not told": (lambda s: s[AT].update(visibility="private"), "a plan that GitHub does not show you"),
    "other default branch": (
        lambda s: s[AT].update(default_branch="trunk") or s.update({f"{AT}/rules/branches/trunk": ruled(s)}),
        "the default branch is trunk",
    ),
    "owners nobody": (
        lambda s: s[f"{AT}/codeowners/errors"]["errors"].append(
            {"path": ".github/CODEOWNERS", "line": 3, "kind": "Unknown owner"}
        ),
        ".github/CODEOWNERS, line 3: Unknown owner",
    ),
    "no check": (lambda s: s.update({f"{AT}/rules/branches/main": ruled(s)[:3]}), "without the check `done`"),
    "no owner's review": (
        lambda s: ruled(s)[2]["parameters"].update(require_code_owner_review=False),
        "the review of a code owner",
    ),
}
BY_HAND = {
    "another secret for every job",
    "another secret of the organization",
    "other secrets for every job, far down",
    "key of the organization",
    "no reviewers",
    "no production",
    "no entity",
    "private",
    "private, plan not told",
    "owners nobody",
}
BY_HAND |= {"key of the organization"}
BY_HAND |= {"unknown approval", "private, on Free", "private, a person's", "private, another person's"}
BY_HAND |= {"no repository to tell", "unknown template"}
ASKS = {"no training key", "no second key", "a webhook without a key", "another repository without a token"}


def ruled(state):
    return state[f"{AT}/rules/branches/main"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The settings of a repository that lacks nothing."""
    return is_set_up(GitHub(tmp_path_factory.mktemp("good"))).state


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_doctor_names_the_difference_and_setup_mends_it(github, good, name):
    spoil, words = DIFFERENCES[name]
    state = copy.deepcopy(good)
    spoil(state)
    github.state = state
    assert github.run("doctor", "acme/models") == 1
    assert words in github.said
    assert github.said.count("\n- ") + github.said.startswith("- ") == 1, github.said
    assert "fix: " in github.said
    assert github.changes() == []
    if name in BY_HAND | ASKS:
        return
    assert github.run("setup", "acme/models") == 0, github.said
    assert github.run("doctor", "acme/models") == 0, github.said
    assert len(github.state[f"{AT}/rulesets"]) == 1


def test_rules_of_another_ruleset_take_nothing_from_those_of_this_one(github, good):
    """GitHub lists the rules of all rulesets, and where there are two of a kind both hold."""
    state = copy.deepcopy(good)
    review = {"require_code_owner_review": False, "required_approving_review_count": 0}
    checks = {"required_status_checks": [{"context": "licences"}]}
    ruled(state).append({"type": "pull_request", "parameters": review})
    ruled(state).append({"type": "required_status_checks", "parameters": checks})
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.said


def test_where_required_reviewers_do_not_exist_the_merge_approves(github, good):
    state = copy.deepcopy(good)
    state[AT]["visibility"] = "private"
    production(state)["protection_rules"] = []
    github.state = state
    assert github.run("setup", "acme/models", "--approval", "merge") == 0, github.said
    assert github.run("doctor", "acme/models") == 0, github.said
    for name, value in (("APPROVAL", "merge"), ("PROMOTE_FROM", "main")):
        assert {"name": name, "value": value} in github.state[f"{AT}/actions/variables"]["variables"]
    assert [row["name"] for row in policies(github.state)] == ["main"]


def test_what_the_organization_says_holds_for_its_repositories(github, good):
    state = copy.deepcopy(good)
    found = state[f"{AT}/actions/variables"]["variables"]
    state[f"{AT}/actions/organization-variables"]["variables"] = [{"name": f"V{n}", "value": "x"} for n in range(40)]
    state[f"{AT}/actions/organization-variables"]["variables"] += found
    state[f"{AT}/actions/variables"]["variables"] = []
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.said
    assert github.run("setup", "acme/models", "--entity", "other") == 0, github.said
    assert github.state[f"{AT}/actions/variables"]["variables"] == [{"name": "WANDB_ENTITY", "value": "other"}]


def test_a_plan_without_environments_is_named_once_and_is_no_missing_permission(github, good):
    """GitHub answers 403 to environments and rules of a private repository on Free."""
    state = copy.deepcopy(good)
    state[AT]["visibility"] = "private"
    upgrade = "Upgrade to GitHub Pro or make this repository public to enable this feature. (HTTP 403)"
    for path in ("environments/training", "environments/production", "rules/branches/main"):
        state[f"{AT}/{path}"] = upgrade
    for plan in ("free", "pro"):
        state["orgs/acme"] = {"plan": {"name": plan}}
        github.state = state
        assert github.run("doctor", "acme/models") == 1
        assert github.said.count("- ") == 1 and "private repository on the plan" in github.said, github.said
    state[AT]["visibility"] = "public"
    github.state = state
    assert github.run("doctor", "acme/models") == 1
    assert github.said.startswith("- GET repos/acme/models/environments/training is not part of the plan"), github.said
    assert "Upgrade to GitHub Pro" in github.said


def test_the_actions_of_others_that_are_allowed_are_those_that_are_used():
    used = {name for name in others_actions().values() if not name.startswith("actions/")}
    assert {f"{name}@*" for name in used} == set(OTHERS_ACTIONS)


def test_a_dry_run_needs_no_gh(github, tmp_path):
    words = ("setup", "acme/models", "--reviewer", "bob acme/ml", "--entity", "acme", "--dry-run")
    assert github.run(*words) == 0
    with_gh = [line for line in github.said.splitlines() if line.startswith("- ")]
    assert github.run(*words, PATH=str(tmp_path / "nothing")) == 0
    assert github.said.startswith("`gh` is not installed")
    assert [line for line in github.said.splitlines() if line.startswith("- ")] == with_gh
    assert '"id": "the id of acme/teams/ml"' in github.said
    assert github.said.endswith("Nothing was changed.\n")


def test_an_enterprise_has_reviewers_in_private_too(github, good):
    state = copy.deepcopy(good)
    state[AT]["visibility"] = "internal"
    state["orgs/acme"] = {"plan": {"name": "enterprise"}}
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.said


@pytest.mark.parametrize(
    ("spoil", "words", "code", "said"),
    [
        (lambda s: s.pop(AT), ["acme/models"], 2, "does not exist, or you may not see it"),
        (lambda s: s[AT]["permissions"].update(admin=False), ["acme/models"], 2, "you do not administer"),
        (lambda s: s.update({f"{AT}/actions/permissions": 403}), ["acme/models"], 2, "is not permitted"),
        (lambda s: s.update(down=True), ["acme/models"], 3, "was not answered"),
        (lambda s: None, ["models"], 2, "is not a repository"),
        (lambda s: None, ["acme/.."], 2, "is not a repository"),
        (lambda s: None, ["acme/models", "--approval", "merge", "--promote-from", "pr"], 2, "does not go with"),
        (lambda s: None, ["acme/models", "--reviewer", "nobody"], 2, "there is no user 'nobody'"),
        (lambda s: None, ["acme/models", "--reviewer", "acme/none"], 2, "there is no team 'acme/none'"),
        (lambda s: None, ["acme/models", "--reviewer", "a b c d e f g"], 2, "7 reviewers were named"),
    ],
)
def test_a_mistake_is_named(github, good, spoil, words, code, said):
    state = copy.deepcopy(good)
    spoil(state)
    github.state = state
    assert github.run("doctor", *words) == code
    assert said in github.said
    assert "hint: " in github.said


def test_without_gh_it_says_where_to_get_it(github, tmp_path):
    assert github.run("doctor", "acme/models", PATH=str(tmp_path / "nothing")) == 3
    assert "https://cli.github.com" in github.said


def test_a_ruleset_that_was_taken_away_is_made_again(github, good):
    state = copy.deepcopy(good)
    state[f"{AT}/rulesets"] = [{"id": 7, "name": "of somebody else"}]
    ruled(state).clear()
    github.state = state
    assert github.run("setup", "acme/models") == 0, github.said
    assert [row["name"] for row in github.state[f"{AT}/rulesets"]][1:] == [state_of_ruleset(good)["name"]]


def state_of_ruleset(state):
    (ours,) = state[f"{AT}/rulesets"]
    return ours


def test_what_github_refuses_is_said_and_is_not_done(github, good):
    state = copy.deepcopy(good)
    ruled(state).pop()
    state["refuses"] = f"{AT}/rulesets/{state_of_ruleset(good)['id']}"
    github.state = state
    assert github.run("setup", "acme/models") == 1
    assert "Validation Failed" in github.said
    assert "1 left to fix" in github.said


def test_make_passes_on_what_is_said_and_no_shell_reads_it(github, good):
    github.state = good
    hostile = "acme/models; touch pwned"
    for word, repository, code in (("doctor", "acme/models", 0), ("doctor", hostile, 2), ("setup", "", 2)):
        done = subprocess.run(
            ["make", "--silent", f"github-{word}", f"REPO={repository}", "REVIEWERS=bob acme/ml"],
            cwd=github.clone,
            env=github.environ(),
            capture_output=True,
            text=True,
        )
        # make itself exits 2 for whatever a recipe's exit code is
        assert (done.returncode != 0) == (code != 0), done.stderr
        assert ("is not a repository" in done.stderr) == (code == 2)
    assert not (github.clone / "pwned").exists()


# --- held to GitHub's description of its API -------------------------------------------------------------------------


def described(whole, path):
    """The path of the description that a call's path is of: what is named counts more than a placeholder."""
    words = path.partition("?")[0].strip("/").split("/")
    fits = [
        template
        for template in whole["paths"]
        if len(parts := template.strip("/").split("/")) == len(words)
        and all(part == word or part.startswith("{") for part, word in zip(parts, words, strict=True))
    ]
    assert fits, f"GitHub has no {path}"
    return min(fits, key=lambda template: template.count("{"))


def wrong_in(whole, method, path, body):
    """What GitHub's description has against a call."""
    said = whole["paths"][described(whole, path)].get(method.lower())
    if said is None:
        return [f"{method} {path} is not described"]
    if body is None:
        return []
    schema = said["requestBody"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    # GitHub takes `can_admins_bypass` and its description leaves it out: google/go-github#2725.
    body = {name: value for name, value in body.items() if name != "can_admins_bypass"}
    unknown = [f"{name} is not described" for name in body.keys() - schema["properties"].keys()]
    validator = jsonschema.Draft7Validator(schema | {"components": whole["components"]})
    return unknown + [error.message for error in validator.iter_errors(body)]


def test_every_call_is_one_that_github_describes(github, good, whole):
    """Every call of a setup, of the fixes of all differences, and of the questions before them."""
    github.state = FRESH
    is_set_up(github)
    for spoil, _ in DIFFERENCES.values():
        state = copy.deepcopy(good)
        spoil(state)
        github.state = state
        github.run("setup", "acme/models")
    calls = [json.loads(line) for line in github.calls_file.read_text().splitlines()]
    looked_at = set()
    for call in calls:
        words = call["words"]
        if words[0] != "api":
            continue
        method, path = (words[2], words[3]) if words[1] == "--method" else ("GET", words[1])
        body = json.loads(call["given"]) if words[-1] == "-" else None
        assert wrong_in(whole, method, path, body) == []
        looked_at.add((method, described(whole, path)))
    assert len(looked_at) >= 20
    assert wrong_in(whole, "PUT", f"{AT}/environments/production", {"prevent_self_reviews": True})
    assert wrong_in(whole, "PUT", f"{AT}/environments/production", {"prevent_self_review": "yes"})
    assert wrong_in(whole, "PATCH", f"{AT}/rulesets/40", {})
