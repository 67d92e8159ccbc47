"""
A rollback goes back only to a version that was in production according to the ledger.

    pytest tests/steps/test_rollback.py
"""

from __future__ import annotations

import pytest
import wandb

from modelgate.errors import StepError
from modelgate.tracking import lineage
from tests.steps.policies import ROLLBACK


def test_what_never_was_in_production_is_not_promoted_as_a_rollback(workspace):
    """Evidence under the policy that passes every comparison, for a version that the ledger does not know."""
    workspace.promoted(0)
    evidence = workspace.evidence(1, 0, policy=ROLLBACK)
    with pytest.raises(StepError, match="refuse its predictions: was_in_production") as stopped:
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("verdict_not_reproduced", 1)
    assert "production" in workspace.version(0).aliases


def test_evidence_that_says_it_was_in_production_is_not_believed(workspace):
    workspace.promoted(0)
    claim = {"entry": 0, "version": f"{workspace.registry}:v0", "since": "2026-11-20T10:00:00Z", "until": None}
    evidence = workspace.evidence(1, 0, policy=ROLLBACK, **{"return": claim})
    with pytest.raises(StepError, match="was_in_production"):
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")


def test_what_was_in_production_is_gone_back_to(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.step("promote", "--evidence", workspace.evidence(0, 1, policy=ROLLBACK), "--approver", "ada")
    assert "production" in workspace.version(0).aliases
    assert workspace.findings() == set()


@pytest.fixture
def candidate(model, history, collection, tmp_path):
    """A good version of `history` that never was in production: the weights of one that was, a little changed."""
    import keras

    from modelgate.frameworks import keras_format

    source = wandb.Api().artifact(model(0)["model"])
    changed = keras.saving.load_model(source.get_entry("model.keras").download(root=tmp_path))
    changed.set_weights([1.001 * weights for weights in changed.get_weights()])
    keras_format.save(changed, tmp_path / "changed.keras")
    with wandb.init(project=collection, job_type="train_model") as run:
        run.use_artifact(source.logged_by().used_artifacts()[0])
        artifact = wandb.Artifact("glyphs_model", type="model")
        artifact.add_file(str(tmp_path / "changed.keras"), name="model.keras")
        name = f"local/{collection}/{run.log_artifact(artifact).wait().name}"
    return history("link", "--model", name)["version"]


def test_evaluate_refuses_a_rollback_to_a_candidate(history, candidate, monkeypatch):
    answer = history("evaluate", "--version", candidate, "--policy", "rollback")
    assert (answer.exit, answer["verdict"]) == (1, "fail")
    assert [reason.partition(":")[0] for reason in answer["reasons"]] == ["was_in_production"]
    assert history("evaluate", "--version", candidate)["verdict"] == "pass"

    # It also goes back to one whose training rows are gone, and says so.
    monkeypatch.setattr(lineage, "_list_datasets", lambda *_: ())
    with pytest.raises(StepError, match=r"dataset that .* was trained on is gone"):
        history("evaluate", "--version", "previous")
    answer = history("evaluate", "--version", "previous", "--policy", "rollback", "--no-cache")
    assert answer["verdict"] == "pass"
    assert "the rows that the candidate was trained on are gone" in answer.report
