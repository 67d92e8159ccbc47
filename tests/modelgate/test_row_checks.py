"""
The checks of a dataset's rows: each passes on good rows, and refuses the defect it is named for.

    pytest tests/modelgate/test_row_checks.py
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from modelgate.rows.dataset import Dataset
from modelgate.rows.image_checks import violations

SHAPE = (4, 4, 1)
DATA = SimpleNamespace(CLASSES=("cat", "dog"), SHAPE=SHAPE)


@pytest.fixture
def good():
    images = np.random.default_rng(0).random((60, *SHAPE), dtype=np.float32)
    labels = np.arange(60, dtype=np.int64) % 2
    return Dataset(images[:40], labels[:40], images[40:], labels[40:])


def checks(dataset):
    return [finding.check for finding in violations(dataset, DATA)]


def changed(array, row, value):
    copy = array.copy()
    copy[row] = value
    return copy


def test_good_rows_have_no_violation(good):
    assert checks(good) == []


def test_row_shape_refuses_images_of_another_size(good):
    assert checks(replace(good, x_eval=good.x_eval[:, :3])) == ["row_shape"]


def test_label_dtype_refuses_more_images_than_labels(good):
    assert checks(replace(good, y_train=good.y_train[:-1])) == ["label_dtype"]


@pytest.mark.parametrize("classes", [("cat", "cat"), ("cat",), ()])
def test_class_names_refuses_classes_that_cannot_be_told_apart(good, classes):
    found = violations(good, SimpleNamespace(CLASSES=classes, SHAPE=SHAPE))
    assert [finding.check for finding in found] == ["class_names"]


def test_row_shape_refuses_an_empty_split(good):
    assert "row_shape" in checks(replace(good, x_eval=good.x_eval[:0], y_eval=good.y_eval[:0]))


def test_row_dtype_refuses_other_floats(good):
    assert checks(replace(good, x_train=good.x_train.astype(np.float64))) == ["row_dtype"]


def test_label_dtype_refuses_other_integers(good):
    assert checks(replace(good, y_train=good.y_train.astype(np.uint8))) == ["label_dtype"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_row_nan_refuses_and_names_the_row(good, value):
    (finding, *_) = violations(replace(good, x_train=changed(good.x_train, 7, value)), DATA)
    assert finding.check == "row_nan"
    assert "x_train" in finding.message
    assert "row 7" in finding.message


@pytest.mark.parametrize("value", [-0.01, 1.01, 255])
def test_row_range_refuses_pixels_that_were_not_scaled(good, value):
    assert checks(replace(good, x_eval=changed(good.x_eval, 3, value))) == ["row_range"]


def test_label_known_refuses_a_label_that_is_no_class(good):
    assert checks(replace(good, y_eval=changed(good.y_eval, 3, 2))) == ["label_known"]
    assert checks(replace(good, y_eval=changed(good.y_eval, 3, -1))) == ["label_known"]


def test_label_present_refuses_a_split_without_a_class(good):
    (finding,) = violations(replace(good, y_eval=np.zeros_like(good.y_eval)), DATA)
    assert (finding.check, finding.message) == ("label_present", "y_eval has no row of class dog")


def test_row_in_both_refuses_and_names_the_eval_row(good):
    (finding,) = violations(replace(good, x_eval=changed(good.x_eval, 5, good.x_train[0])), DATA)
    assert finding.check == "row_in_both"
    assert "row 5" in finding.message


def test_a_long_list_of_rows_is_counted(good):
    (finding,) = violations(replace(good, x_train=good.x_train + 2), DATA)
    assert finding.message.endswith("and 30 more")
