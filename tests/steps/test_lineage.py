"""
Rows that a candidate was trained on are not what it is judged by: attacks, and what honest people do by mistake.

    pytest tests/steps/test_lineage.py
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import evaluation
from tests.steps import desk as desks
from tests.steps import rows as files


def refused(step, *flags):
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert stopped.value.exit_code == 1
    return stopped.value.name


def logged(collection, **rows):
    """A dataset with these rows, as build would log it."""
    with wandb.init(project=collection, job_type="build_dataset") as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        files.add(artifact, rows)
        return f"local/{collection}/{run.log_artifact(artifact).wait().name}"


@pytest.fixture
def rows(dataset, tmp_path):
    return files.stored(wandb.Api().artifact(dataset["dataset"]), tmp_path)


def test_rows_that_the_candidate_was_trained_on_do_not_judge_it(step, model, rows, collection):
    """Another dataset, whose own training rows are not among its eval rows; the candidate's are."""
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
    """A file that somebody has made anywhere, on any rows."""
    path = wandb.Api().artifact(model(0)["model"]).get_entry("model.keras").download(root=tmp_path)
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("glyphs_model", type="model")
        artifact.add_file(path, name="model.keras")
        name = f"local/{collection}/{run.log_artifact(artifact).wait().name}"
    version = step("link", "--model", name)["version"]
    assert refused(step, "evaluate", "--version", version, "--dataset", dataset["dataset"]) == "lineage_unknown"


def test_the_evidence_says_what_the_model_was_trained_on(evaluated, dataset, rows):
    evidence, _, _ = evaluation.read(wandb.Api().artifact(evaluated(0)["evidence"]))
    assert vars(evidence.trained_on.dataset) == {"name": dataset["dataset"], "digest": dataset["digest"]}
    assert evidence.trained_on.rows == len(rows["x_train"])


# --- what promote sees again -----------------------------------------------------------------------------------------


def test_evidence_for_a_model_that_saw_the_rows_is_not_promoted(desk, monkeypatch):
    """The evidence says that no row was seen, and the rows say something else."""
    saw = desks.rows

    def with_eval_rows_among_them(labels=None):
        with np.load(io.BytesIO(saw(labels))) as stored:
            arrays = dict(stored)
        arrays["x_train"][:20] = arrays["x_eval"][:20]
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        return packed.getvalue()

    monkeypatch.setattr(desks, "rows", with_eval_rows_among_them)
    evidence = desk.evidence(0)
    with pytest.raises(StepError, match="refused by unseen_rows") as stopped:
        desk.step("promote", "--evidence", evidence, "--approver", "ada")
    assert stopped.value.name == "verdict_not_reproduced"
    assert desk.entries == []


def test_evidence_that_names_another_dataset_is_not_promoted(desk):
    other = {"name": f"local/{desk.collection}/glyphs_dataset:v7", "digest": "0" * 32}
    evidence = desk.evidence(0, trained_on={"dataset": other, "rows": 1, "near_duplicates": None})
    assert refused(desk.step, "promote", "--evidence", evidence, "--approver", "ada") == "lineage_changed"
    assert desk.entries == []


def test_a_model_of_unknown_lineage_is_not_promoted(desk, monkeypatch):
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **names: init(**{**names, "job_type": "by_hand"}))
    evidence = desk.evidence(0)
    assert refused(desk.step, "promote", "--evidence", evidence, "--approver", "ada") == "lineage_unknown"
