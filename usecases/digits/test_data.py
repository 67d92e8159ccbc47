"""
The digits are scikit-learn's, each once, and there without a network.

    pytest usecases/digits
"""

from __future__ import annotations

import numpy as np
import pytest

from modelgate.rows.image_checks import find_violations
from usecases.digits import data as digits


def test_digits_are_there_without_a_network_and_pass_the_checks():
    rows = digits.load(1300, 497)
    assert rows.x_train.shape == (1300, 8, 8, 1)
    assert find_violations(rows, digits) == []


def test_digits_are_scikit_learns_each_once():
    from sklearn.datasets import load_digits

    rows = digits.load(1000, 797)
    ours = np.concatenate([rows.x_train, rows.x_eval])[..., 0] * 16
    labels = np.concatenate([rows.y_train, rows.y_eval])
    theirs = load_digits()
    assert sorted((image.tobytes(), label) for image, label in zip(ours.astype(int), labels, strict=True)) == sorted(
        (image.tobytes(), label) for image, label in zip(theirs.images.astype(int), theirs.target, strict=True)
    )


def test_too_many_rows_is_said_with_both_numbers():
    with pytest.raises(ValueError, match=r"1797 rows in all; asked for 1797 \+ 1"):
        digits.load(1797, 1)
