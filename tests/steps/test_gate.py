"""
The gate's rules, each seen to pass and to refuse, without W&B or TensorFlow.

    pytest tests/steps/test_gate.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steps.common import gate
from steps.common.gate import Policy, Scores

POLICY = Policy("no_worse", floor_accuracy=0.90, margin=0.005)
ROWS = 1000


def answers(labels, wrong):
    """Probabilities of a model that is sure of itself and wrong in the first `wrong` rows."""
    answer = np.where(np.arange(len(labels)) < wrong, (labels + 1) % 10, labels)
    return np.eye(10, dtype=np.float32)[answer]


def scores(candidate_wrong, production_wrong=None):
    labels = np.arange(ROWS, dtype=np.int64) % 10
    production = None if production_wrong is None else answers(labels, production_wrong)
    return Scores(labels, answers(labels, candidate_wrong), production, ROWS, ())


def refusals(scored, policy=POLICY):
    return [outcome.rule for outcome in gate.judge(scored, policy) if outcome.blocking and not outcome.passed]


def test_a_good_first_model_passes():
    assert refusals(scores(20)) == []


def test_a_model_like_production_passes():
    assert refusals(scores(20, 20)) == []


def test_floor_accuracy_refuses_by_the_bound_and_not_by_the_estimate():
    assert refusals(scores(90)) == ["floor_accuracy"]  # 0.910, and with 95 % confidence at least 0.894 only
    assert refusals(scores(80)) == []


def test_no_worse_refuses_a_drop_that_the_rows_show():
    assert refusals(scores(40, 20)) == ["no_worse"]


def test_no_worse_lets_a_drop_within_the_margin_pass():
    assert refusals(scores(24, 20)) == []


def test_rollback_shows_the_drop_and_does_not_block_on_it():
    outcomes = {outcome.rule: outcome for outcome in gate.judge(scores(40, 20), replace(POLICY, name="rollback"))}
    assert not outcomes["no_worse"].passed
    assert gate.passes(list(outcomes.values()))


def test_rollback_still_asks_for_the_floor():
    assert refusals(scores(200, 20), replace(POLICY, name="rollback")) == ["floor_accuracy"]


@pytest.mark.parametrize("fewer", ["labels", "candidate", "production"])
def test_every_row_scored_refuses_fewer_rows(fewer):
    scored = scores(20, 20)
    assert refusals(replace(scored, **{fewer: getattr(scored, fewer)[:-1]})) == ["every_row_scored"]


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


def test_unseen_rows_refuses_eval_rows_that_were_trained_on():
    assert refusals(replace(scores(20), seen=(17,))) == ["unseen_rows"]


def test_no_outcome_is_no_pass():
    assert not gate.passes([])


def test_every_rule_is_seen_to_refuse_in_this_file():
    """A new rule without a test of its refusal turns this red."""
    source = Path(__file__).read_text(encoding="utf-8")
    for rule in (*gate.SANITY, *gate.QUALITY):
        assert f'== ["{rule.__name__}"]' in source


def test_lower_bound_is_clopper_and_pearsons():
    # Their exact interval: with all n right, the bound is alpha to the power of 1 / n.
    assert gate.lower_bound(100, 100) == pytest.approx(0.05 ** (1 / 100))
    assert gate.lower_bound(0, 100) == 0


def test_loss_is_the_cross_entropy_in_nats():
    labels = np.array([0, 1])
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]], dtype=np.float32)
    assert gate.loss(labels, probabilities) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)


def test_confusion_counts_truth_by_rows():
    labels = np.array([0, 0, 1])
    probabilities = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    assert gate.confusion(labels, probabilities).tolist() == [[1, 1], [0, 1]]
