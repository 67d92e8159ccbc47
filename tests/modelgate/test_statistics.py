"""
The numbers of the gate, against their definitions.

    pytest tests/modelgate/test_statistics.py
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from modelgate.gate import metrics, statistics


def test_lower_bound_is_clopper_and_pearsons():
    assert statistics.compute_lower_bound(93, 100) == pytest.approx(
        stats.binomtest(93, 100).proportion_ci(confidence_level=0.90, method="exact").low
    )
    assert statistics.compute_lower_bound(0, 100) == 0


def test_mcnemar_is_the_exact_binomial_test():
    for more, fewer in ((0, 0), (1, 0), (7, 2), (3, 9), (40, 20)):
        expected = stats.binomtest(more, more + fewer, 0.5, "greater").pvalue if more + fewer else 1.0
        assert statistics.compute_mcnemar(more, fewer) == pytest.approx(expected)


def test_holm_stops_at_the_first_that_does_not_hold():
    assert statistics.correct_by_holm({"a": 0.001, "b": 0.02, "c": 0.03}, 0.05) == ["a", "b", "c"]
    assert statistics.correct_by_holm({"a": 0.001, "b": 0.03, "c": 0.03}, 0.05) == ["a"]
    assert statistics.correct_by_holm({"a": 0.02, "b": 0.5, "c": 0.6}, 0.05) == []
    assert statistics.correct_by_holm({}, 0.05) == []


def test_loss_is_the_cross_entropy_in_nats():
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]], dtype=np.float32)
    assert metrics.compute_loss(np.array([0, 1]), probabilities) == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)


def test_confusion_counts_truth_by_rows():
    probabilities = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    assert metrics.count_confusion(np.array([0, 0, 1]), probabilities).tolist() == [[1, 1], [0, 1]]


def test_calibration_error_is_the_mean_gap_between_confidence_and_accuracy():
    """Ten rows at 0.9, eight of them right; ten at 0.6, six right: (0.1 + 0) / 2."""
    confidence = np.repeat([0.9, 0.6], 10)
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    labels = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    assert metrics.compute_calibration_error(labels, probabilities) == pytest.approx(0.05, abs=1e-6)
    assert [row[1] for row in metrics.bin_reliability(labels, probabilities)] == [10, 10]
