"""
promote with a key that may not set the alias: refused by its own name, nothing moved, and no other promotion waits.

    pytest tests/steps/test_keys.py

Each promotion is a separate process, because the SDK reads the key once per process.
"""

from __future__ import annotations

import json

import pytest

from tests.steps.keys import TEAM, member
from tests.steps.people import PROMOTE
from tests.steps.workspace import Workspace

OWN_SERVER = True


@pytest.fixture
def workspace(step, collection, wandb_env, training_key, monkeypatch, people):
    """
    A workspace in the team's project.

    `promote` returns the exit code, the result and the messages of the step promote in another process.
    """
    monkeypatch.setenv("WANDB_ENTITY", TEAM)
    workspace = Workspace(step, collection, TEAM, rows="rows")
    env = {**wandb_env, "WANDB_ENTITY": TEAM, "WANDB_PROJECT": collection}

    def promote(evidence, key=wandb_env["WANDB_API_KEY"], approver="ada"):
        flags = ["--use-case", "glyphs", "--evidence", evidence, "--approver", approver, "--collection", collection]
        done = people.run(PROMOTE, *flags, env={**env, "WANDB_API_KEY": key})
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    workspace.promote = promote
    return workspace


def states(workspace):
    return [entry["state"] for entry in workspace.step("audit")["entries"]]


def test_a_key_that_may_not_set_the_alias_is_refused_and_nothing_moves(workspace, training_key):
    workspace.promote(workspace.evidence(0))
    code, answer, error = workspace.promote(workspace.evidence(1, 0), training_key)
    assert (code, answer["error"]["name"]) == (1, "alias_refused")
    assert "production" in answer["error"]["message"]
    assert 'the alias "production" is protected' in answer["error"]["message"]  # W&B's own words
    assert "admin of the registry" in error
    assert "production" in workspace.version(0).aliases
    assert not [alias for alias in workspace.version(1).aliases if alias.startswith("promotion-")]
    assert states(workspace) == ["applied", "unfinished"]
    assert workspace.findings() == {("promotion_unfinished", 1), ("entry_of_other_account", 1)}


def test_the_right_key_promotes_after_all_the_same_version_or_another(workspace, training_key):
    evidence = workspace.evidence(0)
    assert workspace.promote(evidence, training_key, "ada")[0] == 1
    code, answer, _ = workspace.promote(evidence, approver="bob")
    assert (code, answer["approver"]) == (0, "bob")
    assert workspace.promote(workspace.evidence(1, 0), training_key)[0] == 1
    assert workspace.promote(workspace.evidence(2, 0))[0] == 0
    assert "production" in workspace.version(2).aliases
    assert states(workspace) == ["unfinished", "applied", "unfinished", "applied"]
    assert workspace.findings() == {("entry_of_other_account", 0), ("entry_of_other_account", 2)}


def test_a_key_that_may_not_write_the_ledger_is_told_so(workspace, server):
    code, answer, _ = workspace.promote(workspace.evidence(0), member(server, "onlooker", "viewer"))
    assert (code, answer["error"]["name"]) == (2, "run_refused")
