"""
SCHEMA of data.py gains or loses a column: what a version of before answers, and what is said about one that cannot.

    pytest tests/steps/test_columns.py
"""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pandas as pd
import pytest

from modelgate.errors import StepError

OWN = ("--use-case", "regression")
COLUMNS = ["order_id", "weight", "distance"]
DATA = """
import hashlib

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelgate.rows.dataset import Dataset, Source

COLUMNS = {columns!r}
SCHEMA = pa.DataFrameSchema({{name: pa.Column({kind}) for name in COLUMNS}})


def source():
    return Source("dice", hashlib.sha256(b"dice").hexdigest())


def load(rows, eval_rows):
    x = pd.DataFrame(np.random.default_rng(5).uniform(1, 9, (rows + eval_rows, 4)), columns={all!r})
    y = (30 * x["weight"] + 9 * x["distance"]).to_numpy()
    x = x[COLUMNS]
    return Dataset(x[:rows], y[:rows], x[rows:].reset_index(drop=True), y[rows:])
"""
MODEL = """
TRUSTED = []


def build_model(iterations, learning_rate, seed):
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    return make_pipeline(make_column_transformer(("passthrough", {used!r})), Ridge(learning_rate))
"""


class Team:
    """A team that changes its columns."""

    def __init__(self, step, folder):
        self.step, self.folder = step, folder

    def edit(self, columns, used=("weight", "distance"), kind="float"):
        """Declare these columns, of this type; the model uses those."""
        (self.folder / "data.py").write_text(DATA.format(columns=list(columns), all=[*COLUMNS, "hour"], kind=kind))
        (self.folder / "model.py").write_text(MODEL.format(used=list(used)))
        for name in [name for name in sys.modules if name.startswith("usecases.regression")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def link(self):
        """Train on the rows of today; the version and the dataset."""
        dataset = self.step("build", *OWN)["dataset"]
        model = self.step("train", *OWN, "--dataset", dataset)["model"]
        return self.step("link", *OWN, "--model", model)["version"], dataset

    def promote(self):
        version, dataset = self.link()
        flags = ["--version", version, "--dataset", dataset, "--commit", "0123456789abcdef"]
        judged = self.step("evaluate", *OWN, *flags)
        assert judged["verdict"] == "pass", judged["reasons"]
        self.step("promote", *OWN, "--evidence", judged["evidence"], "--approver", "ada")
        return version

    def predict(self, columns, **changes):
        path = self.folder / "rows.parquet"
        rows = pd.DataFrame(np.full((3, len(columns)), 2.0), columns=list(columns)).assign(**changes)
        rows.to_parquet(path)
        self.step("predict", *OWN, "--input", path, "--output", self.folder / "answers.parquet")
        return pd.read_parquet(self.folder / "answers.parquet")


@pytest.fixture
def team(step, use_case):
    return Team(step, use_case("regression"))


def short(version):
    return version.rpartition("/")[2]


def refused(call, *args, **kwargs):
    with pytest.raises(StepError) as stopped:
        call(*args, **kwargs)
    return stopped.value


def test_a_version_that_was_trained_with_a_column_that_is_gone_is_refused_in_one_sentence(team):
    """Its model does not use the column, so the framework would not notice."""
    team.edit(COLUMNS)
    first = team.promote()
    team.edit(COLUMNS[1:])
    was_trained_with = "was trained with the column 'order_id', which SCHEMA of data.py does not declare"
    error = refused(team.predict, COLUMNS[1:])
    assert (error.name, error.exit_code) == ("schema_changed", 1)
    assert str(error) == f"{short(first)} {was_trained_with}"
    assert error.hint.startswith("check out the commit of that version (0123456789ab), or promote a version trained ")

    # The next version can be compared with it and take its place. A rollback would end in the same refusal.
    second = team.promote()
    assert set(team.predict(COLUMNS[1:])["version"]) == {second}
    error = refused(team.step, "evaluate", *OWN, "--version", "previous", "--policy", "rollback")
    assert (error.name, str(error)) == ("schema_changed", f"{short(first)} {was_trained_with}")
    assert "(0123456789ab)" in error.hint


def test_a_version_that_was_trained_without_a_new_column_is_refused_until_the_next_one(team):
    team.edit(COLUMNS)
    first = team.promote()
    team.edit([*COLUMNS, "hour"], used=["weight", "distance", "hour"])
    error = refused(team.predict, [*COLUMNS, "hour"])
    assert error.name == "schema_changed"
    assert str(error) == f"SCHEMA of data.py declares the column 'hour', which {short(first)} was not trained with"
    (team.folder / "behaviour.py").write_text(
        "def variations(rows):\n    return {}\n\n\ndef slices(rows, _):\n    return {'late': rows['hours'] > 5}\n"
    )
    error = refused(team.promote)
    assert (error.name, error.exit_code) == ("behaviour_failed", 2)
    assert str(error) == "usecases/regression/behaviour.py, line 6: KeyError: 'hours'"
    (team.folder / "behaviour.py").unlink()
    team.promote()  # compared with a version that does not know the column
    team.predict([*COLUMNS, "hour"])

    # What the model in production needs is not in the rows any more.
    team.edit(["order_id", "weight"], used=["weight"])
    error = refused(team.promote)
    assert error.name == "schema_changed"
    assert re.fullmatch(
        r"[^/]+:v1 was trained with the columns 'distance', 'hour', which the rows do not have", str(error)
    )


def test_rows_that_the_framework_does_not_take_are_refused_in_one_sentence(team):
    """SCHEMA of today allows a text where the model learned a number."""
    team.edit(COLUMNS)
    first = team.promote()
    team.edit(COLUMNS, kind="")
    error = refused(team.predict, COLUMNS, weight="heavy")
    assert (error.name, error.exit_code) == ("answer_failed", 1)
    assert (
        str(error) == f"{short(first)} cannot answer these rows: ValueError: could not convert string to float: 'heavy'"
    )
