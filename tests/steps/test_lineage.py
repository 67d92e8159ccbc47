"""
A candidate is not judged by the rows it was trained on: attacks, and honest mistakes.

    pytest tests/steps/test_lineage.py
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import evaluation, ledger
from steps import evaluate
from tests.steps import rows as files
from tests.steps import workspace as workspaces
from tests.steps.policies import ROLLBACK


def refused(step, *flags):
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert stopped.value.exit_code == 1
    return stopped.value.name


def logged(collection, **rows):
    """Log a dataset with these rows, as build would."""
    with wandb.init(project=collection, job_type="build_dataset") as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        files.add(artifact, rows)
        return f"local/{collection}/{run.log_artifact(artifact).wait().name}"


@pytest.fixture
def rows(dataset, tmp_path):
    return files.stored(wandb.Api().artifact(dataset["dataset"]), tmp_path)


def test_rows_that_the_candidate_was_trained_on_do_not_judge_it(step, model, rows, collection):
    """Another dataset, whose eval rows include the candidate's training rows, but not its own."""
    eval_rows, train_rows = len(rows["x_eval"]), {key: rows[key] for key in ("x_eval", "y_eval")}
    judging = {
        "x_eval": rows["x_train"][:eval_rows],
        "y_eval": rows["y_train"][:eval_rows],
        "x_train": train_rows["x_eval"],
        "y_train": train_rows["y_eval"],
    }
    version = step("link", "--model", model(0)["model"])["version"]
    answer = step("evaluate", "--version", version, "--dataset", logged(collection, **judging))
    assert (answer.exit, answer["verdict"]) == (1, "fail")
    assert answer["reasons"] == [f"unseen_rows: {eval_rows} eval rows are training rows, the first 0"]


def test_a_model_of_unknown_lineage_is_not_judged(step, model, dataset, collection, tmp_path):
    """Anyone could have made the file anywhere, from any rows."""
    path = wandb.Api().artifact(model(0)["model"]).get_entry("model.keras").download(root=tmp_path)
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("glyphs_model", type="model")
        artifact.add_file(path, name="model.keras")
        name = f"local/{collection}/{run.log_artifact(artifact).wait().name}"
    version = step("link", "--model", name)["version"]
    assert refused(step, "evaluate", "--version", version, "--dataset", dataset["dataset"]) == "lineage_unknown"


def test_the_evidence_says_what_the_model_was_trained_on(first, dataset, rows):
    evidence, _, _ = evaluation.read(wandb.Api().artifact(first["evidence"]))
    assert vars(evidence.trained_on.dataset) == {"name": dataset["dataset"], "digest": dataset["digest"]}
    assert evidence.trained_on.rows == len(rows["x_train"])


# --- what promote sees again -----------------------------------------------------------------------------------------


def test_evidence_for_a_model_that_saw_the_rows_is_not_promoted(workspace, monkeypatch):
    """The evidence says that no row was seen in training, but the rows contradict it."""
    saw = workspaces.file_of_rows

    def with_eval_rows_among_them(labels=None):
        with np.load(io.BytesIO(saw(labels))) as stored:
            arrays = dict(stored)
        arrays["x_train"][:20] = arrays["x_eval"][:20]
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        return packed.getvalue()

    monkeypatch.setattr(workspaces, "file_of_rows", with_eval_rows_among_them)
    evidence = workspace.evidence(0)
    with pytest.raises(StepError, match="refuse its predictions: unseen_rows") as stopped:
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert stopped.value.name == "verdict_not_reproduced"
    assert workspace.entries == []


def test_evidence_that_names_another_dataset_is_not_promoted(workspace):
    other = {"name": f"local/{workspace.collection}/glyphs_dataset:v7", "digest": "0" * 32}
    evidence = workspace.evidence(0, trained_on={"dataset": other, "rows": 1, "near_duplicates": None})
    assert refused(workspace.step, "promote", "--evidence", evidence, "--approver", "ada") == "lineage_changed"
    assert workspace.entries == []


def test_a_model_of_unknown_lineage_is_not_promoted(workspace, monkeypatch):
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **names: init(**{**names, "job_type": "by_hand"}))
    evidence = workspace.evidence(0)
    assert refused(workspace.step, "promote", "--evidence", evidence, "--approver", "ada") == "lineage_unknown"


# --- a dataset that was deleted --------------------------------------------------------------------------------------


def delete_datasets(workspace):
    wandb.Api().artifact_collection("dataset", f"local/{workspace.collection}/glyphs_dataset").delete()


def test_a_dataset_that_was_deleted_and_built_again_is_the_one_that_the_model_was_trained_on(workspace, own_rows):
    """The same training makes the same version again, whose run has lost its input."""
    workspace.evidence(0)
    delete_datasets(workspace)
    workspace.dataset(labels=np.zeros(workspaces.ROWS, int))  # takes the name v0
    workspace.promoted(0)
    assert "production" in workspace.version(0).aliases


def test_a_model_whose_training_rows_are_gone_is_only_gone_back_to(workspace, own_rows, monkeypatch):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    delete_datasets(workspace)
    file_of_rows = workspaces.file_of_rows
    with np.load(io.BytesIO(file_of_rows())) as stored:
        others = {**stored, "x_train": stored["x_train"] + 1}
    packed = io.BytesIO()
    np.savez(packed, **others)
    monkeypatch.setattr(workspaces, "file_of_rows", lambda *_: packed.getvalue())
    assert (
        refused(workspace.step, "promote", "--evidence", workspace.evidence(0, 1), "--approver", "ada")
        == "lineage_unknown"
    )
    workspace.step("promote", "--evidence", workspace.evidence(0, 1, policy=ROLLBACK), "--approver", "ada")
    assert "production" in workspace.version(0).aliases


def test_rows_that_took_the_name_of_those_that_production_was_judged_on_do_not_judge(workspace, own_rows):
    """The default of --dataset, which a rollback uses, must have the digest in the ledger, not only the name."""
    workspace.promoted(0)
    digest = workspace.entries[0].content["dataset"]["digest"]

    def judges():
        return evaluate.find_judged_dataset(wandb.Api(), ledger.list_promotions(workspace.entries))

    delete_datasets(workspace)
    for is_there in ("is gone", "is another one now"):
        with pytest.raises(StepError, match=is_there) as stopped:
            judges()
        assert stopped.value.name == "dataset_gone"
        workspace.dataset(labels=np.zeros(workspaces.ROWS, int))
    assert workspace.dataset().version == "v1"
    assert (judges().version, judges().digest) == ("v1", digest)


def test_eval_rows_that_the_ledger_knows_by_another_sha256_are_refused():
    content = {"dataset": {"digest": "d"}, "sha256": {"model": "a" * 64, "eval_rows": "b" * 64}}
    entries = [ledger.Entry(0, content, applied=True), ledger.Entry(1, {**content, "sha256": None}, applied=True)]
    ledger.require_rows(entries, "d", "b" * 64)
    ledger.require_rows(entries, "another", "c" * 64)
    with pytest.raises(StepError) as stopped:
        ledger.require_rows(entries, "d", "c" * 64)
    assert stopped.value.name == "rows_bytes_changed"
