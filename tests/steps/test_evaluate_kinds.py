"""
evaluate with tables, numbers and texts, from the templates of `python -m modelgate new`, and what it says about each.

    pytest tests/steps/test_evaluate_kinds.py
"""

from __future__ import annotations

import numpy as np
import pytest
import wandb

from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from tests.steps.kinds import edit

TASKS = {"tabular": "tabular-classification", "regression": "tabular-regression", "texts": "text-classification"}


@pytest.fixture
def judged(step, use_case):
    """Build, train and evaluate a use case; `judged("texts", 1)` has another seed, or other flags of train."""
    results = {}

    def judge(name, *flags, change=lambda folder: None):
        if name not in results:
            results[name] = use_case(name)
            change(results[name])
        own = ("--use-case", name)
        dataset = step("build", *own)["dataset"]
        model = step("train", *own, "--dataset", dataset, *flags)["model"]
        version = step("link", *own, "--model", model)["version"]
        return step("evaluate", *own, "--version", version, "--dataset", dataset)

    return judge


def evidence_of(answer):
    return form.parse((answer.out / "evidence.json").read_text())


@pytest.mark.prove
@pytest.mark.parametrize("name", TASKS)
def test_a_model_of_each_task_is_judged_and_promoted_and_compared_with(judged, step, name):
    first = judged(name)
    assert (first.exit, first["verdict"]) == (0, "pass"), first["reasons"]
    assert evidence_of(first).task == TASKS[name]
    step("promote", "--use-case", name, "--evidence", first["evidence"], "--approver", "ada")
    second = judged(name, "--seed", 1)
    if second["verdict"] == "unchanged":  # the seed does not affect this model
        return
    assert second["production"] == first["version"]
    assert "compared with production" in second.report and "Student" not in second.report


def test_what_is_said_of_a_regression_fits_one(judged, tmp_path):
    answer = judged("regression")
    evidence, report, scores = evaluation.read(wandb.Api().artifact(answer["evidence"]))
    assert scores.targets.dtype == np.float64 and scores.candidate.shape == scores.targets.shape
    assert (evidence.metric, evidence.metrics.candidate.accuracy) == ("within_tolerance", None)
    off = np.abs(scores.candidate - scores.targets)
    assert answer["within_tolerance"] == pytest.approx((off <= evidence.policy.tolerance).mean())
    assert answer["mean_absolute_error"] == pytest.approx(off.mean())
    assert "## The largest errors" in report and "Confusion" not in report
    assert f"| {int(off.argmax())} | " in report
    assert "within tolerance" in answer["headline"]
    artifact = wandb.Api().artifact(answer["evidence"])
    table = artifact.get("predictions")
    assert table.get_column("answer") == pytest.approx(scores.candidate.tolist())
    assert [column for column in table.columns if column.startswith("x_")]
    assert artifact.logged_by().summary["eval/within_tolerance"] == answer["within_tolerance"]


def test_the_texts_are_in_the_table_of_the_answers_and_not_in_the_report(judged):
    answer = judged("texts")
    table = wandb.Api().artifact(answer["evidence"]).get("predictions")
    texts = table.get_column("text")
    assert all(isinstance(text, str) and text for text in texts)
    assert not any(text in answer.report for text in texts if len(text) > 30)


def test_few_rows_are_the_first_thing_that_a_report_says_and_it_is_reused_as_it_is(judged):
    """Each template evaluates on fewer than 300 rows."""
    answer = judged("tabular")
    warning, provenance_warning = evidence_of(answer).warnings
    assert provenance_warning.startswith("First version: nothing is in production yet. Trained by local: ")
    assert warning.startswith("200 rows show little: to reach the floor of ")
    assert answer.report.splitlines()[2] == f"- `{warning}`"
    again = judged("tabular")
    assert (answer["reused"], again["reused"], again.report) == (False, True, answer.report)


def test_a_metric_of_the_use_cases_own_is_what_its_behaviour_says(judged, step):
    def costly(folder):
        (folder / "behaviour.py").write_text(
            "import numpy as np\n\n\n"
            "def variations(rows):\n    return {}\n\n\n"
            "def slices(rows, targets):\n    return {}\n\n\n"
            "def cost(targets, answers):\n    return np.where(answers.argmax(axis=1) == targets, 0.0, 10.0)\n"
        )
        edit(folder / "config.toml", 'policy = "no_worse"', 'policy = "no_worse"\nmetric = "cost"')
        text = (folder / "config.toml").read_text()
        limit = next(line for line in text.splitlines() if line.startswith("at_least"))
        edit(folder / "config.toml", limit, "at_most = 2.0")

    answer = judged("tabular", change=costly)
    assert answer["cost"] == pytest.approx(10 * (1 - answer["accuracy"]))
    assert (answer["verdict"], evidence_of(answer).metric) == ("pass", "cost")
    assert step("promote", "--use-case", "tabular", "--evidence", answer["evidence"], "--approver", "ada").exit == 0
