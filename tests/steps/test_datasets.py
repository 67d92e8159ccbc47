"""
Training rows and eval rows are in separate files. Older versions, with both in one file, are judged but not trained on.

    pytest tests/steps/test_datasets.py
"""

from __future__ import annotations

import numpy as np
import pytest
import wandb

from modelgate.errors import StepError
from tests.steps import rows as files


@pytest.fixture
def arrays(dataset, tmp_path):
    return files.stored(wandb.Api().artifact(dataset["dataset"]), tmp_path)


def logged(collection, files_of):
    """Log a dataset as build would. files_of: name of a file to its arrays."""
    with wandb.init(project=collection, job_type="build_dataset") as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        for name, content in files_of.items():
            with artifact.new_file(name, mode="wb") as file:
                np.savez_compressed(file, **content)
        return f"local/{collection}/{run.log_artifact(artifact).wait().name}"


def test_a_training_needs_no_eval_rows(step, arrays, collection):
    """The machine that trains does not download them: it trains on a version without them as on any other."""
    name = logged(collection, {"training.npz": {"x": arrays["x_train"], "y": arrays["y_train"]}})
    assert step("train", "--dataset", name, "--epochs", 1).exit == 0


def test_a_version_of_before_is_judged_as_it_was(step, model, dataset, arrays, collection):
    version = step("link", "--model", model(0)["model"])["version"]
    now = step("evaluate", "--version", version, "--dataset", dataset["dataset"])
    name = logged(collection, {"arrays.npz": arrays})
    then = step("evaluate", "--version", version, "--dataset", name)
    assert (then["verdict"], then["accuracy"], then["loss"]) == ("pass", now["accuracy"], now["loss"])


def test_a_version_of_before_is_not_trained_on(step, arrays, collection):
    name = logged(collection, {"arrays.npz": arrays})
    with pytest.raises(StepError, match=r"one file, arrays\.npz") as refused:
        step("train", "--dataset", name)
    assert (refused.value.name, refused.value.exit_code) == ("rows_not_apart", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": np.zeros((3, 8, 8, 1))}, "it has x, not x and y"),
        ({"x": np.zeros((3, 8, 8, 1)), "y": np.zeros(3, np.int64)}, r"the rows are float64 \(3, 8, 8, 1\)"),
        ({"x": np.zeros((3, 8), np.float32), "y": np.zeros(4, np.int64)}, r"and the labels int64 \(4,\)"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused(step, collection, content, message):
    with pytest.raises(StepError, match=message) as refused:
        step("train", "--dataset", logged(collection, {"training.npz": content}))
    assert (refused.value.name, refused.value.exit_code) == ("dataset_unreadable", 1)
