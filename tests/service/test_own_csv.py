"""
A CSV file with a date column, by the code that docs/how-to/adapting-tables.md shows: from the file to the service.

    pytest tests/service/test_own_csv.py
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from modelgate import config
from tests.own import ROOT
from tests.service.conftest import USE_CASE
from tests.serving import until


def customers(rows):
    """A table as a person exports it: customers who joined late and call often leave."""
    dice = np.random.default_rng(5)
    days, calls = dice.integers(0, 2000, rows), dice.integers(0, 10, rows)
    leaves = days / 200 + calls + dice.normal(0, 1, rows) > 9.5
    return pd.DataFrame(
        {
            "signup_date": (pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")).strftime("%Y-%m-%d"),
            "plan": dice.choice(["basic", "plus", "pro"], rows),
            "monthly_charge": np.where(dice.random(rows) < 0.1, np.nan, dice.uniform(5, 90, rows).round(2)),
            "support_calls": calls,
            "churned": np.where(leaves, "yes", "no"),
        }
    )


def test_the_csv_of_the_docs_is_trained_on_and_predict_and_the_service_give_its_rows_the_same_answers(
    project, tmp_path, monkeypatch
):
    page = (
        (ROOT / "docs/how-to/adapting-tables.md").read_text(encoding="utf-8").partition("## Read your own CSV file")[2]
    )
    data, model = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    folder = config.FOLDER / USE_CASE
    (folder / "data.py").write_text(data)
    (folder / "model.py").write_text(model)
    settings = (folder / "config.toml").read_text()
    uncommented = settings.replace("# [data]\n# env = ", "[data]\nenv = ")
    assert uncommented != settings and re.search(r'^env = \["ROWS_CSV"\]', uncommented, flags=re.MULTILINE)
    (folder / "config.toml").write_text(uncommented)
    table = customers(800)
    table.to_csv(tmp_path / "churn.csv", index=False)
    monkeypatch.setenv("ROWS_CSV", str(tmp_path / "churn.csv"))
    project.promote(1.0)

    rows = table.drop(columns="churned")[:40]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    project.step("predict", "--input", tmp_path / "rows.csv", "--output", tmp_path / "answers.parquet")
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    datatypes = {"monthly_charge": "FP64", "support_calls": "INT64"}
    body = {
        "inputs": [
            {
                "name": name,
                "datatype": datatypes.get(name, "BYTES"),
                "shape": [40],
                "data": rows[name].astype(object).where(rows[name].notna(), None).tolist(),
            }
            for name in rows
        ]
    }
    with project.serving(tmp_path / "kept") as service:
        until(lambda: service.ready["ready"], "the version")
        status, response = service.infer(body)
        assert status == 200, response
        outputs = {output["name"]: output["data"] for output in response["outputs"]}
        assert outputs["answer"] == answers["answer"].astype(str).tolist() and set(outputs["answer"]) == {
            "stays",
            "leaves",
        }
        ours = np.array(outputs["probabilities"]).reshape(40, 2)
        np.testing.assert_allclose(ours, answers[["p_stays", "p_leaves"]], rtol=1e-5)
        body["inputs"][0]["data"][3] = "23/03/2020"
        status, response = service.infer(body)
        assert (status, response["name"], response["column"]) == (400, "type", "signup_date")
        assert "('23/03/2020') in row 3" in response["error"]
