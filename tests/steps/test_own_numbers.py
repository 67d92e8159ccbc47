"""
A CSV file with an hour that `load` computes and a carrier that may be missing, by the code that
docs/how-to/adapting-numbers.md shows: from the file to its answers.

    pytest tests/steps/test_own_numbers.py
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import wandb

from modelgate import usecase
from modelgate.promotion import evaluation
from serving import tensors
from serving.interface import Interface
from tests.own import ROOT
from tests.steps.kinds import edit

OWN = ("--use-case", "regression")


def parcels(rows):
    """A table as a person exports it: the way takes longer in the evening, and by bike."""
    dice = np.random.default_rng(5)
    ordered_at = pd.Timestamp("2026-03-04") + pd.to_timedelta(dice.integers(0, 60 * 24, rows), unit="min")
    carrier = dice.choice(["bike", "van", "truck", None], rows)
    distance, weight = dice.uniform(1, 30, rows).round(1), dice.uniform(0.1, 9, rows).round(1)
    minutes = 20 + 6 * distance + 3 * ordered_at.hour + 60 * (carrier == "bike") + dice.normal(0, 5, rows)
    columns = {"ordered_at": ordered_at.strftime("%Y-%m-%dT%H:%M:%S"), "carrier": carrier}
    return pd.DataFrame(columns | {"weight": weight, "distance": distance, "minutes": minutes.round(1)})


def test_the_csv_of_the_docs_is_trained_on_and_answered_if_the_rows_have_the_computed_hour(
    step, use_case, tmp_path, monkeypatch
):
    page = (ROOT / "docs/how-to/adapting-numbers.md").read_text(encoding="utf-8")
    data, model = re.findall(
        r"^```python\n(.*?)^```$", page.partition("## Read your own CSV file")[2], flags=re.MULTILINE | re.DOTALL
    )
    folder = use_case("regression")
    (folder / "data.py").write_text(data)
    (folder / "model.py").write_text(model)
    edit(folder / "config.toml", "# [data]\n# env = ", "[data]\nenv = ")
    table = parcels(500)
    table.to_csv(tmp_path / "parcels.csv", index=False)
    monkeypatch.setenv("ROWS_CSV", str(tmp_path / "parcels.csv"))
    dataset = step("build", *OWN)["dataset"]
    version = step("link", *OWN, "--model", step("train", *OWN, "--dataset", dataset)["model"])["version"]
    judged = step("evaluate", *OWN, "--version", version, "--dataset", dataset)
    assert judged["verdict"] == "pass", judged["reasons"]
    _, _, scores = evaluation.read(wandb.Api().artifact(judged["evidence"]))
    assert scores.slices.keys() == {"carrier"}  # an hour has more values than become slices
    step("promote", *OWN, "--evidence", judged["evidence"], "--approver", "ada")

    requested = table[:40].drop(columns="minutes").assign(hour=pd.to_datetime(table["ordered_at"]).dt.hour)
    requested.to_csv(tmp_path / "rows.csv", index=False)
    step("predict", *OWN, "--input", tmp_path / "rows.csv", "--output", tmp_path / "answers.parquet")
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert answers["ordered_at"].tolist() == requested["ordered_at"].tolist()
    assert (answers["answer"] - table["minutes"][:40]).abs().mean() < 30

    # The service reads the same rows, without the columns that SCHEMA does not declare.
    own_data = usecase.load_part("regression", "data")
    datatypes = {"carrier": "BYTES", "hour": "INT64"}
    inputs = {
        name: tensors.read(
            {
                "name": name,
                "datatype": datatypes.get(name, "FP64"),
                "shape": [40],
                "data": requested[name].astype(object).where(requested[name].notna(), None).tolist(),
            }
        )
        for name in own_data.SCHEMA.columns
    }
    frame = Interface("tabular-regression", own_data).read_rows(inputs)
    own_data.SCHEMA.validate(frame)
    assert frame["carrier"].isna().sum() == requested["carrier"].isna().sum() > 0
