"""
The ledger in a separate project, which only the account that promotes may write to.

    pytest tests/steps/test_ledger_project.py

Each promotion is a separate process, because the SDK reads the key once per process.
"""

from __future__ import annotations

import json

import pytest
import wandb

from modelgate.promotion import ledger
from tests.steps.keys import TEAM, admin, member
from tests.steps.people import PROMOTE
from tests.steps.policies import ROLLBACK
from tests.steps.workspace import Workspace

OWN_SERVER = True


@pytest.fixture(scope="module")
def training_key(server):
    admin(server, "add-team", TEAM, "--organization", "local-org", "--admin", "local")
    return member(server, "trainer", "member")


@pytest.fixture
def workspace(step, collection, monkeypatch, training_key):
    monkeypatch.setenv("WANDB_ENTITY", TEAM)
    return Workspace(step, collection, TEAM, rows="rows")


@pytest.fixture
def own_project(server, workspace):
    """Create the project that the training key may only read."""

    def make():
        admin(server, "add-project-member", f"{TEAM}/{workspace.collection}-promotions", "trainer", "--role", "viewer")
        return f"{TEAM}/{workspace.collection}-promotions/glyphs_promotions"

    return make


@pytest.fixture
def with_training_key(wandb_env, training_key, people):
    """Run a program with the training key; return its output: `with_training_key(program, *argv)`."""
    key = {"WANDB_API_KEY": training_key}
    return lambda program, *argv, **env: people.run(program, *argv, env={**wandb_env, **key, **env})


def entries(workspace):
    return ledger.read(wandb.Api(), *ledger.find_names(wandb.Api(), TEAM, workspace.collection, "glyphs"))


def test_the_training_key_cannot_write_to_the_ledger_and_can_read_it(workspace, own_project, with_training_key):
    ledger_name = own_project()
    workspace.promoted(0)
    assert [entry.version for entry in entries(workspace)] == [f"{ledger_name}:v0"]
    assert workspace.findings() == set()
    home = ledger_name.split("/")[1]
    run = wandb.Api().artifact(f"{ledger_name}:v0").logged_by().id
    for attempt in (
        f"run = wandb.init(entity='{TEAM}', project='{home}')",
        f"run = wandb.init(entity='{TEAM}', project='{home}', id='{run}', resume='must')",
        f"version = wandb.Api().artifact('{ledger_name}:v0'); version.metadata['x'] = 1; version.save()",
        f"version = wandb.Api().artifact('{ledger_name}:v0'); version.aliases.append('x'); version.save()",
        f"wandb.Api().artifact('{ledger_name}:v0').delete(delete_aliases=True)",
        f"wandb.Api().artifact_collection('promotion', '{ledger_name}').delete()",
        f"wandb.Api().run('{TEAM}/{home}/{run}').delete()",
    ):
        done = with_training_key(f"import wandb; {attempt}; print('done')")
        assert "done" not in done.stdout, attempt
    read = with_training_key(f"import wandb; print(wandb.Api().artifact('{ledger_name}:v0').version)")
    assert "v0" in read.stdout, read.stderr
    assert workspace.findings() == set()


def test_an_older_ledger_is_continued(workspace, own_project):
    """What is later written to the models' project is not part of the ledger."""
    workspace.promoted(0)
    workspace.promoted(1, 0)
    ledger_name = own_project()
    workspace.promoted(2, 1)
    chain = entries(workspace)
    assert [(entry.number, entry.applied, entry.void) for entry in chain] == [
        (0, True, False),
        (1, True, False),
        (2, True, False),
    ]
    assert (chain[2].version, chain[2].content["continues"]) == (f"{ledger_name}:v0", 2)
    with wandb.init(entity=TEAM, project=workspace.collection) as run:
        ledger.append(run, "glyphs", {**chain[1].content, "previous": chain[1].sha256})
    assert [entry.number for entry in entries(workspace)] == [0, 1, 2]
    assert workspace.findings() == set()
    back = workspace.evidence(0, 2, policy=ROLLBACK)  # to what the older ledger knows
    workspace.step("promote", "--evidence", back, "--approver", "ada")
    assert [entry.applied for entry in entries(workspace)] == [True] * 4


def test_a_promotion_with_the_training_key_is_refused_before_it_writes(workspace, own_project, with_training_key):
    own_project()
    evidence = workspace.evidence(0)
    flags = ["--use-case", "glyphs", "--evidence", evidence, "--approver", "eve", "--collection", workspace.collection]
    done = with_training_key(PROMOTE, *flags, WANDB_ENTITY=TEAM, WANDB_PROJECT=workspace.collection)
    assert (done.returncode, json.loads(done.stdout)["error"]["name"]) == (2, "run_refused")
    assert entries(workspace) == []
