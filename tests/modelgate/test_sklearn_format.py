"""
scikit-learn's file: the same estimator is the same bytes, in every process, and answers as the estimator does.

    pytest tests/modelgate/test_sklearn_format.py
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from modelgate.errors import StepError
from modelgate.frameworks import sklearn_format
from modelgate.rows.dataset import Rows
from tests.own import ROOT

# Estimators that keep addresses, padding, vocabularies, thread counts and trees; run in separate processes.
MODELS = """
import hashlib, sys, warnings
from pathlib import Path
import numpy as np, pandas as pd
from modelgate.frameworks import sklearn_format
sklearn_format.start(seed=0, threads=1)
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
chance = np.random.default_rng(0)
x = pd.DataFrame({"a": chance.random(200), "b": chance.choice(["x", "y", None], 200)})
x.loc[3, "a"] = np.nan
y = chance.integers(0, 3, 200)
texts = [f"word{i % 7} other{i % 5}" for i in range(200)]
def prepared(model):
    return make_pipeline(make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a"]), (OneHotEncoder(), ["b"])), model)
models = {
    "linear": prepared(LogisticRegression()).fit(x, y),
    "boosted": HistGradientBoostingRegressor(max_iter=5, random_state=0).fit(x[["a"]], y * 1.0),
    "forest": prepared(RandomForestClassifier(n_estimators=4, random_state=0)).fit(x, y),
    "neighbours": KNeighborsClassifier(algorithm="kd_tree").fit(x[["a"]].fillna(0), y),
    "words": make_pipeline(TfidfVectorizer(stop_words="english"), LogisticRegression()).fit(texts, y),
}
for name, model in models.items():
    path = Path(sys.argv[1]) / f"{name}.skops"
    sklearn_format.save(model, path)
    asked = {"words": texts, "boosted": x[["a"]], "neighbours": x[["a"]].fillna(0)}.get(name, x)
    loaded = sklearn_format.load(path, list(sklearn_format.list_untrusted(path)))
    assert np.array_equal(sklearn_format.predict(loaded, asked), sklearn_format.predict(model, asked)), name
    print(name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_two_processes_write_the_same_bytes(tmp_path):
    def written(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", MODELS, str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return dict(line.split() for line in done.stdout.splitlines())

    first = written(1)
    assert len(first) == 5
    assert written(2) == first


def test_skops_itself_does_not_give_the_same_bytes(tmp_path):
    """This is why the canonical form exists: when this test fails, it can be removed."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    def dumped():
        model = LogisticRegression().fit(np.arange(8.0).reshape(-1, 1), np.arange(8) % 2)
        return hashlib.sha256(skops.io.dumps(model)).hexdigest()

    assert dumped() != dumped()


def part(**parts):
    return SimpleNamespace(**parts)


def ignore(*_):
    pass


TRAINING = Rows(np.arange(20.0).reshape(-1, 1), np.arange(20, dtype=np.int64) % 2)


def test_a_fit_of_the_use_case_gets_the_training_rows_and_the_hyperparameters():
    from sklearn.dummy import DummyClassifier

    call = {}

    def fit(training, **hyperparameters):
        call.update(hyperparameters, rows=len(training.x), fields=training._fields)
        return DummyClassifier().fit(training.x, training.y)

    model = sklearn_format.fit(TRAINING, part(fit=fit), {"seed": 3}, "tabular-classification", ignore)
    assert call == {"seed": 3, "rows": 20, "fields": ("x", "y")}
    assert sklearn_format.predict(model, TRAINING.x).shape == (20, 2)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("svm.LinearSVC", "tabular-classification", "LinearSVC has no predict_proba"),
        ("linear_model.LogisticRegression", "tabular-regression", "LogisticRegression is not a regressor"),
        ("linear_model.Ridge", "text-classification", "Ridge has no predict_proba"),
    ],
)
def test_a_model_that_cannot_answer_the_task_is_wrong_use(name, task, message):
    import importlib

    module, _, kind = name.partition(".")
    model_class = getattr(importlib.import_module(f"sklearn.{module}"), kind)
    with pytest.raises(StepError, match=message) as refused:
        sklearn_format.fit(TRAINING, part(build_model=lambda seed: model_class()), {"seed": 0}, task, ignore)
    assert (refused.value.name, refused.value.exit_code) == ("model_of_another_task", 2)


@pytest.mark.parametrize(
    ("fitted_on", "message"),
    [
        (lambda x: x[["b"]], "Pipeline was not fitted with a, which the rows have"),
        (lambda x: x.to_numpy(), "Pipeline was not fitted with the columns of the rows and their names"),
        (lambda x: x[["b", "a"]], "Pipeline was not fitted with the columns of the rows and their names"),
    ],
)
def test_a_fit_that_leaves_out_columns_or_their_names_is_wrong_use(fitted_on, message):
    """Later, no one could tell which rows the model can answer, and a file has its columns in any order."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    def fit(training):
        columns = make_column_transformer(("passthrough", [-1]))
        return make_pipeline(columns, Ridge()).fit(fitted_on(training.x), training.y)

    training = Rows(pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}), np.array([0.0, 1.0]))
    with pytest.raises(StepError, match=message) as refused:
        sklearn_format.fit(training, part(fit=fit), {}, "tabular-regression", ignore)
    assert (refused.value.name, refused.value.exit_code) == ("model_of_other_columns", 2)


def test_the_answers_of_a_regression_are_numbers():
    from sklearn.linear_model import Ridge

    training = Rows(TRAINING.x, TRAINING.x[:, 0] * 2)
    model = sklearn_format.fit(
        training, part(build_model=lambda seed: Ridge()), {"seed": 0}, "tabular-regression", ignore
    )
    answers = sklearn_format.predict(model, training.x)
    assert (answers.dtype, answers.shape) == (np.float64, (20,))
