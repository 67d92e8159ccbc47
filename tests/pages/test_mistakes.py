"""
Check what an approval shows of the rows that only the candidate gets wrong.

    pytest tests/pages/test_mistakes.py
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.tracking import charts
from pages import mistakes

ROWS = pd.DataFrame(
    {
        "plan": pd.Series(["basic", None, "plus"], dtype="str"),
        "signup_date": pd.to_datetime(["2020-03-23", "2020-03-24", None]),
        "seen": pd.to_datetime(["2020-03-23 07:30", "2020-03-24 00:00", None]),
        "tenure": [1.5, np.nan, 3.0],
    }
)


def test_a_row_of_a_table_is_shown_by_its_columns_without_midnights_and_nulls():
    answers = np.array([[0.1, 0.9], [0.3, 0.7], [0.8, 0.2]], dtype=np.float32)
    scores = Scores(np.array([0, 0, 0]), answers, None, 3, (), "tabular-classification", classes=("no", "yes"))
    table = charts.draw_predictions(scores, Policy("no_worse", 0.5, 0.0), ROWS, None)
    shown, count = mistakes.select_from_table({"columns": table.columns, "data": table.data}, "")
    assert count == 2
    assert [(mistake.truth, mistake.answer, mistake.url) for mistake in shown] == [("no", "yes", "")] * 2
    assert [dict(mistake.fields) for mistake in shown] == [
        {"plan": "basic", "signup_date": "2020-03-23", "seen": "2020-03-23 07:30:00", "tenure": "1.5"},
        {"plan": "", "signup_date": "2020-03-24", "seen": "2020-03-24", "tenure": ""},
    ]
