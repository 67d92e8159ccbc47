"""
Set up a repository, and report what it lacks: the real script with a `gh` that plays GitHub.

    pytest tests/workflows/test_repository.py
"""

from __future__ import annotations

import copy
import re
import shutil
import subprocess

from tests import own
from tests.steps.published import whole
from tests.workflows.acting import others_actions
from tests.workflows.described import described, list_api_calls, wrong_in
from tests.workflows.files import ROOT
from tests.workflows.repository import AT, KEYS, github, good, is_set_up, policies, production, ruled
from tools.github.actions import OTHERS_ACTIONS

__all__ = ["github", "good", "whole"]  # fixtures


def test_a_fresh_repository_is_set_up_and_the_second_time_changes_nothing(github):
    is_set_up(github)
    changes = github.changes()
    assert len(changes) >= 8
    assert github.run("doctor", "acme/models") == 0, github.output
    assert github.run("setup", "acme/models", "--reviewer", "bob acme/ml", "--entity", "acme") == 0, github.output
    assert github.changes() == changes
    production = github.state[f"{AT}/environments/production"]["protection_rules"][0]
    assert production["prevent_self_review"] is True
    assert [(reviewer["type"], reviewer["reviewer"]["id"]) for reviewer in production["reviewers"]] == [
        ("User", 7),
        ("Team", 70),
    ]
    patterns = github.state[f"{AT}/environments/production/deployment-branch-policies"]["branch_policies"]
    assert [row["name"] for row in patterns] == ["main", "refs/pull/*/merge"]


def add_use_case(github, name):
    """Another use case, with its own environment."""
    folder = github.clone / "usecases" / name
    shutil.copytree(github.clone / "usecases/glyphs", folder)
    own.edit(folder / "config.toml", ("[build]", f'[approval]\nenvironment = "production-{name}"\n\n[build]'))


def test_each_use_case_has_an_environment_with_its_own_reviewers_and_second_key(github):
    add_use_case(github, "other")
    args = ("acme/models", "--reviewer", "bob", "--entity", "acme")
    assert github.run("setup", *args, "--dry-run") == 0
    for name in ("production", "production-other"):
        assert f"{AT}/environments/{name} " in github.output
        assert f"gh secret set WANDB_PROMOTE_KEY --env {name} " in github.output
    assert github.run("setup", *args) == 1, github.output  # only the keys are missing
    ours = ("acme/models", "--reviewer", "carol", "--environment", "production-other")
    assert github.run("setup", *ours) == 1, github.output
    reviewers = {
        name: github.state[f"{AT}/environments/{name}"]["protection_rules"][0]["reviewers"][0]["reviewer"]["id"]
        for name in ("production", "production-other")
    }
    assert reviewers == {"production": 7, "production-other": 8}
    assert github.run("doctor", "acme/models") == 1
    assert github.output.count("has no secret WANDB_PROMOTE_KEY") == 2 and "reviewers" not in github.output
    assert github.run("setup", *ours[:-1], "staging") == 2
    assert "there are: production, production-other" in github.output


def test_a_secret_goes_to_gh_alone(github):
    is_set_up(github)
    for name, value in KEYS.items():
        assert value not in github.output
        calls = [call for call in github.changes() if call["words"][:3] == ["secret", "set", name]]
        assert [call["given"] for call in calls] == [value]
        assert all(value not in " ".join(call["words"]) for call in github.changes())


def test_without_a_terminal_a_secret_is_left_and_named(github):
    assert github.run("setup", "acme/models", "--reviewer", "bob", "--entity", "acme") == 1
    assert "not set: there is no value for WANDB_PROMOTE_KEY" in github.output
    assert not [call for call in github.changes() if call["words"][0] == "secret"]


def test_the_second_key_is_asked_for_once_and_stored_for_every_use_case(github):
    add_use_case(github, "other")
    args = ("acme/models", "--reviewer", "bob", "--entity", "acme")
    assert github.setup_on_a_terminal(*args, answers=KEYS) == 0, github.output
    stored = {call["words"][4]: call["given"] for call in github.changes() if call["words"][:2] == ["secret", "set"]}
    training_key, second_key = KEYS.values()
    assert stored == {"training": training_key, "production": second_key, "production-other": second_key}
    assert github.output.count("  WANDB_PROMOTE_KEY: ") == 1


def test_the_second_key_is_not_the_first(github):
    key = KEYS["WANDB_API_KEY"]
    answers = {"WANDB_API_KEY": key, "WANDB_PROMOTE_KEY": key}
    args = ("acme/models", "--reviewer", "bob", "--entity", "acme")
    assert github.setup_on_a_terminal(*args, answers=answers) == 1
    assert "not set: it is the same as the other key" in github.output
    assert [call["words"][2] for call in github.changes() if call["words"][0] == "secret"] == ["WANDB_API_KEY"]


def test_a_dry_run_says_how_many_things_a_person_has_to_do(github):
    assert github.run("setup", "acme/models", "--dry-run") == 1
    assert github.output.count("  by hand: ") == 2  # the reviewers, and the W&B team
    assert github.output.endswith("Nothing was changed. 2 to do by hand, see above.\n")


def test_the_help_names_each_variable_that_make_passes_on(github):
    (recipe,) = re.findall(r"^github-setup github-doctor:\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)
    variables = set(re.findall(r"\$\$\{?([A-Z_]+)", recipe))
    assert len(variables) == 7
    assert github.run("setup", "--help") == 0
    assert set(re.findall(r"make:\s+([A-Z_]+)=", github.output)) == variables


def test_a_dry_run_prints_every_call_and_makes_none(github):
    args = ("setup", "acme/models", "--reviewer", "bob", "--entity", "acme", "--dry-run")
    assert github.run(*args) == 0
    assert github.changes() == []
    for path in ("environments/training", "environments/production", "rulesets", "actions/variables"):
        assert "gh api --method" in github.output and f"{AT}/{path}" in github.output
    assert "gh secret set WANDB_PROMOTE_KEY --env production --repo acme/models" in github.output


def test_where_required_reviewers_do_not_exist_the_merge_approves(github, good):
    state = copy.deepcopy(good)
    state[AT]["visibility"] = "private"
    production(state)["protection_rules"] = []
    github.state = state
    assert github.run("setup", "acme/models", "--approval", "merge") == 0, github.output
    assert github.run("doctor", "acme/models") == 0, github.output
    for name, value in (("APPROVAL", "merge"), ("PROMOTE_FROM", "main")):
        assert {"name": name, "value": value} in github.state[f"{AT}/actions/variables"]["variables"]
    assert [row["name"] for row in policies(github.state)] == ["main"]


def test_the_actions_of_others_that_are_allowed_are_those_that_are_used():
    used = {name for name in others_actions().values() if not name.startswith("actions/")}
    assert {f"{name}@*" for name in used} == set(OTHERS_ACTIONS)


def test_a_dry_run_needs_no_gh(github, tmp_path):
    args = ("setup", "acme/models", "--reviewer", "bob acme/ml", "--entity", "acme", "--dry-run")
    assert github.run(*args) == 0
    with_gh = [line for line in github.output.splitlines() if line.startswith("- ")]
    assert github.run(*args, PATH=str(tmp_path / "nothing")) == 0
    assert github.output.startswith("`gh` is not installed")
    assert [line for line in github.output.splitlines() if line.startswith("- ")] == with_gh
    assert '"id": "the id of acme/teams/ml"' in github.output
    assert github.output.endswith("Nothing was changed.\n")


def test_a_ruleset_that_was_taken_away_is_made_again(github, good):
    state = copy.deepcopy(good)
    state[f"{AT}/rulesets"] = [{"id": 7, "name": "of somebody else"}]
    ruled(state).clear()
    github.state = state
    assert github.run("setup", "acme/models") == 0, github.output
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
    assert "Validation Failed" in github.output
    assert "1 left to fix" in github.output


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
        assert ("hint: set REPO=owner/name" in done.stderr) == (code == 2)
    assert not (github.clone / "pwned").exists()


# --- checked against GitHub's description of its API ---------------------------------------------------------------
def test_a_setup_calls_what_github_describes(github, whole):
    """The fixture `github` compares the calls of every test."""
    calls = list_api_calls(is_set_up(github).calls())
    assert len({(method, described(whole, path)) for method, path, _ in calls}) >= 20


def test_a_call_that_github_does_not_describe_is_named(whole):
    assert wrong_in(whole, "PUT", f"{AT}/environments/production", {"prevent_self_review": True}) == []
    assert wrong_in(whole, "PUT", f"{AT}/environments/production", {"prevent_self_reviews": True})
    assert wrong_in(whole, "PUT", f"{AT}/environments/production", {"prevent_self_review": "yes"})
    assert wrong_in(whole, "PATCH", f"{AT}/rulesets/40", {})
