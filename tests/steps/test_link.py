"""
link, through the real SDK against the embedded server.

    pytest tests/steps/test_link.py
"""

from __future__ import annotations

import pytest
import wandb

from modelgate.errors import WRONG_USE, StepError


@pytest.mark.parametrize("registry", ["wandb-registry-model", "model-registry"])
def test_a_model_is_linked_as_the_candidate(step, model, collection, registry):
    trained = model(0)
    answer = step("link", "--model", trained["model"], "--registry", registry)
    assert answer["version"].endswith(f"/{registry}/{collection}:v0")
    assert answer["digest"] == trained["digest"]
    version = wandb.Api().artifact(answer["version"])
    assert "candidate" in version.aliases
    assert version.digest == trained["digest"]


@pytest.mark.parametrize("registry", ["wandb-registry-model", "model-registry"])
def test_linking_twice_keeps_one_version_and_opens_no_run(step, model, collection, registry):
    flags = ("--model", model(0)["model"], "--registry", registry)
    first, second = step("link", *flags), step("link", *flags)
    assert (second["version"], second["reused"], second["run_url"]) == (first["version"], True, None)
    assert len(wandb.Api().runs(f"local/{collection}")) == 1


def test_the_candidate_is_the_last_one_linked(step, model):
    first, second = (step("link", "--model", model(seed)["model"]) for seed in (0, 1))
    assert [answer["version"][-3:] for answer in (first, second)] == [":v0", ":v1"]
    api = wandb.Api()
    assert "candidate" not in api.artifact(first["version"]).aliases
    assert "candidate" in api.artifact(second["version"]).aliases


def test_a_model_linked_before_becomes_the_candidate_again_without_a_new_version(step, model):
    first, _, again = (step("link", "--model", model(seed)["model"]) for seed in (0, 1, 0))
    assert again["version"] == first["version"]
    assert "candidate" in wandb.Api().artifact(first["version"]).aliases


def test_a_registry_that_is_not_there_is_wrong_use(step, model):
    with pytest.raises(StepError, match='registry "local-org/wandb-registry-nobodys" not found') as stopped:
        step("link", "--model", model(0)["model"], "--registry", "wandb-registry-nobodys")
    assert (stopped.value.name, stopped.value.exit_code) == ("link_refused", WRONG_USE)


def test_the_old_registry_makes_no_second_version_of_the_model(step, model):
    trained = model(0)
    step("link", "--model", trained["model"], "--registry", "model-registry")
    source = wandb.Api().artifact(trained["model"])
    assert source.version == "v0"


def test_lineage_leads_from_the_registry_to_the_training(step, model, dataset):
    version = wandb.Api().artifact(step("link", "--model", model(0)["model"])["version"])
    training = version.logged_by()
    assert training.job_type == "train_model"
    assert [artifact.digest for artifact in training.used_artifacts()] == [dataset["digest"]]
