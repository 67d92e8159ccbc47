"""
What an evaluation shows in W&B, by task: no server, the SDK's own tables.

    pytest tests/modelgate/test_charts.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from modelgate import predictions
from modelgate.errors import WRONG_USE, StepError
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.predictions import Predictions, Subject
from modelgate.rows.dataset import Rows
from modelgate.tracking import charts

ROWS = 200
WITHIN = Policy("no_worse", 0.5, 0.01, metric="within_tolerance", tolerance=1.0)
TARGETS = np.linspace(0, 10, ROWS)
TABLE = pd.DataFrame(
    {
        "colour": pd.Categorical(np.array(["red", "blue"])[np.arange(ROWS) % 2]),
        "km/h": np.where(np.arange(ROWS) % 7 == 0, np.nan, np.arange(ROWS) / 3),
        "doors": pd.array([3, None] * (ROWS // 2), dtype="Int64"),
        "sold": np.arange(ROWS) % 3 == 0,
    }
)


@pytest.fixture
def regression():
    answers = TARGETS + np.where(np.arange(ROWS) == 17, 5.0, 0.5)
    subject = Subject("tabular-regression", (), None, None)
    model = Predictions(answers, {}, 1.0, 10)
    return predictions.compare(subject, Rows(TABLE, TARGETS), model, model, seen=())


def test_a_table_s_categories_are_slices_and_what_is_missing_is_one_of_them(regression):
    assert regression.groups == {
        "colour": ("blue", "red"),
        "doors": ("3", "missing"),
        "sold": ("False", "True"),
    }
    assert regression.slices["colour"].tolist() == [1, 0] * 100
    missing = TABLE.assign(colour=TABLE["colour"].where(np.arange(ROWS) > 50))
    assert set(predictions.list_columns(missing)["colour"]) == {"red", "blue", "missing"}
    assert predictions.list_columns(TABLE)["doors"].dtype == np.float64


def test_a_metric_that_gives_no_number_per_row_is_the_use_cases_mistake():
    def cost(_targets, _answers):
        return 1.0

    subject, model = Subject("tabular-regression", (), None, cost), Predictions(TARGETS, {}, 1.0, 10)
    with pytest.raises(StepError, match=r"cost of behaviour\.py gave an array of shape \(\) for 200 rows") as refused:
        predictions.compare(subject, Rows(TABLE, TARGETS), model, None, seen=())
    assert (refused.value.name, refused.value.exit_code) == ("metric_not_per_row", WRONG_USE)


def test_a_regression_is_drawn_against_the_truth_with_the_rows_that_are_farthest_off(regression):
    shown = charts.draw(regression, WITHIN)
    assert shown.keys() == {"eval/groups", "eval/predicted_against_true", "eval/worst_rows"}
    assert shown["eval/worst_rows"].data[0][:4] == [17, TARGETS[17], TARGETS[17] + 5, pytest.approx(5)]
    groups = {name: rows for name, rows, *_ in shown["eval/groups"].data}
    assert groups == {
        "colour blue": 100,
        "colour red": 100,
        "doors 3": 100,
        "doors missing": 100,
        "sold False": 133,
        "sold True": 67,
    }


def test_the_table_of_a_regression_has_the_columns_of_its_rows(regression):
    table = charts.draw_predictions(regression, WITHIN, TABLE, None)
    assert table.columns == [
        *("row", "target", "answer", "error", "within_tolerance", "production_answer"),
        *("x_colour", "x_km/h", "x_doors", "x_sold"),
    ]
    first, second = table.data[0], table.data[1]
    assert first[:5] == [0, 0.0, 0.5, 0.5, True] and first[6:] == ["red", None, 3, True]
    assert second[6:] == ["blue", pytest.approx(1 / 3), None, False]
    assert [row[4] for row in table.data].count(False) == 1


def test_the_table_of_texts_has_the_texts_and_the_names_of_the_classes():
    targets = np.arange(ROWS, dtype=np.int64) % 2
    answers = np.eye(2, dtype=np.float32)[targets]
    scores = Scores(targets, answers, None, ROWS, (), task="text-classification", classes=("spam", "ham"))
    texts = [f"text {row} " + "x" * 5000 for row in range(ROWS)]
    table = charts.draw_predictions(scores, Policy("no_worse", 0.5, 0.01), texts, None)
    assert table.columns[-1] == "text" and table.data[1][1:3] == ["ham", "ham"]
    assert table.data[1][-1].startswith("text 1 ") and len(table.data[1][-1]) == charts.MAX_TEXT_CHARS
    assert [row[0] for row in charts.draw(scores, Policy("no_worse", 0.5, 0.01))["eval/per_class"].data] == [
        "spam",
        "ham",
    ]


def test_of_very_many_rows_a_table_has_a_sample_which_is_always_the_same(monkeypatch):
    monkeypatch.setattr(charts, "MAX_ROWS", 50)
    shown = charts.sample(1000)
    assert len(set(shown)) == 50 and shown == sorted(shown) == charts.sample(1000)
    assert charts.sample(50) == list(range(50))
