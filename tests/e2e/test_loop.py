"""
The whole loop in a fresh clone, as `make run` does it.

    pytest tests/e2e/test_loop.py               with images, and with a table that ships
    pytest tests/e2e/test_loop.py -m prove      with the others that ship, and with a source that is available
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from modelgate import usecase
from tests.e2e.facts import facts

SHIPPED = Path(__file__).parents[2] / "usecases"


LOOK_AT_THE_PICTURES = """
    import sys
    import numpy as np
    sys.path.insert(0, "clone")
    from usecases.{use_case}.data import picture

    dataset = api.artifact("local/model-registry-dev/{use_case}_dataset:v0")
    dataset.download()  # many files at once; the tables would fetch their pictures one by one
    (evaluation,) = api.runs("local/model-registry-dev", filters={{"jobType": "evaluate_model"}})
    answer = {{"value": evaluation.summary["eval/{metric}"], "rows": [], "same": []}}
    for split in ("train", "eval"):
        table = dataset.get(f"{{split}}_table")
        x = table.get_column(f"x_{{split}}", convert_to="numpy")
        shown = [np.asarray(image.image) for image in table.get_column("img")]
        answer["rows"].append(len(x))
        answer["same"].append(all(np.array_equal(img, picture(row)) for img, row in zip(shown, x, strict=True)))
"""

LOOK_AT_THE_COLUMNS = """
    import pandas

    dataset = api.artifact("local/model-registry-dev/{use_case}_dataset:v0")
    (evaluation,) = api.runs("local/model-registry-dev", filters={{"jobType": "evaluate_model"}})
    answer = {{"value": evaluation.summary["eval/{metric}"], "rows": [], "same": []}}
    for split, name in (("train", "training"), ("eval", "eval")):
        table = dataset.get(f"{{split}}_table").get_dataframe()
        stored = pandas.read_parquet(dataset.get_entry(f"{{name}}.parquet").download())
        answer["rows"].append(len(stored))
        both = [(table[c], stored[c]) for c in table.columns if c in stored.columns and c != "target"]
        alike = [((a == b.astype(a.dtype)) | (a.isna() & b.isna())).all() for a, b in both]
        answer["same"].append(len(both) == len(table.columns) - 1 and all(map(bool, alike)))
"""


def shipped(images: bool) -> list[str]:
    """The use cases that ship and have images, or columns."""
    names = sorted(path.parent.name for path in SHIPPED.glob("*/config.toml"))
    return [name for name in names if ('"image-' in (SHIPPED / name / "config.toml").read_text()) == images]


@pytest.fixture(params=shipped(images=True))
def use_case_with_images(request: pytest.FixtureRequest) -> str:
    return request.param


# A use case that downloads packages is for `make prove`.
@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.prove if (SHIPPED / name / "requirements.in").exists() else ())
        for name in shipped(images=False)
    ]
)
def use_case_with_columns(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_fallback_runs_and_stops_until_approve_goes_on_and_again_changes_nothing(clone):
    """The source is not available, and no one approves."""
    loop = ("run", "--epochs", "8")
    code, output = clone.run(*loop)
    assert code == 0, output
    assert "remote is not available here" in output and "this run uses glyphs" in output
    assert "waits for an approval" in output
    assert "epoch 08/08" in output and "oneDNN" not in output and "absl::" not in output  # TensorFlow's own notes
    assert (
        clone.ask("api.artifact_collection_exists('local/model-registry-dev/glyphs_promotions', 'promotion')") is False
    )
    code, output = clone.run("approve", APPROVE="ada")
    assert code == 0, output
    first = clone.ask(facts("glyphs-dev", "glyphs"))
    assert first == {"production": "v0", "datasets": 1, "models": 1, "versions": 1, "entries": 1, "runs": 5}

    code, output = clone.run(*loop, "--use-case", "glyphs")
    assert code == 0, output
    assert "unchanged" in output
    assert output.count("reused") >= 3
    assert clone.ask(facts("glyphs-dev", "glyphs")) == first


@pytest.mark.prove
def test_with_its_source_and_without_a_behaviour_of_its_own_it_goes_to_production(clone, tmp_path):
    rows = usecase.load_part("glyphs", "data").load(1300, 497)
    images, labels = np.concatenate([rows.x_train, rows.x_eval]), np.concatenate([rows.y_train, rows.y_eval])
    np.savez(tmp_path / "glyphs.npz", images=images, labels=labels)
    code, output = clone.run("run", "--epochs", "8", APPROVE="ada", GLYPHS_NPZ=str(tmp_path / "glyphs.npz"))
    assert code == 0, output
    assert "approved by ada" in output
    assert clone.ask(facts("remote-dev", "remote"))["production"] == "v0"


@pytest.mark.prove
def test_the_images_that_ship_reach_their_floor_and_every_picture_is_its_source(clone, use_case_with_images):
    settings = ship(clone, use_case_with_images)
    declared = {name: os.environ[name] for name in settings["data"]["env"] if name in os.environ}
    if "MNIST_NPZ" in settings["data"]["env"] and not declared:
        pytest.skip(f"MNIST_NPZ names no file: {use_case_with_images} did not run")
    seen = look(clone, use_case_with_images, settings, LOOK_AT_THE_PICTURES, **declared)
    assert seen["rows"] == list(settings["build"].values())
    assert seen["same"] == [True, True]


def test_the_tables_and_texts_that_ship_reach_their_floor_and_are_shown_in_columns(clone, use_case_with_columns):
    settings = ship(clone, use_case_with_columns)
    (clone.path / ".venv").symlink_to(sys.prefix)  # where the use case's own packages go
    seen = look(clone, use_case_with_columns, settings, LOOK_AT_THE_COLUMNS)
    assert seen["rows"] == list(settings["build"].values())
    assert seen["same"] == [True, True]


def ship(clone, use_case):
    """Put the shipped use cases into the clone; return the settings of one."""
    shutil.rmtree(clone.path / "usecases")
    shutil.copytree(SHIPPED, clone.path / "usecases", ignore=shutil.ignore_patterns("__pycache__"))
    return json.loads(clone.answer("-m", "modelgate", "config", use_case))


def look(clone, use_case, settings, program, **env):
    """Take the use case to production, check that it reaches the floor, and return what W&B shows of its rows."""
    code, output = clone.run("run", "--use-case", use_case, APPROVE="ada", **env)
    assert code == 0, output
    seen = clone.ask(program.format(use_case=use_case, metric=settings["gate"]["metric"]))
    assert seen["value"] >= settings["gate"]["at_least"]
    return seen
