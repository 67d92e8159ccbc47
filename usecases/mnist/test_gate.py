"""
Check that models of MNIST that differ only in their seed pass the gate against each other.

    pytest usecases/mnist -m prove
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import retrained
from benchmarks.gate import compare_retrained
from modelgate import config


@pytest.mark.prove
@pytest.mark.timeout(3000)
@pytest.mark.skipif("MNIST_NPZ" not in os.environ, reason="MNIST_NPZ names no file")
def test_another_seed_of_today_is_refused_at_most_one_time_in_twenty(monkeypatch):
    monkeypatch.setattr(config, "FOLDER", Path(__file__).parents[1])
    refusals = compare_retrained(retrained.run_trainings("mnist"))
    assert sum(bool(rules) for rules in refusals) <= 0.05 * len(refusals)
