"""
The metrics against scikit-learn's, and the bounds against their definitions.

    pytest tests/modelgate/test_gate_metrics.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn import metrics as known

from modelgate.gate import comparison, metrics, statistics
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores

POLICY = Policy("no_worse", None, 0.0)
ROWS = 400


def probabilities(random, targets, classes):
    drawn = random.dirichlet(np.ones(classes), len(targets)) + 0.7 * np.eye(classes)[targets] * random.random((ROWS, 1))
    return (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 5])
def test_metrics_of_classes_are_scikit_learns(classes):
    random = np.random.default_rng(classes)
    targets = random.integers(0, classes, ROWS)
    answers = probabilities(random, targets, classes)
    predicted = answers.argmax(axis=1)
    expected = {
        "accuracy": known.accuracy_score(targets, predicted),
        "balanced_accuracy": known.balanced_accuracy_score(targets, predicted),
        "f1": known.f1_score(targets, predicted, average="binary" if classes == 2 else "macro"),
        "log_loss": known.log_loss(targets, answers.astype(np.float64)),
    }
    if classes == 2:
        expected["roc_auc"] = known.roc_auc_score(targets, answers[:, 1])
    computed = {name: metrics.compute_value(targets, answers, replace(POLICY, metric=name)) for name in expected}
    assert computed == pytest.approx(expected, rel=1e-5)


def test_ties_count_half_in_the_area_under_the_curve():
    targets = np.array([0, 0, 1, 1])
    answers = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.1, 0.9]], dtype=np.float32)
    assert metrics.compute_area(targets, answers) == known.roc_auc_score(targets, answers[:, 1]) == 0.875


def test_metrics_of_numbers_are_scikit_learns():
    random = np.random.default_rng(0)
    targets = random.normal(0, 5, ROWS)
    answers = targets + random.normal(0, 2, ROWS)
    policy = replace(POLICY, tolerance=1.5, quantile=0.9)
    expected = {
        "within_tolerance": (np.abs(targets - answers) <= 1.5).mean(),
        "mean_absolute_error": known.mean_absolute_error(targets, answers),
        "mean_squared_error": known.mean_squared_error(targets, answers),
        "pinball": known.mean_pinball_loss(targets, answers, alpha=0.9),
    }
    computed = {name: metrics.compute_value(targets, answers, replace(policy, metric=name)) for name in expected}
    assert computed == pytest.approx(expected)


def test_f1_of_a_class_that_is_never_answered_is_none_at_all():
    assert metrics.compute_f1(np.array([[98, 0], [2, 0]])) == 0


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("regressed", "improved", "rows"), [(12, 5, 200), (0, 3, 150), (7, 0, 1000), (40, 38, 500)])
def test_tangos_bound_is_the_largest_drop_that_the_score_test_does_not_refuse(regressed, improved, rows):
    """Compare with the definition: an optimizer finds the likeliest pair of shares for that drop."""

    def score(drop):
        def unlikely(share):
            logs = (regressed, share + drop), (improved, share), (rows - regressed - improved, 1 - 2 * share - drop)
            return -sum(count * np.log(max(chance, 1e-300)) for count, chance in logs if count)

        low, high = max(0.0, -drop), (1 - drop) / 2
        share = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        return (regressed - improved - rows * drop) / np.sqrt(rows * (2 * share + drop * (1 - drop)))

    bound = statistics.bound_drop(regressed, improved, rows)
    assert score(bound) == pytest.approx(-statistics.Z_95, abs=0.02)


def test_tangos_bound_with_no_row_moved_is_about_three_rows():
    assert statistics.bound_drop(0, 0, 1000) == pytest.approx(0.0027, abs=0.0001)
    assert statistics.bound_drop(10, 0, 10) == 1


def test_a_mean_has_the_bounds_of_students_t():
    values = np.random.default_rng(0).exponential(3, 60)
    interval = statistics.bound_mean(values)
    low, high = stats.t.interval(0.90, 59, values.mean(), stats.sem(values))
    assert (interval.value, interval.lower, interval.upper) == pytest.approx((values.mean(), low, high))


def test_delongs_variance_is_that_of_the_published_pairs():
    """Compare with the definition: every pair of rows, for the difference of two models."""
    random = np.random.default_rng(4)
    targets = (np.arange(ROWS) < 60).astype(np.int64)
    ours, theirs = (probabilities(random, targets, 2) for _ in range(2))

    def kernel(answers):
        positive, negative = answers[targets == 1, 1], answers[targets == 0, 1]
        return (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)

    difference = kernel(theirs) - kernel(ours)
    variance = difference.mean(axis=1).var(ddof=1) / 60 + difference.mean(axis=0).var(ddof=1) / 340
    scores = Scores(targets, ours, theirs, ROWS, (), task="tabular-classification")
    computed = comparison.compute_difference(scores, replace(POLICY, metric="roc_auc"))
    assert (computed.drop, computed.error) == pytest.approx((difference.mean(), np.sqrt(variance)))
    reach = stats.t.ppf(0.95, 59) * np.sqrt(variance)
    assert (computed.at_least, computed.at_most) == pytest.approx((computed.drop - reach, computed.drop + reach))


def test_the_bounds_of_an_area_are_those_of_its_logit():
    random = np.random.default_rng(4)
    targets = (np.arange(ROWS) < 60).astype(np.int64)
    scores = Scores(targets, probabilities(random, targets, 2), None, ROWS, (), task="tabular-classification")
    interval = comparison.estimate(scores, replace(POLICY, metric="roc_auc"))
    logit = special.logit(interval.value)
    reach = stats.t.ppf(0.95, 59) * interval.error / (interval.value * (1 - interval.value))
    assert (interval.lower, interval.upper) == pytest.approx(tuple(special.expit([logit - reach, logit + reach])))
    assert statistics.bound_area(np.ones(60), np.ones(340)) == (1, 1, 1, 0)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
def test_the_bootstrap_of_counts_is_that_of_rows_drawn_within_each_class(metric):
    random = np.random.default_rng(5)
    targets = random.choice(3, ROWS, p=[0.6, 0.3, 0.1])
    ours, theirs = (probabilities(random, targets, 3) for _ in range(2))
    policy = replace(POLICY, metric=metric)
    difference = comparison.compute_difference(
        Scores(targets, ours, theirs, ROWS, (), task="text-classification"), policy
    )
    drops = []
    for _ in range(1000):
        drawn = np.concatenate(
            [random.choice(rows, len(rows)) for rows in (np.flatnonzero(targets == c) for c in range(3))]
        )
        values = [metrics.compute_value(targets[drawn], answers[drawn], policy) for answers in (theirs, ours)]
        drops.append(values[0] - values[1])
    assert difference.error == pytest.approx(np.std(drops), rel=0.1)
    assert (difference.at_least, difference.at_most) == pytest.approx(
        np.quantile(drops, [0.05, 0.95]), abs=0.15 * np.std(drops) * 2
    )
    assert difference == comparison.compute_difference(
        Scores(targets, ours, theirs, ROWS, (), task="text-classification"), policy
    )


def test_the_chance_beyond_a_margin_is_skellams():
    for regressed, improved, rows in ((12, 0, 100), (30, 10, 333), (50, 20, 1000)):
        share = statistics._estimate_improved_share(regressed, improved, rows, 0.02)
        expected = stats.skellam.sf(regressed - improved - 1, rows * (share + 0.02), rows * share)
        assert statistics.compute_chance_beyond(regressed, improved, rows, 0.02) == pytest.approx(expected)
    assert statistics.compute_chance_beyond(2, 0, 100, 0.02) == 1


def test_the_smallest_share_that_reaches_a_floor():
    """133 rows: a floor of 0.80 is reached from 0.865 on."""
    assert statistics.find_smallest_share(0.80, 133) == pytest.approx(0.865, abs=0.0005)
    assert statistics.compute_lower_bound(115, 133) >= 0.80 > statistics.compute_lower_bound(114, 133)


def test_the_rows_that_non_inferior_takes_are_those_with_which_it_passes_four_times_in_five():
    random = np.random.default_rng(6)
    policy = replace(POLICY, name="non_inferior", margin=0.02)

    def drawn(rows):
        """Two models that differ on a tenth of the rows by a fair coin."""
        targets = np.zeros(rows, dtype=np.int64)
        toss = random.random(rows)
        ours, theirs = (toss < 0.05).astype(int), ((toss >= 0.05) & (toss < 0.1)).astype(int)
        sure = np.eye(2, dtype=np.float32)
        return Scores(targets, sure[ours], sure[theirs], rows, ())

    few = drawn(500)
    needed = comparison.count_rows_needed(few, policy, comparison.compute_difference(few, policy))
    expected = 0.1 * ((statistics.Z_95 + statistics.Z_80) / 0.02) ** 2
    assert needed == pytest.approx(expected, rel=0.3)
    passed = sum(comparison.compute_difference(drawn(round(expected)), policy).at_most <= 0.02 for _ in range(400))
    assert passed / 400 == pytest.approx(0.8, abs=0.06)
