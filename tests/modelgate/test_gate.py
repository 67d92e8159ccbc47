"""
The gate's rules, each seen to pass and to refuse, without W&B or TensorFlow.

    pytest tests/modelgate/test_gate.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from modelgate.gate import metrics, rules, statistics
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores, Varied

POLICY = Policy("no_worse", floor_accuracy=0.90, margin=0.005)
BETTER, ROLLBACK = replace(POLICY, name="better"), replace(POLICY, name="rollback")
ROWS = 1000
LABELS = np.arange(ROWS, dtype=np.int64) % 10


def wrong_in(rows):
    """Answers that are wrong in these rows: one wrong class and another, so that no renaming mends them."""
    answers = LABELS.copy()
    answers[rows] = (answers[rows] + 1 + np.arange(len(answers[rows])) % 7) % 10
    return answers


def sure(answers):
    """Probabilities of a model that is sure of these answers."""
    return np.eye(10, dtype=np.float32)[answers]


def scores(candidate_wrong, production_wrong=None):
    """A candidate that is wrong in the first rows, and a production that is, if there is one."""
    production = None if production_wrong is None else sure(wrong_in(slice(production_wrong)))
    return Scores(LABELS, sure(wrong_in(slice(candidate_wrong))), production, ROWS, ())


def refusals(scored, policy=POLICY):
    return [outcome.rule for outcome in rules.judge(scored, policy) if outcome.blocking and not outcome.passed]


# --- what passes -----------------------------------------------------------------------------------------------------


def test_a_good_first_model_passes():
    assert refusals(scores(20)) == []


def test_a_model_like_production_passes():
    assert refusals(scores(20, 20)) == []


def test_a_drop_within_the_margin_passes():
    assert refusals(scores(24, 20)) == []


def test_no_outcome_is_no_pass():
    assert not rules.passes([])


# --- sanity ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fewer", ["labels", "candidate", "production"])
def test_every_row_scored_refuses_fewer_rows(fewer):
    scored = scores(20, 20)
    assert refusals(replace(scored, **{fewer: getattr(scored, fewer)[:-1]})) == ["every_row_scored"]


def test_every_row_scored_refuses_fewer_varied_rows_and_groups():
    scored = scores(20, 20)
    short = Varied(LABELS[:-1], LABELS)
    assert refusals(replace(scored, varied={"noise": short})) == ["every_row_scored"]
    assert refusals(replace(scored, varied={"noise": Varied(LABELS, None)})) == ["every_row_scored"]
    assert refusals(replace(scored, slices={"ink": LABELS[:-1]})) == ["every_row_scored"]


def test_every_row_scored_refuses_an_empty_eval_set():
    empty = Scores(np.zeros(0, np.int64), np.zeros((0, 10), np.float32), None, 0, ())
    assert refusals(empty) == ["every_row_scored"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("model", ["candidate", "production"])
def test_finite_scores_refuses_what_is_no_number(model, value):
    scored = scores(20, 20)
    getattr(scored, model)[7, 3] = value
    assert refusals(scored) == ["finite_scores"]


def test_finite_scores_refuses_numbers_that_are_no_probabilities():
    scored = scores(20)
    scored.candidate[7] *= 2
    assert refusals(scored) == ["finite_scores"]
    negative = scores(20)
    negative.candidate[7, :2] = (-1, 2)
    negative.candidate[7, 2:] = 0
    assert refusals(negative) == ["finite_scores"]


def test_unseen_rows_refuses_eval_rows_that_were_trained_on():
    assert refusals(replace(scores(20), seen=(17,))) == ["unseen_rows"]


# --- quality ---------------------------------------------------------------------------------------------------------


def test_labels_plausible_refuses_a_model_that_learned_other_names():
    """Two classes have changed places: 80 % right, and 100 % with the names changed back."""
    exchanged = np.array([1, 0, *range(2, 10)])[LABELS]
    assert refusals(replace(scores(0), candidate=sure(exchanged)), replace(POLICY, floor_accuracy=0.7)) == [
        "labels_plausible"
    ]


def test_floor_accuracy_refuses_by_the_bound_and_not_by_the_estimate():
    assert refusals(scores(90)) == ["floor_accuracy"]  # 0.910, and with 95 % confidence at least 0.894 only
    assert refusals(scores(80)) == []


# --- comparison ------------------------------------------------------------------------------------------------------


def test_no_worse_refuses_a_drop_that_the_rows_show():
    assert refusals(scores(40, 20)) == ["no_worse"]


def test_better_refuses_what_is_only_as_good():
    assert refusals(scores(20, 20), BETTER) == ["better"]
    assert refusals(scores(18, 20), BETTER) == ["better"]  # two rows won: by chance one time in four


def test_better_lets_a_significant_gain_pass():
    assert refusals(scores(10, 20), BETTER) == []


def test_better_lets_a_first_model_pass():
    assert refusals(scores(20), BETTER) == []


def test_slices_no_worse_refuses_a_class_that_was_lost():
    """12 rows of class 3 lost and 10 of class 7 won: the whole cannot show it, and the class can."""
    ours, theirs = np.flatnonzero(LABELS == 3)[:12], np.flatnonzero(LABELS == 7)[:10]
    scored = replace(scores(0), candidate=sure(wrong_in(ours)), production=sure(wrong_in(theirs)))
    assert refusals(scored) == ["slices_no_worse"]


def test_slices_no_worse_refuses_a_group_that_the_use_case_names():
    group = (np.arange(ROWS) < 60).astype(np.int64)
    lost = np.arange(0, 48, 4)  # spread over the classes, and all in the group
    scored = replace(
        scores(0), candidate=sure(wrong_in(lost)), production=sure(wrong_in(np.arange(100, 110))), slices={"ink": group}
    )
    assert refusals(scored) == ["slices_no_worse"]


def test_slices_with_few_rows_say_nothing():
    few = (np.arange(ROWS) < rules.MIN_SUPPORT - 1).astype(np.int64)
    assert "ink 1" not in [name for name, *_ in rules.slice_table(replace(scores(20, 20), slices={"ink": few}))]


def test_behaviour_no_worse_refuses_answers_that_turn_with_the_image():
    shaky = Varied(candidate=wrong_in(slice(80)), production=wrong_in(slice(20)))
    assert refusals(replace(scores(20, 20), varied={"noise": shaky})) == ["behaviour_no_worse"]


def test_behaviour_within_its_margin_passes():
    alike = Varied(candidate=wrong_in(slice(30)), production=wrong_in(slice(20)))
    assert refusals(replace(scores(20, 20), varied={"noise": alike})) == []


def test_rollback_shows_every_comparison_and_blocks_on_none():
    shaky = Varied(candidate=wrong_in(slice(80)), production=wrong_in(slice(20)))
    back = replace(scores(60, 20), varied={"noise": shaky}, was_in_production=True)
    outcomes = rules.judge(back, ROLLBACK)
    assert {outcome.rule for outcome in outcomes if not outcome.passed} >= {"no_worse", "behaviour_no_worse"}
    assert rules.passes(outcomes)


def test_rollback_still_asks_for_the_floor():
    assert refusals(replace(scores(200, 20), was_in_production=True), ROLLBACK) == ["floor_accuracy"]


def test_was_in_production_refuses_a_rollback_to_what_never_was():
    """However good it is."""
    assert refusals(scores(20, 20), ROLLBACK) == ["was_in_production"]
    assert refusals(scores(60, 20), ROLLBACK) == ["was_in_production"]
    assert refusals(replace(scores(20, 20), was_in_production=True), ROLLBACK) == []


def test_no_other_policy_asks_for_a_history():
    assert refusals(scores(20, 20)) == []


# --- the numbers, against their definitions --------------------------------------------------------------------------


def test_lower_bound_is_clopper_and_pearsons():
    assert statistics.lower_bound(93, 100) == pytest.approx(
        stats.binomtest(93, 100).proportion_ci(confidence_level=0.90, method="exact").low
    )
    assert statistics.lower_bound(0, 100) == 0


def test_mcnemar_is_the_exact_binomial_test():
    for more, fewer in ((0, 0), (1, 0), (7, 2), (3, 9), (40, 20)):
        expected = stats.binomtest(more, more + fewer, 0.5, "greater").pvalue if more + fewer else 1.0
        assert statistics.mcnemar(more, fewer) == pytest.approx(expected)


def test_holm_stops_at_the_first_that_does_not_hold():
    assert statistics.holm({"a": 0.001, "b": 0.02, "c": 0.03}, 0.05) == ["a", "b", "c"]
    assert statistics.holm({"a": 0.001, "b": 0.03, "c": 0.03}, 0.05) == ["a"]
    assert statistics.holm({"a": 0.02, "b": 0.5, "c": 0.6}, 0.05) == []
    assert statistics.holm({}, 0.05) == []


def test_loss_is_the_cross_entropy_in_nats():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]], dtype=np.float32)
    assert metrics.loss(np.array([0, 1]), probabilities) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)


def test_confusion_counts_truth_by_rows():
    probabilities = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    assert metrics.confusion(np.array([0, 0, 1]), probabilities).tolist() == [[1, 1], [0, 1]]


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy():
    """Ten rows at 0.9, eight of them right; ten at 0.6, six right: (0.1 + 0) / 2."""
    confidence = np.repeat([0.9, 0.6], 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    labels = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    assert metrics.calibration_error(labels, probabilities) == pytest.approx(0.05, abs=1e-6)
    assert [row[1] for row in metrics.reliability(labels, probabilities)] == [10, 10]


# --- how often the gate is wrong: figures of docs/gate.md ------------------------------------------------------------


def simulated(rng, churn, drop, repeats):
    """Pairs of models that differ on a fraction `churn` of rows by a fair coin, the candidate worse by `drop`."""
    for _ in range(repeats):
        row = rng.random(ROWS)
        theirs = np.flatnonzero((row < churn / 2) | (row > 0.98))
        ours = np.flatnonzero(((row >= churn / 2) & (row < churn + drop)) | (row > 0.98))
        yield Scores(LABELS, sure(wrong_in(ours)), sure(wrong_in(theirs)), ROWS, ())


@pytest.mark.parametrize("drop", [0.01, 0.02, 0.03, 0.05])
def test_a_planted_drop_is_caught_as_often_as_the_stated_power_says(drop):
    churn, repeats = 0.02, 400
    rng = np.random.default_rng(int(1000 * drop))
    caught = sum(not rules.no_worse(scored, POLICY)[0] for scored in simulated(rng, churn, drop, repeats))
    stated = statistics.power(drop, churn, ROWS, POLICY.margin)
    assert caught / repeats == pytest.approx(stated, abs=0.08)


def test_the_smallest_drop_is_the_one_caught_four_times_in_five():
    smallest = statistics.smallest_drop(0.02, ROWS, POLICY.margin)
    assert statistics.power(smallest, 0.02, ROWS, POLICY.margin) >= statistics.POWER
    assert statistics.power(smallest - 0.001, 0.02, ROWS, POLICY.margin) < statistics.POWER
    assert statistics.smallest_drop(0.02, 10 * ROWS, POLICY.margin) < smallest
