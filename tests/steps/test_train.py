"""
train, through the real SDK against the embedded server.

    pytest tests/steps/test_train.py
"""

from __future__ import annotations

import pytest
import wandb

from modelgate.errors import WRONG_USE, StepError
from modelgate.frameworks import keras_format
from steps import train


def test_training_twice_gives_the_same_digest_and_no_new_version(step, dataset, collection):
    flags = ("--dataset", dataset["dataset"], "--epochs", 1)
    first = step("train", *flags)
    second = step("train", *flags, "--no-cache")
    assert (second["model"], second["digest"]) == (first["model"], first["digest"])
    assert not second["reused"]
    runs = wandb.Api().runs(f"local/{collection}")
    assert [len(list(run.scan_history(keys=["epoch/loss"]))) for run in runs] == [1, 1]


def test_training_again_reuses_the_version_and_opens_no_run(step, dataset, collection):
    flags = ("--dataset", dataset["dataset"], "--epochs", 1)
    first = step("train", *flags)
    second = step("train", *flags)
    assert (second["model"], second["reused"], second["run_url"]) == (first["model"], True, None)
    assert len(wandb.Api().runs(f"local/{collection}")) == 1


def test_another_seed_gives_another_version(model):
    assert model(0)["digest"] != model(1)["digest"]


def test_the_metrics_of_each_epoch_are_recorded(step, dataset, collection):
    step("train", "--dataset", dataset["dataset"], "--epochs", 3)
    (run,) = wandb.Api().runs(f"local/{collection}")
    history = list(run.scan_history(keys=["epoch/loss", "epoch/val_accuracy", "epoch/epoch"]))
    assert [row["epoch/epoch"] for row in history] == [0, 1, 2]
    assert history[2]["epoch/loss"] < history[0]["epoch/loss"]
    assert run.state == "finished"
    assert run.job_type == "train_model"
    assert (run.config["epochs"], run.config["optimizer"], run.config["threads"]) == (3, "adam", 1)
    assert run.config.keys() >= {*keras_format.ABOUT}


def test_the_dataset_is_the_runs_input_and_the_model_its_output(step, dataset, collection):
    answer = step("train", "--dataset", dataset["dataset"], "--epochs", 1)
    (run,) = wandb.Api().runs(f"local/{collection}")
    assert [artifact.digest for artifact in run.used_artifacts()] == [dataset["digest"]]
    assert answer["digest"] in [artifact.digest for artifact in run.logged_artifacts()]


def test_a_dataset_that_is_not_pinned_is_wrong_use(step):
    with pytest.raises(StepError) as refused:
        step("train", "--dataset", "local/shared/glyphs_dataset:latest")
    assert (refused.value.name, refused.value.exit_code) == ("reference_not_pinned", WRONG_USE)


def test_a_dataset_that_is_not_there_is_wrong_use(step):
    with pytest.raises(StepError) as refused:
        step("train", "--dataset", "local/nowhere/glyphs_dataset:v0")
    assert (refused.value.name, refused.value.exit_code) == ("version_not_found", WRONG_USE)


@pytest.mark.parametrize("flags", [["--epochs", "0"], ["--validation-split", "1"], ["--batch-size", "-1"]])
def test_hyperparameters_out_of_range_are_wrong_use(flags):
    with pytest.raises(SystemExit) as stopped:
        train.main(["--use-case", "glyphs", "--dataset", "a/b/c:v0", *flags])
    assert stopped.value.code == 2
