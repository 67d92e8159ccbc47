"""
The messages that refuse images. test_planted_rows.py has the defects that are refused.

    pytest tests/modelgate/test_row_checks.py
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from modelgate.rows.dataset import Dataset
from modelgate.rows.image_checks import find_violations

SHAPE = (4, 4, 1)
DATA = SimpleNamespace(CLASSES=("cat", "dog"), SHAPE=SHAPE)


@pytest.fixture
def good():
    images = np.random.default_rng(0).random((60, *SHAPE), dtype=np.float32)
    labels = np.arange(60, dtype=np.int64) % 2
    return Dataset(images[:40], labels[:40], images[40:], labels[40:])


def changed(array, row, value):
    copy = array.copy()
    copy[row] = value
    return copy


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_row_nan_refuses_and_names_the_row(good, value):
    (finding, *_) = find_violations(replace(good, x_train=changed(good.x_train, 7, value)), DATA)
    assert finding.check == "row_nan"
    assert "x_train" in finding.message
    assert "row 7" in finding.message


def test_label_present_refuses_a_split_without_a_class(good):
    (finding,) = find_violations(replace(good, y_eval=np.zeros_like(good.y_eval)), DATA)
    assert (finding.check, finding.message) == ("label_present", "y_eval has no row of class dog")


def test_row_in_both_refuses_and_names_the_eval_row(good):
    (finding,) = find_violations(replace(good, x_eval=changed(good.x_eval, 5, good.x_train[0])), DATA)
    assert finding.check == "row_in_both"
    assert "row 5" in finding.message


def test_a_long_list_of_rows_is_counted(good):
    (finding,) = find_violations(replace(good, x_train=good.x_train + 2), DATA)
    assert finding.message.endswith("and 30 more")
