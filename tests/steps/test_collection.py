"""
A use case owns its collection: its model never becomes `production` of another use case.

    pytest tests/steps/test_collection.py
"""

from __future__ import annotations

import pytest
import wandb

from modelgate.errors import StepError
from steps import promote
from tests.steps.keys import admin
from tests.steps.workspace import Workspace

OWN_SERVER = True


def refused(step, *flags):
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert (stopped.value.name, stopped.value.exit_code) == ("other_collection", 1)
    return str(stopped.value)


@pytest.mark.parametrize("registry", ["wandb-registry-model", "model-registry"])
def test_a_version_of_another_collection_is_not_judged(step, model, dataset, registry):
    """A model of the glyphs, linked to another use case's collection."""
    flags = ("--model", model(0)["model"], "--registry", registry)
    version = step("link", *flags, "--collection", "somebody-elses")["version"]
    output = refused(step, "evaluate", "--version", version, "--dataset", dataset["dataset"])
    assert "somebody-elses" in output


def test_a_collection_that_link_was_given_is_judged_with_the_same_flag(step, model, dataset):
    other = ("--collection", "a-trial")
    version = step("link", "--model", model(0)["model"], *other)["version"]
    assert step("evaluate", "--version", version, "--dataset", dataset["dataset"], *other)["verdict"] == "pass"


def test_evidence_for_another_collection_is_not_promoted(workspace):
    """Good evidence of the glyphs, whose version is in a foreign collection."""
    evidence = workspace.evidence(0)
    flags = ("promote", "--evidence", evidence, "--approver", "ada")
    assert workspace.collection in refused(workspace.step, *flags, "--collection", "glyphs-dev")
    assert workspace.entries == []
    assert "production" not in workspace.version(0).aliases


def test_the_collection_of_the_config_is_the_one_that_counts(workspace):
    """Without a flag, as the workflows call promote."""
    evidence = workspace.evidence(0)
    with pytest.raises(StepError) as stopped:
        promote.main(["--use-case", "glyphs", "--evidence", evidence, "--approver", "ada"])
    assert stopped.value.name == "other_collection"


def test_a_version_in_another_registry_is_promoted_if_that_registry_is_named(step, model, dataset, monkeypatch):
    trained = model(0)["model"]
    monkeypatch.setenv("WANDB_PROJECT", "shared")  # as in the loop, the model is of the project that it is linked in
    version = step("link", "--model", trained, "--registry", "model-registry")["version"]
    answer = step("evaluate", "--version", version, "--dataset", dataset["dataset"])
    flags = ("--evidence", answer["evidence"], "--approver", "ada")
    with pytest.raises(StepError) as stopped:
        step("promote", *flags)
    assert stopped.value.name == "other_registry"
    step("promote", *flags, "--registry", "model-registry")
    assert "production" in wandb.Api().artifact(version).aliases


def test_an_organization_may_be_called_by_its_short_name(step, collection, server, monkeypatch):
    """W&B accepts `acme` for `acme_wandb-org` and returns the long name: the alias moved, by both names."""
    admin(server, "add-organization", "acme", "--admin", "local")
    admin(server, "add-team", "eyes", "--organization", "acme", "--admin", "local")
    wandb.Api().create_registry("model", visibility="organization", organization="acme")
    monkeypatch.setenv("WANDB_ENTITY", "eyes")
    workspace = Workspace(step, collection, "eyes")
    long, short = (f"{name}/wandb-registry-model/{collection}" for name in ("acme_wandb-org", "acme"))
    workspace.registry = long
    workspace.evidence(0)
    digest = workspace.version(0).digest
    other = workspace.evidence(0, version={"name": f"{short}:v0", "digest": digest}, collection=short)
    answer = step("promote", "--evidence", other, "--approver", "ada")
    assert workspace.entries[0].content["to"] == {"name": f"{long}:v0", "digest": digest}
    assert step("promote", "--evidence", other, "--approver", "ada").result == answer.result
    assert len(workspace.entries) == 1
    assert workspace.findings() == set()
    assert step("evaluate", "--version", f"{short}:v0", "--dataset", "a/b/c:v0")["version"] == f"{long}:v0"
