"""
The whole loop in a fresh clone, as `make run` does it.

    pytest tests/e2e/test_loop.py
"""

from __future__ import annotations

import os

import pytest

PRODUCTION = "api.artifact('local-org/wandb-registry-model/{collection}:production')"


LOOK_AT_MNIST = """
    import sys
    import numpy as np
    sys.path.insert(0, "clone")
    from usecases.mnist.data import picture

    dataset = api.artifact("local/model-registry-dev/mnist_dataset:v0")
    dataset.download()  # many files at once; the tables would fetch their pictures one by one
    (evaluation,) = api.runs("local/model-registry-dev", filters={"jobType": "evaluate_model"})
    answer = {"accuracy": evaluation.summary["eval/accuracy"], "rows": [], "same": []}
    answer["images"] = len({entry.digest for path, entry in dataset.manifest.entries.items() if path.endswith("png")})
    for split in ("train", "eval"):
        table = dataset.get(f"{split}_table")
        x = table.get_column(f"x_{split}", convert_to="numpy")
        shown = [np.asarray(image.image) for image in table.get_column("img")]
        answer["rows"].append([str(x.dtype), *x.shape])
        answer["same"].append(all(np.array_equal(img, picture(row)) for img, row in zip(shown, x, strict=True)))
"""


def facts(collection: str, use_case: str) -> str:
    """An expression over wandb.Api(): what is in production, and how much of everything there is."""
    project = "local/model-registry-dev"
    version = PRODUCTION.format(collection=collection)
    counts = {
        "datasets": f"api.artifacts('dataset', '{project}/{use_case}_dataset')",
        "models": f"api.artifacts('model', '{project}/{use_case}_model')",
        "versions": f"api.artifacts('model', 'local-org/wandb-registry-model/{collection}')",
        "entries": f"api.artifacts('promotion', '{project}/{use_case}_promotions')",
        "runs": f"api.runs('{project}')",
    }
    return f"dict(production={version}.version, {', '.join(f'{name}=len({what})' for name, what in counts.items())})"


def test_the_loop_ends_in_production_and_again_changes_nothing(clone):
    code, said = clone.run("run", "--use-case", "digits", APPROVE="ada")
    assert code == 0, said
    assert "approved by ada" in said
    first = clone.ask(facts("digits-dev", "digits"))
    assert first == {"production": "v0", "datasets": 1, "models": 1, "versions": 1, "entries": 1, "runs": 5}

    code, said = clone.run("run", "--use-case", "digits")
    assert code == 0, said
    assert "unchanged" in said
    assert said.count("reused") >= 3
    assert clone.ask(facts("digits-dev", "digits")) == first


def test_without_mnist_it_runs_digits_and_without_an_approval_it_stops_until_approve_goes_on(clone):
    clone.env.pop("MNIST_NPZ", None)
    clone.env["KERAS_HOME"] = "nowhere"
    clone.env["https_proxy"] = "http://127.0.0.1:9"  # a network that refuses everything
    code, said = clone.run("run", "--epochs", "10")
    assert code == 0, said
    assert "MNIST cannot be had here" in said and "this run goes on with digits" in said
    assert "waits for an approval" in said
    assert (
        clone.ask("api.artifact_collection_exists('local/model-registry-dev/digits_promotions', 'promotion')") is False
    )
    code, said = clone.run("approve", APPROVE="ada")
    assert code == 0, said
    assert clone.ask(facts("digits-dev", "digits"))["production"] == "v0"


@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ names no file: the loop ran on digits only")
def test_mnist_reaches_96_percent_and_every_picture_is_its_source(clone):
    code, said = clone.run("run", APPROVE="ada")
    assert code == 0, said
    seen = clone.ask(LOOK_AT_MNIST)
    assert seen["accuracy"] >= 0.96
    assert seen["rows"] == [["float32", 6000, 28, 28, 1], ["float32", 1000, 28, 28, 1]]
    assert seen["images"] == 7000
    assert seen["same"] == [True, True]
