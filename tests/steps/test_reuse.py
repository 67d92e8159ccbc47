"""
Attacks on reuse: the alias `inputs-<hash>` on something else, as anyone with the training key can plant it.

    pytest tests/steps/test_reuse.py

The steps are real and unmodified: they find the planted versions where they look for their own.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import wandb

from modelgate import judging
from modelgate.errors import StepError
from modelgate.gate import report, rules
from modelgate.predictions import Predictions
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from modelgate.tracking import lineage
from tests.steps import rows as files
from tests.steps.github import RUN

ROWS = ("--rows", 60, "--eval-rows", 40)
POOR = "poor"


def inputs_of(version):
    """Return the alias under which a step finds a version again."""
    (alias,) = [alias for alias in version.aliases if alias.startswith("inputs-")]
    return alias


# --- evaluate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def poor(step, dataset, shared_results, monkeypatch):
    """
    The flags of evaluate for a version whose model trained for one epoch, and its result: fail. The project and the
    collection are those of this file: what one test plants, the next evaluate replaces.
    """
    if "poor" not in shared_results:
        monkeypatch.setenv("WANDB_PROJECT", "shared")
        shared_results["poor"] = step("train", "--dataset", dataset["dataset"], "--epochs", 1)
    monkeypatch.setenv("WANDB_PROJECT", POOR)
    version = step("link", "--model", shared_results["poor"]["model"], "--collection", POOR)["version"]
    flags = ("--version", version, "--dataset", dataset["dataset"], "--collection", POOR)
    answer = step("evaluate", *flags)
    assert answer["verdict"] == "fail"
    return flags, answer


def all_right(evidence, scores):
    """Return evidence as evaluate would write it if the model had every row right."""
    right = np.full_like(scores.candidate, 0.01)
    right[np.arange(scores.rows), scores.targets] = 0.91
    varied = {name: replace(both, candidate=scores.targets) for name, both in scores.varied.items()}
    scores = replace(scores, candidate=right, varied=varied)
    policy = form.restore_policy(evidence)
    was = evidence.metrics.candidate
    measured = judging.measure(scores, policy, Predictions(right, {}, was.latency_ms, was.size_bytes), None)
    return replace(evidence, **judging.conclude(scores, policy, measured, 0.0, evidence.looks)), scores


def planted(answer, change):
    """Replace the evidence of an answer with a changed copy; the report says the same as the evidence."""
    honest = wandb.Api().artifact(answer["evidence"])
    evidence, _, scores = evaluation.read(honest)
    evidence, scores = change(evidence, scores)
    policy = form.restore_policy(evidence)
    text = report.report(form.as_json(evidence), rules.judge(scores, policy), scores, policy)
    with wandb.init(project=POOR) as run:
        artifact = wandb.Artifact("glyphs_evaluation", type="evaluation")
        evaluation.add_to(artifact, form.to_text(evidence), text, scores, policy)
        return run.log_artifact(artifact, aliases=[inputs_of(honest)]).wait()


def test_planted_answers_are_not_taken_for_the_models(step, poor, capsys):
    flags, answer = poor
    lie = planted(answer, all_right)
    again = step("evaluate", *flags)
    assert (again["verdict"], again["reused"]) == ("fail", False)
    assert again["accuracy"] == answer["accuracy"] < 0.9
    assert f"{lie.name} has the alias" in capsys.readouterr().err


def test_a_planted_verdict_is_not_taken_for_the_rules(step, poor):
    flags, answer = poor
    planted(answer, lambda evidence, scores: (replace(evidence, verdict="pass"), scores))
    again = step("evaluate", *flags)
    assert (again["verdict"], again["reused"]) == ("fail", False)


@pytest.mark.parametrize(
    "changes", [{"commit": "c0ffee"}, {"headline": "pass: all is well"}, {"use_case": "remote"}, {"looks": 0}], ids=str
)
def test_evidence_of_something_else_is_not_reused(step, poor, changes):
    flags, answer = poor
    planted(answer, lambda evidence, scores: (replace(evidence, **changes), scores))
    assert not step("evaluate", *flags)["reused"]


def test_what_is_no_evidence_is_not_reused(step, poor):
    flags, answer = poor
    with wandb.init(project=POOR) as run:
        artifact = wandb.Artifact("glyphs_evaluation", type="evaluation")
        with artifact.new_file("evidence.json", mode="w") as file:
            json.dump({"verdict": "pass"}, file)
        run.log_artifact(artifact, aliases=[inputs_of(wandb.Api().artifact(answer["evidence"]))]).wait()
    assert not step("evaluate", *flags)["reused"]


def test_honest_evidence_is_reused_whatever_it_says(step, evaluated, poor, collection, monkeypatch):
    flags, answer = poor
    again = step("evaluate", *flags)
    assert (again["verdict"], again["reused"], again["evidence"]) == ("fail", True, answer["evidence"])
    monkeypatch.setenv("WANDB_PROJECT", collection)
    first, second = evaluated(0), evaluated(0)
    assert (first["verdict"], first["reused"], second["verdict"], second["reused"]) == ("pass", False, "pass", True)
    assert second["evidence"] == first["evidence"]


def test_on_github_nothing_is_reused(github, step, model, dataset):
    github.answers[RUN] = []
    version = step("link", "--model", model(0)["model"])["version"]
    answers = [step("evaluate", "--version", version, "--dataset", dataset["dataset"]) for _ in range(2)]
    assert [answer["reused"] for answer in answers] == [False, False]


# --- build -----------------------------------------------------------------------------------------------------------


def test_planted_rows_are_not_taken_for_the_sources(step, collection, tmp_path):
    honest = wandb.Api().artifact(step("build", *ROWS)["dataset"])
    rows = files.stored(honest, tmp_path)
    rows["y_train"] = np.roll(rows["y_train"], 1)
    with wandb.init(project=collection, job_type="build_dataset") as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        files.add(artifact, rows)
        lie = run.log_artifact(artifact, aliases=[inputs_of(honest)]).wait()
    answer = step("build", *ROWS)
    assert (answer["digest"], answer["reused"]) == (honest.digest, False)
    assert answer["digest"] != lie.digest
    assert step("build", *ROWS)["reused"]


# --- train -----------------------------------------------------------------------------------------------------------


def trained(collection, dataset, config, content, aliases=()):
    """Log a model in a run, as train would. content: of its file."""
    with wandb.init(project=collection, job_type="train_model", config=config) as run:
        run.use_artifact(dataset["dataset"])
        artifact = wandb.Artifact("glyphs_model", type="model")
        with artifact.new_file("model.keras", mode="w") as file:
            file.write(content)
        return run.log_artifact(artifact, aliases=[*aliases]).wait(), run.id


def test_a_planted_model_is_not_taken_for_a_training(step, collection, dataset, monkeypatch, capsys):
    """This includes the model in production, which a training did log: the new one would be reported as unchanged."""
    monkeypatch.setenv("WANDB_PROJECT", collection)
    flags = ("--dataset", dataset["dataset"], "--epochs", 1)
    honest = wandb.Api().artifact(step("train", *flags)["model"])
    recorded, alias = dict(honest.logged_by().config), inputs_of(honest)
    other, run = trained(collection, dataset, {"epochs": 2}, "another model", [alias])
    answer = step("train", *flags)
    assert (answer["digest"], answer["reused"]) == (honest.digest, False)
    assert f"{other.name} has the alias {alias}, but no matching training logged it" in capsys.readouterr().err
    assert step("train", *flags)["reused"]
    assert "by local" in capsys.readouterr().err

    # If the run's record is changed, too, it is believed: W&B has nothing else. That lets no other model in.
    planted = wandb.Api().run(f"local/{collection}/{run}")
    planted.config.update(recorded)
    planted.update()
    for name in (honest.name, other.name):
        version = wandb.Api().artifact(f"local/{collection}/{name}")
        version.aliases = [*version.aliases, alias] if name == other.name else []
        version.save()
    answer = step("train", *flags)
    assert (answer["digest"], answer["reused"]) == (other.digest, True)


def test_what_other_code_has_made_just_like_that_is_reused(collection, dataset, wandb_env):
    """The same bytes are the same version, and W&B names only its first run."""
    rows = wandb.Api().artifact(dataset["dataset"])
    for inputs in ("inputs-0", "inputs-1"):
        version, _ = trained(collection, dataset, {"epochs": 1, "inputs": inputs}, "a model")
    assert version.version == "v0"

    def known(epochs, inputs):
        return lineage.find_same_training(wandb.Api(), version, {"epochs": epochs, "inputs": inputs}, rows) is not None

    cases = [(1, "inputs-0"), (1, "inputs-1"), (2, "inputs-1"), (1, "inputs-2")]
    assert [known(*each) for each in cases] == [True, True, False, False]


def test_rows_that_build_did_not_log_are_not_trained_on(step, collection):
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        with artifact.new_file("training.npz", mode="wb") as file:
            np.savez_compressed(file, x=np.zeros((1, 8, 8, 1), np.float32))
        logged = run.log_artifact(artifact).wait()
    with pytest.raises(StepError, match="run of local with the job type") as stopped:
        step("train", "--dataset", f"local/{collection}/{logged.name}")
    assert (stopped.value.name, stopped.value.exit_code) == ("unknown_origin", 1)
