"""
The gate's rules, each seen to pass and to refuse, without W&B or TensorFlow.

    pytest tests/modelgate/test_gate.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from modelgate.gate import rules, statistics
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Pair, Scores

POLICY = Policy("no_worse", at_least=0.90, margin=0.005)


BETTER, ROLLBACK = replace(POLICY, name="better"), replace(POLICY, name="rollback")


ROWS = 1000


LABELS = np.arange(ROWS, dtype=np.int64) % 10


def wrong_in(rows):
    """Return answers that are wrong in these rows, with different wrong classes, so that no renaming fixes them."""
    answers = LABELS.copy()
    answers[rows] = (answers[rows] + 1 + np.arange(len(answers[rows])) % 7) % 10
    return answers


def sure(answers):
    """Return the probabilities of a model that is sure of these answers."""
    return np.eye(10, dtype=np.float32)[answers]


def scores(candidate_wrong, production_wrong=None):
    """Return the scores of a candidate that is wrong in the first rows, and of such a production, if there is one."""
    production = None if production_wrong is None else sure(wrong_in(slice(production_wrong)))
    return Scores(LABELS, sure(wrong_in(slice(candidate_wrong))), production, ROWS, ())


SIGNS = np.where(np.arange(ROWS) % 2, 1.0, -1.0)


NUMBERS = np.random.default_rng(3).normal(0, 5, ROWS)


WITHIN = Policy("no_worse", at_least=0.9, margin=0.005, metric="within_tolerance", tolerance=2.0)


def numbers(candidate, production=None):
    """Return the scores of a regression with these answers."""
    return Scores(NUMBERS, candidate, production, ROWS, (), task="tabular-regression")


def mixed(targets, noise):
    """Return the probabilities of a classifier that sees the truth through this noise."""
    second = 1 / (1 + np.exp(-(4 * targets - 2 + noise)))
    return np.column_stack([1 - second, second]).astype(np.float32)


def binary(positives, rows=ROWS):
    """Return scores of two classes, the second with this many rows; the candidate is wrong in one row of each."""
    targets = (np.arange(rows) < positives).astype(np.int64)
    noise = np.zeros(rows)
    noise[0], noise[-1] = -4, 4
    return Scores(targets, mixed(targets, noise), None, rows, (), task="tabular-classification")


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
    assert not rules.passes_gate([])


# --- sanity ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fewer", ["targets", "candidate", "production"])
def test_every_row_scored_refuses_fewer_rows(fewer):
    scored = scores(20, 20)
    assert refusals(replace(scored, **{fewer: getattr(scored, fewer)[:-1]})) == ["every_row_scored"]


def test_every_row_scored_refuses_fewer_varied_rows_and_groups():
    scored = scores(20, 20)
    short = Pair(LABELS[:-1], LABELS)
    assert refusals(replace(scored, varied={"noise": short})) == ["every_row_scored"]
    assert refusals(replace(scored, varied={"noise": Pair(LABELS, None)})) == ["every_row_scored"]
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


@pytest.mark.parametrize(
    ("policy", "was", "refused"),
    [
        ("no_worse", True, ["unseen_rows"]),
        ("rollback", False, ["unseen_rows"]),
        ("rollback", True, []),
    ],
)
def test_unseen_rows_refuses_a_model_whose_training_rows_are_gone_unless_it_is_gone_back_to(policy, was, refused):
    scored = replace(scores(20), training_known=False, was_in_production=was)
    outcomes = rules.judge(scored, replace(POLICY, name=policy))
    assert [outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed] == refused
    assert outcomes[2].reason == "the rows that the candidate was trained on are gone"


def test_near_duplicates_refuses_more_than_a_share():
    scored = scores(20)
    most = int(rules.MAX_NEAR * scored.rows)
    assert refusals(replace(scored, near=most + 1)) == ["near_duplicates"]
    assert refusals(replace(scored, near=most)) == []


def test_near_duplicates_are_counted_where_there_is_one():
    names = [[outcome.rule for outcome in rules.judge(replace(scores(20), near=near), POLICY)] for near in (0, 1)]
    assert ["near_duplicates" in rules for rules in names] == [False, True]


def test_enough_rows_refuses_fewer_than_a_hundred():
    few = replace(scores(2, 2), targets=LABELS[:99], candidate=sure(LABELS[:99]), production=None, rows=99)
    assert refusals(few) == ["enough_rows"]
    assert [outcome.rule for outcome in rules.judge(few, POLICY)][-1] == "enough_rows"


def test_enough_rows_refuses_a_class_of_too_few_rows_where_the_metric_needs_more():
    """29 rows of the rarer class for ROC AUC, 19 for balanced accuracy; accuracy takes both."""
    for metric, needs in (("roc_auc", 30), ("balanced_accuracy", 20), ("f1", 20)):
        policy = replace(POLICY, metric=metric, at_least=0.8)
        assert refusals(binary(needs - 1), policy) == ["enough_rows"]
        assert refusals(binary(needs - 1)) == refusals(binary(needs), policy) == []
    (reason,) = [
        outcome.reason for outcome in rules.judge(binary(29), replace(POLICY, metric="roc_auc")) if not outcome.passed
    ]
    assert reason.startswith("cannot be compared: the rarer class has 29 eval rows")
    assert refusals(scores(20, 20), replace(POLICY, metric="roc_auc")) == ["enough_rows"]  # ten classes


# --- quality ---------------------------------------------------------------------------------------------------------
def test_labels_plausible_refuses_a_model_that_learned_other_names():
    """Two classes have changed places: 80 % right, and 100 % with the names changed back."""
    exchanged = np.array([1, 0, *range(2, 10)])[LABELS]
    assert refusals(replace(scores(0), candidate=sure(exchanged)), replace(POLICY, at_least=0.7)) == [
        "labels_plausible"
    ]


def test_sign_plausible_refuses_answers_that_fall_where_the_targets_rise():
    assert refusals(numbers(-NUMBERS), WITHIN) == ["sign_plausible", "floor"]
    flipped = binary(300)
    flipped = replace(flipped, candidate=flipped.candidate[:, ::-1])
    assert "sign_plausible" in refusals(flipped, replace(POLICY, at_least=0.0))


def test_sign_plausible_lets_a_poor_model_pass():
    """Its answers are almost unrelated to the targets: refusing that is the floor's task."""
    dice = np.random.default_rng(0)
    for _ in range(20):
        assert refusals(numbers(dice.normal(0, 5, ROWS)), WITHIN) == ["floor"]


@pytest.mark.parametrize("policy", [POLICY, BETTER, replace(POLICY, name="non_inferior", margin=0.02)])
def test_production_plausible_refuses_labels_that_were_flipped_for_candidate_and_rows_alike(policy):
    """Rows, training and candidate agree, so the candidate is far above production; but that is not a gain."""
    right = binary(300)
    flipped = replace(
        right,
        targets=1 - right.targets,
        candidate=right.candidate[:, ::-1],
        production=right.candidate,
        classes=("no", "yes"),
    )
    (outcome,) = [item for item in rules.judge(flipped, policy) if item.rule == "production_plausible"]
    assert outcome.blocking and not outcome.passed
    assert outcome.reason == (
        "production has 0.0020 of these rows right, and 0.9980 with classes renamed (no as yes, yes as no): check that "
        "the labels in data.py mean what they meant when production was judged"
    )
    exchanged = np.array([1, 0, *range(2, 10)])[LABELS]
    two_of_ten = replace(scores(0), production=sure(exchanged))
    assert refusals(two_of_ten, policy) == ["production_plausible"]
    assert refusals(numbers(NUMBERS, -NUMBERS), replace(WITHIN, name=policy.name, margin=0.02)) == [
        "production_plausible"
    ]


def test_production_plausible_lets_a_better_model_replace_one_that_the_world_left_behind():
    """A third of its answers are right, and its mistakes are of many kinds: no renaming makes it good."""
    assert refusals(scores(20, 670)) == []
    one_answer = np.zeros_like(LABELS)
    assert refusals(replace(scores(20), production=sure(one_answer))) == []


def test_production_plausible_is_only_shown_if_it_is_about_going_back():
    exchanged = np.array([1, 0, *range(2, 10)])[LABELS]
    scored = replace(scores(0), production=sure(exchanged), was_in_production=True)
    assert refusals(scored, ROLLBACK) == []


def test_not_constant_refuses_one_answer_to_all_rows():
    assert refusals(numbers(np.full(ROWS, NUMBERS.mean())), replace(WITHIN, at_least=0.0)) == ["not_constant"]
    nearly = NUMBERS.mean() + 0.001 * np.sign(NUMBERS)
    assert refusals(numbers(nearly), replace(WITHIN, at_least=0.0)) == ["not_constant"]


def test_not_constant_refuses_a_classifier_that_always_says_no():
    """With 1 % positives it is right in 99 % of the rows, and the floor is far below."""
    rare = binary(30, rows=3000)
    always = np.tile(np.array([0.99, 0.01], np.float32), (3000, 1))
    assert refusals(replace(rare, candidate=always)) == ["not_constant"]
    assert "not_constant" in refusals(replace(rare, candidate=always), replace(POLICY, metric="roc_auc", at_least=0.0))
    ranked = always + np.outer(rare.targets, [-0.1, 0.1]).astype(np.float32)
    assert refusals(replace(rare, candidate=ranked), replace(POLICY, metric="roc_auc")) == []


def test_floor_refuses_by_the_upper_bound_where_less_is_better():
    error = replace(WITHIN, at_least=None, at_most=1.0, metric="mean_absolute_error")
    assert refusals(numbers(NUMBERS + 0.9 * SIGNS), error) == []
    assert refusals(numbers(NUMBERS + 1.1 * SIGNS), error) == ["floor"]
    spread = np.where(np.arange(ROWS) % 20 == 0, 19.0, 0.0)  # 0.95 by the mean, and more by the bound
    assert refusals(numbers(NUMBERS + spread), error) == ["floor"]


def test_floor_refuses_when_no_limit_is_set():
    assert refusals(scores(0), replace(POLICY, at_least=None)) == ["floor"]


def test_floor_refuses_by_the_bound_and_not_by_the_estimate():
    assert refusals(scores(90)) == ["floor"]  # 0.910, and with 95 % confidence at least 0.894 only
    assert refusals(scores(80)) == []


# --- comparison ------------------------------------------------------------------------------------------------------
def test_no_worse_refuses_a_drop_that_the_rows_show():
    assert refusals(scores(40, 20)) == ["no_worse"]


def test_better_refuses_what_is_only_as_good():
    assert refusals(scores(20, 20), BETTER) == ["better"]
    assert refusals(scores(18, 20), BETTER) == ["better"]  # two rows won: chance alone does that once in four draws


def test_better_lets_a_significant_gain_pass():
    assert refusals(scores(10, 20), BETTER) == []


def test_better_lets_a_first_model_pass():
    assert refusals(scores(20), BETTER) == []


def test_non_inferior_refuses_what_is_not_shown_to_be_as_good():
    """If 20 of 1,000 rows move each way, equal totals do not show that less than half a point was lost."""
    strict, mild = replace(POLICY, name="non_inferior"), replace(POLICY, name="non_inferior", margin=0.02)
    moving = replace(scores(20), production=sure(wrong_in(slice(20, 40))))
    assert refusals(moving) == []
    assert refusals(moving, strict) == ["non_inferior"]
    assert refusals(moving, mild) == []
    assert refusals(scores(20, 20), strict) == []  # not one row moved
    assert refusals(scores(20), strict) == []
    (reason,) = [outcome.reason for outcome in rules.judge(moving, strict) if outcome.rule == "non_inferior"]
    assert "passes four times out of five with 9,893 rows like these" in reason


@pytest.mark.parametrize("metric", ["mean_absolute_error", "mean_squared_error", "pinball", "within_tolerance"])
def test_no_worse_and_better_refuse_by_every_metric_of_a_regression(metric):
    limits = {"at_least": None, "at_most": 100.0} if metric != "within_tolerance" else {}
    policy = replace(WITHIN, metric=metric, quantile=0.5 if metric == "pinball" else None, margin=0.01, **limits)
    worse, best = NUMBERS + 2.4 * SIGNS, NUMBERS + 0.3 * SIGNS
    assert "no_worse" in refusals(numbers(worse, best), policy)
    assert refusals(numbers(best, worse), replace(policy, name="better")) == []
    assert refusals(numbers(best, best), replace(policy, name="better")) == ["better"]
    assert refusals(numbers(best, best), replace(policy, name="non_inferior")) == []


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1", "roc_auc", "log_loss"])
def test_no_worse_and_better_refuse_by_every_metric_of_a_classification(metric):
    limits = {"at_least": None, "at_most": 1.0} if metric == "log_loss" else {"at_least": 0.1}
    policy = replace(POLICY, metric=metric, **limits)
    dice = np.random.default_rng(0)
    good, poor = binary(300), binary(300)
    poor.candidate[:] = mixed(poor.targets, dice.normal(0, 2, ROWS))
    assert "no_worse" in refusals(replace(poor, production=good.candidate), policy)
    assert refusals(replace(good, production=poor.candidate), replace(policy, name="better")) == []
    assert refusals(replace(good, production=good.candidate), replace(policy, name="better")) == ["better"]


def test_a_margin_can_be_a_fraction_of_productions_value():
    policy = replace(WITHIN, metric="mean_absolute_error", at_least=None, at_most=9.0, margin=None)
    worse = numbers(NUMBERS + 1.1 * SIGNS, NUMBERS + SIGNS)  # a tenth worse on every row
    assert refusals(worse, replace(policy, margin_relative=0.11)) == []
    assert refusals(worse, replace(policy, margin_relative=0.09)) == ["no_worse"]


def test_a_metric_of_the_use_cases_own_is_the_mean_of_what_it_gives_each_row():
    policy = replace(POLICY, metric="cost", at_least=None, at_most=2.0, margin=0.1)
    cheap, dear = np.tile([0.5, 1.5], ROWS // 2), np.tile([0.9, 1.9], ROWS // 2)
    assert refusals(replace(scores(20, 20), own=Pair(cheap, cheap)), policy) == []
    assert refusals(replace(scores(20, 20), own=Pair(dear, cheap)), policy) == ["no_worse"]
    assert refusals(replace(scores(20, 20), own=Pair(cheap, dear)), replace(policy, name="better")) == []
    assert refusals(replace(scores(20, 20), own=Pair(3 * cheap, 3 * cheap)), policy) == ["floor"]
    more = replace(policy, at_most=None, at_least=0.8)  # more gain is better
    assert refusals(replace(scores(20, 20), own=Pair(dear, cheap)), more) == []
    assert refusals(replace(scores(20, 20), own=Pair(cheap, dear)), more) == ["no_worse"]


def test_finite_scores_refuses_values_of_the_use_cases_own_metric_that_are_no_numbers():
    policy = replace(POLICY, metric="cost", at_least=None, at_most=2.0)
    values = np.ones(ROWS)
    values[3] = np.nan
    assert refusals(replace(scores(20, 20), own=Pair(np.ones(ROWS), values)), policy) == ["finite_scores"]


def test_every_row_scored_refuses_fewer_values_of_the_use_cases_own_metric():
    short = replace(scores(20, 20), own=Pair(np.ones(ROWS - 1), np.ones(ROWS)))
    assert refusals(short, replace(POLICY, metric="cost", at_least=None, at_most=2.0)) == ["every_row_scored"]


def test_finite_scores_refuses_numbers_of_a_regression_that_are_none():
    answers = NUMBERS.copy()
    answers[7] = np.inf
    assert refusals(numbers(answers), WITHIN) == ["finite_scores"]


def test_slices_no_worse_refuses_a_category_of_a_table_that_a_regression_lost():
    colours = np.arange(ROWS) % 4
    lost = np.where((colours == 0) & (np.arange(ROWS) % 8 == 0), NUMBERS + 50, NUMBERS)
    won = np.where((colours != 0) & (np.arange(ROWS) % 6 == 1), NUMBERS + 50, NUMBERS)
    scored = replace(numbers(lost, won), slices={"colour": colours}, groups={"colour": ("red", "green", "blue")})
    mild = replace(WITHIN, at_least=0.8)
    assert refusals(scored, mild) == ["slices_no_worse"]
    (reason,) = [outcome.reason for outcome in rules.judge(scored, mild) if not outcome.passed]
    assert reason.startswith("worse than production in colour red (")


def test_slices_that_are_worse_by_little_are_not_refused_however_many_rows_show_it():
    """2 points on 50,000 rows: beyond doubt, but less than the difference between models trained on other rows."""
    rows = 100_000
    labels = np.arange(rows, dtype=np.int64) % 2
    ours, theirs = labels.copy(), labels.copy()
    ours[0:2000:2], theirs[1:2001:2] = 1, 0
    slightly = Scores(labels, np.eye(2, dtype=np.float32)[ours], np.eye(2, dtype=np.float32)[theirs], rows, ())
    assert refusals(slightly) == []
    ours[0:6000:2], theirs[1:6001:2] = 1, 0
    clearly = Scores(labels, np.eye(2, dtype=np.float32)[ours], np.eye(2, dtype=np.float32)[theirs], rows, ())
    assert refusals(clearly) == ["slices_no_worse"]


def test_behaviour_no_worse_refuses_a_regression_that_turns_with_the_rows():
    shaky = Pair(np.where(np.arange(ROWS) < 80, NUMBERS + 50, NUMBERS), NUMBERS)
    assert refusals(replace(numbers(NUMBERS, NUMBERS), varied={"noise": shaky}), WITHIN) == ["behaviour_no_worse"]


def test_slices_no_worse_refuses_a_class_that_was_lost():
    """12 rows of class 3 are lost and 10 of class 7 won: only the class shows it, not the total."""
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
    assert "ink 1" not in [
        name for name, *_ in rules.measure_slices(replace(scores(20, 20), slices={"ink": few}), POLICY)
    ]


def test_behaviour_no_worse_refuses_answers_that_turn_with_the_image():
    shaky = Pair(candidate=wrong_in(slice(80)), production=wrong_in(slice(20)))
    assert refusals(replace(scores(20, 20), varied={"noise": shaky})) == ["behaviour_no_worse"]


def test_behaviour_within_its_margin_passes():
    alike = Pair(candidate=wrong_in(slice(30)), production=wrong_in(slice(20)))
    assert refusals(replace(scores(20, 20), varied={"noise": alike})) == []


def test_rollback_shows_every_comparison_and_blocks_on_none():
    shaky = Pair(candidate=wrong_in(slice(80)), production=wrong_in(slice(20)))
    back = replace(scores(60, 20), varied={"noise": shaky}, was_in_production=True)
    outcomes = rules.judge(back, ROLLBACK)
    assert {outcome.rule for outcome in outcomes if not outcome.passed} >= {"no_worse", "behaviour_no_worse"}
    assert rules.passes_gate(outcomes)


def test_rollback_still_asks_for_the_floor():
    assert refusals(replace(scores(200, 20), was_in_production=True), ROLLBACK) == ["floor"]


def test_was_in_production_refuses_a_rollback_to_what_never_was():
    """However good it is."""
    assert refusals(scores(20, 20), ROLLBACK) == ["was_in_production"]
    assert refusals(scores(60, 20), ROLLBACK) == ["was_in_production"]
    assert refusals(replace(scores(20, 20), was_in_production=True), ROLLBACK) == []


def test_no_other_policy_asks_for_a_history():
    assert refusals(scores(20, 20)) == []


# --- how often the gate is wrong: figures of docs/explanation/gate.md ------------------------------------------------
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
    power = statistics.compute_power(drop, churn, ROWS, POLICY.margin)
    assert caught / repeats == pytest.approx(power, abs=0.08)


def test_the_smallest_drop_is_the_one_caught_four_times_in_five():
    smallest = statistics.find_smallest_drop(0.02, ROWS, POLICY.margin)
    assert statistics.compute_power(smallest, 0.02, ROWS, POLICY.margin) >= statistics.POWER
    assert statistics.compute_power(smallest - 0.001, 0.02, ROWS, POLICY.margin) < statistics.POWER
    assert statistics.find_smallest_drop(0.02, 10 * ROWS, POLICY.margin) < smallest
