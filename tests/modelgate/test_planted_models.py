"""
Models broken in eight ways for each task, each refused by the named rule; all are trained with scikit-learn.

    pytest tests/modelgate/test_planted_models.py
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import gate_trainings as trainings
from modelgate.gate import leakage, report, rules

TASKS = {make.__name__.removeprefix("create_"): make for make in trainings.ALL}


def refusals(task, candidate, production=None, **policy):
    scores = task.build_scores(candidate, production)
    outcomes = rules.judge(scores, replace(task.policies[0], **policy))
    return {outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed}


@pytest.fixture(scope="module")
def good():
    """Each task's answers of a good model, trained on first use."""
    models = {}

    def answers(name):
        if name not in models:
            task = TASKS[name]()
            models[name] = task, task.fit(task.training)(task.evaluation)
        return models[name]

    return answers


@pytest.mark.parametrize("name", TASKS)
def test_a_good_model_passes_with_nothing_in_production_and_against_itself(good, name):
    task, answers = good(name)
    for policy in task.policies:
        for production in (None, answers):
            judged = rules.judge(task.build_scores(answers, production), policy)
            assert rules.passes_gate(judged), (policy.metric, [outcome for outcome in judged if not outcome.passed])


@pytest.mark.parametrize("name", TASKS)
def test_shuffled_targets_are_refused_by_the_floor(good, name):
    task, _ = good(name)
    y = np.random.default_rng(0).permutation(task.training.y)
    answers = task.fit(replace(task.training, y=y))(task.evaluation)
    # With one row in eight in the second class, any answer is often right, so the floor uses balanced accuracy.
    policy = task.policies[1] if name == "tables" else task.policies[0]
    outcomes = rules.judge(task.build_scores(answers, None), policy)
    assert "floor" in {outcome.rule for outcome in outcomes if not outcome.passed}


@pytest.mark.parametrize("name", TASKS)
def test_one_answer_to_all_rows_is_refused(good, name):
    """Return the mean for a regression, else the commonest class, like a model that always says no."""
    task, answers = good(name)
    constant = np.broadcast_to(answers.mean(axis=0), answers.shape).copy()
    assert "not_constant" in refusals(task, constant, at_least=0.0)


@pytest.mark.parametrize("name", TASKS)
def test_a_flipped_sign_or_changed_names_are_refused(good, name):
    task, answers = good(name)
    spoilt, rule = {
        "numbers": (2 * answers.mean() - answers, "sign_plausible") if name == "numbers" else None,
        "tables": (answers[:, ::-1], "sign_plausible") if name == "tables" else None,
    }.get(name) or (np.roll(answers, 1, axis=1), "labels_plausible")
    assert rule in refusals(task, spoilt, at_least=0.0)


@pytest.mark.parametrize("name", TASKS)
def test_one_class_or_category_that_was_lost_is_refused(good, name):
    """Return the rows of one region or carrier of a table, which the model no longer knows; else of one class."""
    task, answers = good(name)
    lost = answers.copy()
    if name == "numbers":
        rows = task.evaluation.columns["carrier"] == "green"
        lost[rows] = answers[~rows].mean()
    elif name == "tables":
        rows = task.evaluation.columns["region"] == "east"
        lost[rows] = lost[rows][:, ::-1]
    else:
        lost[:, 1] = 0
        lost /= lost.sum(axis=1, keepdims=True)
    assert "slices_no_worse" in refusals(task, lost, answers, at_least=0.0)


@pytest.mark.parametrize("name", TASKS)
def test_an_answer_that_is_no_number_is_refused(good, name):
    task, answers = good(name)
    broken = answers.copy()
    broken[17] = np.nan
    assert refusals(task, broken) == {"finite_scores"}


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_has_seen_an_eval_row_is_refused(good, name):
    task, answers = good(name)
    outcomes = rules.judge(replace(task.build_scores(answers, None), seen=(17,)), task.policies[0])
    assert {outcome.rule for outcome in outcomes if not outcome.passed} == {"unseen_rows"}


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_is_wrong_on_one_row_in_ten_that_production_has_right_is_refused(good, name):
    task, answers = good(name)
    worse = answers.copy()
    worse[::10] = answers[::10][:, ::-1] if answers.ndim == 2 else answers[::10] + 100
    assert "no_worse" in refusals(task, worse, answers, at_least=0.0)


@pytest.mark.parametrize("name", TASKS)
def test_a_model_that_left_a_row_unanswered_is_refused(good, name):
    task, answers = good(name)
    assert "every_row_scored" in refusals(task, answers[:-1])


# --- a column that leaks the target: reported, because it may be known in time ----------------------------------------


@pytest.mark.parametrize("name", ["tables", "numbers"])
def test_a_column_that_leaks_the_target_is_reported(good, name):
    task, _ = good(name)
    columns, y = task.evaluation.columns, task.evaluation.y
    assert leakage.find_leaks(columns, y) == ()
    random = np.random.default_rng(0)
    leaking = {
        "a number": y + 0.001 * random.standard_normal(len(y)),
        "a word": np.where(y > 0, "yes", "no") if name == "tables" else columns[next(iter(columns))],
        "an empty one": np.full(len(y), np.nan),
        "one for each row": np.arange(len(y)).astype(str),
    }
    leaks = leakage.find_leaks(columns | leaking, y)
    sentence = re.compile(
        r"The column '(.*)' alone predicts (99|100) % of the target: make sure that it is known before .*"
    )
    assert {sentence.fullmatch(line)[1] for line in leaks} == {"a number", *(["a word"] if name == "tables" else [])}


def test_a_column_leaks_by_what_it_says_of_other_rows_than_those_that_it_is_tried_on():
    """A unique code per row determines the targets of its own rows, and says nothing about other rows."""
    y = np.random.default_rng(0).integers(0, 2, 2000)
    assert leakage.share_told(np.random.default_rng(1).integers(0, 40, 2000), y) < 0.2
    assert leakage.share_told(np.arange(2000.0), np.sort(y).astype(np.int64)) > 0.95


# --- what few rows can show -------------------------------------------------------------------------------------------


def test_few_rows_are_said_first_and_many_looks(good):
    task, answers = good("tables")
    policy = task.policies[0]
    few = replace(task.evaluation.take(np.arange(133)))
    small = replace(task, evaluation=few)
    scores = small.build_scores(answers[:133], answers[:133])
    outcomes = rules.judge(scores, replace(policy, at_least=0.80))
    (line,) = report.list_warnings(outcomes, scores, replace(policy, at_least=0.80), looks=10)
    assert line.startswith(
        "133 rows show little: to reach the floor of 0.8, a model needs about 0.8647; a drop of less than "
    )
    assert report.list_warnings(outcomes, task.build_scores(answers, None), policy, looks=10) == ()
    (line,) = report.list_warnings(outcomes, task.build_scores(answers, None), policy, looks=11)
    assert line.startswith("These eval rows have judged 11 different candidates")
