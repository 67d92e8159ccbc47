"""
How often the gate refuses what it should not, and catches what it should: the figures of docs/explanation/gate.md.

From the stored answers of twenty trainings, which `python -m benchmarks.retrained` makes again, and from made-up rows
of each task. `python -m benchmarks.gate` prints the tables.

    pytest tests/modelgate/test_gate_errors.py
    pytest tests/modelgate/test_gate_errors.py -m prove     twenty trainings, made for it, and many more rows
"""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from benchmarks import gate_populations as populations
from benchmarks import gate_trainings, retrained
from benchmarks.gate import Trainings, compare_resampled, compare_retrained, plant_drop, simulate_null
from modelgate.gate import comparison, metrics
from tests import own


@pytest.fixture(scope="module")
def trainings():
    return Trainings.load()


def share_refused(refusals):
    return sum(bool(rules) for rules in refusals) / len(refusals)


def test_equally_good_models_are_refused_at_most_one_time_in_twenty_by_all_rules_together(trainings):
    assert share_refused(simulate_null(trainings, swaps=400)) <= 0.05


def test_another_seed_is_refused_at_most_one_time_in_twenty(trainings):
    assert len(trainings.answers) == 20
    assert share_refused(compare_retrained(trainings)) <= 0.05


@pytest.mark.prove
@pytest.mark.timeout(3000)
def test_another_seed_of_today_is_refused_at_most_one_time_in_twenty():
    trainings = retrained.run_trainings(own.USE_CASE)
    assert share_refused(compare_retrained(trainings)) <= 0.05


@pytest.mark.parametrize("drop", [0.01, 0.02, 0.03, 0.05])
def test_a_planted_drop_is_caught_as_often_as_stated(trainings, drop):
    caught, power = plant_drop(trainings, drop, plants=200)
    assert caught == pytest.approx(power, abs=0.1)


def test_what_is_called_approximate_says_the_rates_that_were_measured():
    """Return each method's lowest and highest figure in the table of docs/explanation/gate.md."""
    kinds = {metric.title: metric.made_of for metric in metrics.METRICS.values()}
    page = (own.ROOT / "docs/explanation/gate.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| \| rows \| floor reached .*\n.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    rates = defaultdict(list)
    for line in table.splitlines():
        name, _, *percents = (cell.strip() for cell in line.strip("|").split("|"))
        made_of = kinds[name.partition("; ")[2]]
        columns = (comparison.FLOOR, comparison.NO_WORSE, comparison.BETTER, comparison.NON_INFERIOR)
        for methods, percent in zip(columns, percents, strict=True):
            rates[methods[made_of]].append(float(percent.removesuffix(" %")))
    assert len(rates) == 8
    for method, measured in rates.items():
        exact = method.level == comparison.EXACT
        assert method.measured == ("" if exact else f"{min(measured)} to {max(measured)} %")
        assert not exact or max(measured) <= 100 * at_most_one_in_twenty(2000)


# --- each task, on made-up rows whose truth is known -----------------------------------------------------------------

SHARES = [case for case in populations.CASES if metrics.get_metric(case.policy).made_of == metrics.SHARE]
A_TABLE_AND_NUMBERS = [case for case in SHARES if case.name.startswith(("tables", "numbers"))]


def at_most_one_in_twenty(draws):
    """Return the most of these draws in which an event of 5 % can happen by chance: 124 of 2,000."""
    return (0.05 * draws + 2.5 * (0.05 * 0.95 * draws) ** 0.5) / draws


@pytest.mark.parametrize("case", A_TABLE_AND_NUMBERS, ids=lambda case: case.name)
def test_what_is_called_exact_errs_at_most_one_time_in_twenty(case, draws=300):
    rates = populations.simulate_edge(case, 500, draws)
    assert max(rates.reached, rates.better) <= at_most_one_in_twenty(draws)
    assert max(rates.refused, rates.shown) <= at_most_one_in_twenty(draws) + 0.01  # approximate
    assert share_refused(populations.simulate_null(case, 500, draws // 3)) <= at_most_one_in_twenty(draws // 3)


@pytest.mark.prove
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("case", populations.CASES, ids=lambda case: case.name)
def test_each_metric_errs_as_seldom_as_the_page_says(case):
    draws = 2000
    rates, exact = populations.simulate_edge(case, 1000, draws), at_most_one_in_twenty(draws)
    if case in SHARES:
        assert max(rates.reached, rates.better) <= exact
        assert max(rates.refused, rates.shown) <= exact + 0.01
    elif case.policy.metric == "mean_squared_error":
        assert max(rates.refused, rates.better, rates.shown) <= 0.15 and rates.reached <= 0.25
    else:
        assert max(rates.refused, rates.better, rates.shown, rates.reached) <= 0.10
    assert share_refused(populations.simulate_null(case, 1000, draws)) <= exact
    _, caught, power = populations.plant_drop(case, 1000, draws)
    assert caught == pytest.approx(power, abs=0.05 if case in SHARES else 0.15)


@pytest.mark.parametrize("case", A_TABLE_AND_NUMBERS, ids=lambda case: case.name)
def test_a_drop_planted_in_another_task_is_caught_as_often_as_stated(case):
    _, caught, power = populations.plant_drop(case, 1000, 200)
    assert caught == pytest.approx(power, abs=0.1)


@pytest.mark.parametrize("make", gate_trainings.ALL, ids=lambda make: make.__name__.removeprefix("create_"))
def test_a_model_trained_again_on_rows_drawn_again_is_seldom_refused(make):
    for name, refusals in compare_resampled(make(), 5):
        assert share_refused(refusals) <= 0.2, (name, refusals)
