"""
How often the gate refuses what it should not, and catches what it should: the figures of docs/gate.md.

From the stored answers of twenty trainings; `python -m benchmarks.retrained` makes them again, and
`python -m benchmarks.gate` prints the table.

    pytest tests/modelgate/test_gate_errors.py
    pytest tests/modelgate/test_gate_errors.py -m prove     twenty trainings, made for it
"""

from __future__ import annotations

import pytest

from benchmarks import retrained
from benchmarks.gate import Trainings, null, planted, retraining
from tests import own


@pytest.fixture(scope="module")
def trainings():
    return Trainings.stored()


def share_refused(refusals):
    return sum(bool(rules) for rules in refusals) / len(refusals)


def test_equally_good_models_are_refused_at_most_one_time_in_twenty_by_all_rules_together(trainings):
    assert share_refused(null(trainings, swaps=400)) <= 0.05


def test_another_seed_is_refused_at_most_one_time_in_twenty(trainings):
    assert len(trainings.answers) == 20
    assert share_refused(retraining(trainings)) <= 0.05


@pytest.mark.prove
@pytest.mark.timeout(3000)
def test_another_seed_of_today_is_refused_at_most_one_time_in_twenty():
    made = retrained.trainings(own.USE_CASE)
    assert share_refused(retraining(made)) <= 0.05


@pytest.mark.parametrize("drop", [0.01, 0.02, 0.03, 0.05])
def test_a_planted_drop_is_caught_as_often_as_stated(trainings, drop):
    caught, stated = planted(trainings, drop, plants=200)
    assert caught == pytest.approx(stated, abs=0.1)
