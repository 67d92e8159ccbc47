"""
What a repository lacks, reported by the real script with a `gh` that plays GitHub.

    pytest tests/workflows/test_doctor.py
"""

from __future__ import annotations

import copy

import pytest

from tests.workflows.differences import ASKS, BY_HAND, DIFFERENCES
from tests.workflows.repository import AT, github, good, ruled

__all__ = ["github", "good"]  # fixtures


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_doctor_names_the_difference_and_setup_mends_it(github, good, name):
    spoil, message = DIFFERENCES[name]
    state = copy.deepcopy(good)
    spoil(state)
    github.state = state
    assert github.run("doctor", "acme/models") == 1
    assert message in github.output
    assert github.output.count("\n- ") + github.output.startswith("- ") == 1, github.output
    assert "fix: " in github.output
    assert github.changes() == []
    if name in BY_HAND | ASKS:
        return
    assert github.run("setup", "acme/models") == 0, github.output
    assert github.run("doctor", "acme/models") == 0, github.output
    assert len(github.state[f"{AT}/rulesets"]) == 1


def test_rules_of_another_ruleset_take_nothing_from_those_of_this_one(github, good):
    """GitHub lists the rules of all rulesets; if there are two of a kind, both apply."""
    state = copy.deepcopy(good)
    review = {"require_code_owner_review": False, "required_approving_review_count": 0}
    checks = {"required_status_checks": [{"context": "licences"}]}
    ruled(state).append({"type": "pull_request", "parameters": review})
    ruled(state).append({"type": "required_status_checks", "parameters": checks})
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.output


def test_what_the_organization_says_holds_for_its_repositories(github, good):
    state = copy.deepcopy(good)
    variables = state[f"{AT}/actions/variables"]["variables"]
    state[f"{AT}/actions/organization-variables"]["variables"] = [{"name": f"V{n}", "value": "x"} for n in range(40)]
    state[f"{AT}/actions/organization-variables"]["variables"] += variables
    state[f"{AT}/actions/variables"]["variables"] = []
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.output
    assert github.run("setup", "acme/models", "--entity", "other") == 0, github.output
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
        assert github.output.count("- ") == 1 and "private repository on the plan" in github.output, github.output
    state[AT]["visibility"] = "public"
    github.state = state
    assert github.run("doctor", "acme/models") == 1
    plan = "- GET repos/acme/models/environments/training is not part of the plan"
    assert github.output.startswith(plan), github.output
    assert "Upgrade to GitHub Pro" in github.output


def test_an_enterprise_has_reviewers_in_private_too(github, good):
    state = copy.deepcopy(good)
    state[AT]["visibility"] = "internal"
    state["orgs/acme"] = {"plan": {"name": "enterprise"}}
    github.state = state
    assert github.run("doctor", "acme/models") == 0, github.output


@pytest.mark.parametrize(
    ("spoil", "args", "code", "message"),
    [
        (lambda s: s.pop(AT), ["acme/models"], 2, "does not exist, or you may not see it"),
        (lambda s: s[AT]["permissions"].update(admin=False), ["acme/models"], 2, "you do not administer"),
        (lambda s: s.update({f"{AT}/actions/permissions": 403}), ["acme/models"], 2, "is not permitted"),
        (lambda s: s.update(down=True), ["acme/models"], 3, "was not answered"),
        (lambda s: s.update(logged_out=True), ["acme/models"], 3, "`gh` is not logged in\nhint: run: gh auth login\n"),
        (lambda s: s.update({AT: 401}), ["acme/models"], 3, "`gh` is not logged in\nhint: run: gh auth login\n"),
        (lambda s: None, [""], 2, "no repository is named\nhint: set REPO=owner/name\n"),
        (lambda s: None, ["models"], 2, "'models' is not a repository name\nhint: set REPO=owner/name\n"),
        (lambda s: None, ["acme/models", "--approval", "foo"], 2, "APPROVAL=foo: must be github or merge\nhint: set "),
        (
            lambda s: None,
            ["acme/models", "--promote-from", "foo"],
            2,
            "PROMOTE_FROM=foo: must be pr or main\nhint: set ",
        ),
        (lambda s: None, ["acme/.."], 2, "is not a repository"),
        (lambda s: None, ["acme/models", "--approval", "merge", "--promote-from", "pr"], 2, "does not go with"),
        (lambda s: None, ["acme/models", "--reviewer", "nobody"], 2, "there is no user 'nobody'"),
        (lambda s: None, ["acme/models", "--reviewer", "acme/none"], 2, "there is no team 'acme/none'"),
        (lambda s: None, ["acme/models", "--reviewer", "a b c d e f g"], 2, "7 reviewers were named"),
    ],
)
def test_a_mistake_is_named(github, good, spoil, args, code, message):
    state = copy.deepcopy(good)
    spoil(state)
    github.state = state
    assert github.run("doctor", *args) == code
    assert message in github.output
    assert "hint: " in github.output
    assert "usage:" not in github.output


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_without_gh_it_says_where_to_get_it_and_what_works_without(github, tmp_path, flags):
    assert github.run("doctor", "acme/models", *flags, PATH=str(tmp_path / "nothing")) == 3
    assert "https://cli.github.com" in github.output
    assert "only `make github-setup ARGS=--dry-run` works without it" in github.output
