"""
build and train with tables and texts, from the templates of `python -m modelgate new`.

    pytest tests/steps/test_kinds.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import wandb

from modelgate import datasets, usecase
from modelgate.errors import StepError
from tests.own import ROOT
from tests.steps.kinds import TASKS, edit


@pytest.mark.parametrize("name", TASKS)
def test_the_same_rows_and_flags_give_the_same_model_again(step, use_case, name, capsys):
    use_case(name)
    dataset = step("build", "--use-case", name)
    first = step("train", "--use-case", name, "--dataset", dataset["dataset"])
    again = step("train", "--use-case", name, "--dataset", dataset["dataset"], "--no-cache")
    assert (again["model"], again["digest"], again["reused"]) == (first["model"], first["digest"], False)
    assert step("train", "--use-case", name, "--dataset", dataset["dataset"])["reused"]
    assert step("build", "--use-case", name)["reused"]
    assert "train/score" in capsys.readouterr().err


def test_the_table_has_real_columns_and_the_names_of_the_classes(step, use_case, tmp_path):
    use_case("tabular")
    artifact = wandb.Api().artifact(step("build", "--use-case", "tabular")["dataset"])
    rows = usecase.load_part("tabular", "data").load(369, 200)
    table = artifact.get("train_table")
    assert table.columns == [*rows.x_train.columns, "target"]
    shown = pd.DataFrame(table.data, columns=table.columns)
    assert shown["target"].tolist() == [("malignant", "benign")[label] for label in rows.y_train]
    assert shown["mean_radius"].isna().sum() == 53  # what is missing stays missing
    np.testing.assert_allclose(shown["mean_area"], rows.x_train["mean_area"])
    assert artifact.metadata["class_counts"]["eval"].keys() == {"malignant", "benign"}
    training, _ = datasets.fetch_training(artifact, tmp_path)
    assert datasets.is_same(rows.training, training)


def test_texts_are_shown_as_they_are(step, use_case):
    use_case("texts")
    artifact = wandb.Api().artifact(step("build", "--use-case", "texts")["dataset"])
    rows = usecase.load_part("texts", "data").load(350, 200)
    table = artifact.get("eval_table")
    assert table.columns == ["text", "target"]
    assert [row[0] for row in table.data] == rows.x_eval


def test_a_table_that_fails_its_schema_is_refused_and_nothing_is_recorded(step, use_case, collection):
    folder = use_case("tabular")
    edit(folder / "data.py", "    table.loc[::7", '    table.loc[3, "mean_area"] = -1.0\n    table.loc[::7')
    with pytest.raises(StepError, match="column 'mean_area' does not pass in_range") as refused:
        step("build", "--use-case", "tabular")
    assert (refused.value.name, refused.value.exit_code) == ("schema", 1)
    # A row of the shuffled rows, not a line of a file: the hint is code that shows it.
    split, look = re.search(
        r"-c 'import .* as data; print\(data\.(load.*?\.(x_\w+)\.iloc)\[ROW\]", refused.value.hint
    ).group(2, 1)
    row = int(re.search(rf"{split} column 'mean_area' .* in row (\d+)", str(refused.value))[1])
    shown = eval(f"data.{look}[row]", {"data": usecase.load_part("tabular", "data"), "row": row})  # noqa: S307
    assert shown["mean_area"] == -1.0
    assert collection not in [project.name for project in wandb.Api().projects("local")]


def test_rows_that_repeat_by_nature_are_counted(step, use_case):
    folder = use_case("tabular")
    edit(folder / "data.py", "return Dataset(table[:rows]", "return Dataset(table[10 : rows + 10]")
    edit(folder / "data.py", "target[:rows]", "target[10 : rows + 10]")
    with pytest.raises(StepError, match="rows_may_repeat") as refused:
        step("build", "--use-case", "tabular")
    assert refused.value.name == "row_in_both"
    edit(folder / "config.toml", "[build]", "[data]\nrows_may_repeat = true\n\n[build]")
    ours = ("--use-case", "tabular")
    dataset = step("build", *ours)["dataset"]
    assert wandb.Api().artifact(dataset).metadata["eval_rows_in_training"] == 10
    version = step("link", *ours, "--model", step("train", *ours, "--dataset", dataset)["model"])["version"]
    judged = step("evaluate", *ours, "--version", version, "--dataset", dataset)
    assert (judged["verdict"], "10 of the eval rows equal rows" in judged.report) == ("pass", True)
    assert step("promote", *ours, "--evidence", judged["evidence"], "--approver", "ada").exit == 0


UNCHANGED = """
import sys
sys.argv = sys.argv[1:]
import usecases
from pathlib import Path
from modelgate import config
config.FOLDER = Path(sys.argv.pop(0))
usecases.__path__ = [str(config.FOLDER)]
import json
from importlib import import_module
for name, flags in json.loads(sys.argv[0]).items():
    assert import_module(f"steps.{name}").main(flags) == 0
heavy = {"pandas", "pyarrow", "pandera", "sklearn", "skops", "keras", "tensorflow"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_steps_that_have_nothing_to_do_import_neither_pandas_nor_a_framework(step, use_case, collection, tmp_path):
    """The exception is build, which reads the rows to compare them with the stored ones."""
    use_case("tabular")
    ours = ["--use-case", "tabular"]
    flags = {"train": [*ours, "--dataset", step("build", *ours)["dataset"]]}
    flags["link"] = [*ours, "--collection", collection, "--model", step("train", *flags["train"])["model"]]
    version = step("link", *flags["link"])["version"]
    flags["evaluate"] = [*flags["train"], "--collection", collection, "--version", version]
    evidence = step("evaluate", *flags["evaluate"])["evidence"]
    step("promote", *ours, "--evidence", evidence, "--approver", "ada")
    command = [sys.executable, "-c", UNCHANGED, str(tmp_path / "usecases"), json.dumps(flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("reused") == 1 and '"verdict": "unchanged"' in done.stdout
    assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_a_model_that_cannot_take_the_rows_is_one_sentence_and_no_traceback(step, use_case, collection, capfd):
    folder = use_case("tabular")
    edit(folder / "model.py", 'SimpleImputer(strategy="median"), ', "")
    with pytest.raises(StepError, match=r"usecases/tabular/model\.py: ValueError: Input X contains NaN") as refused:
        step("train", "--use-case", "tabular", "--dataset", step("build", "--use-case", "tabular")["dataset"])
    assert (refused.value.name, refused.value.exit_code) == ("model_failed", 2)
    assert "Traceback" not in capfd.readouterr().err
    assert {run.job_type: run.state for run in wandb.Api().runs(f"local/{collection}")}["train_model"] == "failed"


def test_a_model_that_no_later_step_could_load_is_refused_before_it_is_logged(step, use_case, collection):
    folder = use_case("tabular")
    edit(folder / "model.py", "def build_model(", "def _shifted(x):\n    return x\n\n\ndef build_model(")
    edit(folder / "model.py", "import StandardScaler", "import FunctionTransformer, StandardScaler")
    edit(folder / "model.py", "StandardScaler(), model)", "FunctionTransformer(_shifted), StandardScaler(), model)")
    dataset = step("build", "--use-case", "tabular")["dataset"]
    with pytest.raises(StepError, match=r"contains usecases\.tabular\.model\._shifted") as refused:
        step("train", "--use-case", "tabular", "--dataset", dataset)
    assert (refused.value.name, refused.value.exit_code) == ("model_file_refused", 2)
    run = next(run for run in wandb.Api().runs(f"local/{collection}") if run.job_type == "train_model")
    assert (run.state, list(run.logged_artifacts())) == ("failed", [])


def test_a_fit_of_the_use_case_takes_the_place_of_build_model(step, use_case):
    folder = use_case("tabular")
    edit(folder / "model.py", "def build_model(C: float, seed: int)", "def fit(training, C: float, seed: int)")
    edit(folder / "model.py", "StandardScaler(), model)", "StandardScaler(), model).fit(training.x, training.y)")
    dataset = step("build", "--use-case", "tabular")["dataset"]
    assert step("train", "--use-case", "tabular", "--dataset", dataset).exit == 0
    edit(folder / "config.toml", "C = 1.0", "C = 1.0\ndepth = 3")
    del sys.modules["usecases.tabular.model"]
    with pytest.raises(StepError, match="fit does not accept depth"):
        step("train", "--use-case", "tabular", "--dataset", dataset)
