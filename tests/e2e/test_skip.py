"""
Steps that nothing changed are skipped, for real: a change in a clone runs exactly the steps that depend on it.

    pytest tests/e2e/test_skip.py -m prove

Which files each fingerprint covers is in tests/modelgate/test_fingerprint.py.
"""

from __future__ import annotations

import json

import pytest

STEPS = ("build", "train", "link", "evaluate")
EVERY_STEP = set(STEPS)
FROM_TRAIN = {"train", "link", "evaluate"}
EIGHT, NINE = ("--epochs", "8"), ("--epochs", "9")
DIGESTS = """
    project = "local/model-registry-dev"
    runs = list(api.runs(project))
    trainings = [run for run in runs if run.job_type == "train_model"]
    names = {"dataset": f"{project}/glyphs_dataset", "model": f"{project}/glyphs_model"}
    answer = {
        kind: [version.digest for version in api.artifacts(kind, name)] for kind, name in names.items()
    }
    answer["runs"] = sorted(run.job_type for run in runs)
    answer["epochs"] = [len(list(run.scan_history(keys=["epoch/loss"]))) for run in trainings]
"""


def loop(clone, *flags):
    """Run the loop up to the question; returns the steps that really ran."""
    code, output = clone.run("run", "--use-case", "glyphs", *flags)
    assert code == 0, output
    return {step for step in STEPS if not answer(clone, step)["reused"]}


def answer(clone, step):
    return json.loads((clone.path / ".modelgate" / "out" / step / "result.json").read_text(encoding="utf-8"))


def edit(clone, name, old="", new="# a remark\n"):
    path = clone.path / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_what_no_step_depends_on_runs_none_and_a_framework_those_that_load_it(clone):
    assert loop(clone, *EIGHT) == EVERY_STEP
    assert loop(clone, *EIGHT) == set()
    edit(clone, "README.md")
    assert loop(clone, *EIGHT) == set()
    edit(clone, "requirements.txt")
    assert loop(clone, *EIGHT) == set()
    edit(clone, "docker/frameworks/keras.txt")
    assert loop(clone, *EIGHT) == {"train", "evaluate"}


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_what_makes_the_model_runs_train_and_what_follows_if_the_model_is_another(clone):
    assert loop(clone, *EIGHT) == EVERY_STEP
    assert loop(clone, *NINE) == FROM_TRAIN
    edit(clone, "usecases/glyphs/model.py", "Dropout(dropout)", "Dropout(dropout * 0.8)")
    assert loop(clone, *NINE) == FROM_TRAIN
    edit(clone, "usecases/glyphs/model.py")  # train must run to find that it makes the same model
    assert loop(clone, *NINE) == {"train"}


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_what_makes_the_report_runs_evaluate_and_what_makes_the_rows_every_step(clone):
    assert loop(clone, *EIGHT) == EVERY_STEP
    edit(clone, "modelgate/gate/report.py")
    assert loop(clone, *EIGHT) == {"evaluate"}
    edit(clone, "usecases/glyphs/data.py", "default_rng(0)", "default_rng(1)")
    assert loop(clone, *EIGHT) == EVERY_STEP
    edit(clone, "usecases/glyphs/data.py")  # the same rows; evaluate shows mistakes by data.picture
    assert loop(clone, *EIGHT) == {"build", "evaluate"}


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_without_the_cache_everything_runs_again_and_gives_the_same_digests(clone):
    assert loop(clone, *EIGHT) == EVERY_STEP
    first, digest = clone.ask(DIGESTS), answer(clone, "link")["digest"]
    assert loop(clone, *EIGHT, "--no-cache") == {"build", "train", "evaluate"}  # the model is already the candidate
    again = clone.ask(DIGESTS)
    assert again["dataset"] == first["dataset"] and len(again["dataset"]) == 1
    assert again["model"] == first["model"] == [digest]
    assert answer(clone, "link")["digest"] == digest
    assert again["runs"] == sorted([*first["runs"], "build_dataset", "train_model", "evaluate_model"])
    assert again["epochs"] == [8, 8]
