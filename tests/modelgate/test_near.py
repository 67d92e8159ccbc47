"""
Which eval rows are near-duplicates of a training row: an edited copy is one, another row is not.

    pytest tests/modelgate/test_near.py
    pytest tests/modelgate/test_near.py -m prove    60,000 training images and 10,000 others
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from modelgate.rows import near


def images(count, seed, shape=(28, 28, 1)):
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (33, 17, 3)])
def test_an_image_that_was_touched_up_is_near(shape):
    train, others = images(300, 0, shape), images(50, 1, shape)
    changed = train[:50].copy()
    changed[:, 3, 3] += 1 / 16  # one pixel
    noisy = np.clip(train[50:100] + np.random.default_rng(2).normal(0, 0.01, (50, *shape)), 0, 1).astype(np.float32)
    is_near = near.find(np.concatenate([changed, noisy, others]), train)
    assert is_near.tolist() == [True] * 100 + [False] * 50


@pytest.mark.parametrize(("distance", "is_near"), [(0.9, True), (1.1, False)])
def test_the_distance_is_the_stated_one(distance, is_near):
    train = np.full((1, 28, 28, 1), 0.5, np.float32)
    away = train + np.float32(distance * near.IMAGE_DISTANCE)
    assert near.find(away, train).tolist() == [is_near]


def test_near_by_averages_alone_is_not_near():
    """The averages of the blocks are equal, and the images are not."""
    board = np.indices((32, 32)).sum(axis=0)[..., None] % 2
    assert near.find(board[None].astype(np.float32), (1 - board)[None].astype(np.float32)).tolist() == [False]


@pytest.mark.parametrize("train", [images(0, 0), images(3, 0, (8, 8, 1))])
def test_images_of_another_size_are_not_near(train):
    assert near.find(images(2, 0), train).tolist() == [False, False]


def test_no_eval_rows_are_near_nothing():
    assert near.find(images(0, 0), images(3, 0)).tolist() == []


def test_many_copies_of_one_image_take_no_time():
    image = images(1, 0)
    began = time.process_time()
    assert near.find(np.repeat(image, 600, axis=0), np.repeat(image, 3000, axis=0)).all()
    assert time.process_time() - began < 10


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_whole_data_set_takes_seconds():
    train, others = images(60_000, 0), images(10_000, 1)
    others[:7] = train[:7] + np.float32(0.005)
    began = time.process_time()
    assert np.flatnonzero(near.find(others, train)).tolist() == list(range(7))
    assert time.process_time() - began < 60


@pytest.mark.parametrize(
    ("text", "is_near"),
    [
        ("Hello,  WORLD!", True),
        ("hello world", True),
        ("\uff28ello world", True),
        ("hello worlds", False),
        ("world hello", False),
    ],
)
def test_a_text_with_the_same_words_is_near(text, is_near):
    assert near.find([text], ["Hello world.", "other"]).tolist() == [is_near]


@pytest.mark.parametrize(
    ("row", "is_near"),
    [
        ((123.4, "a", 1), True),
        ((123.3999, "a", 1), True),
        ((124.6, "a", 1), False),
        ((-123.4, "a", 1), False),
        ((12.34, "a", 1), False),
        ((123.4, "b", 1), False),
        ((123.4, "a", 2), False),
    ],
)
def test_a_row_of_a_table_that_agrees_to_three_digits_is_near(row, is_near):
    columns = {"x": float, "name": object, "count": int}
    train = pd.DataFrame([(123.4, "a", 1), (0.0, "c", 3), (np.nan, "d", 4)], columns=list(columns)).astype(columns)
    rows = pd.DataFrame([row], columns=list(columns)).astype(columns)
    assert near.find(rows, train).tolist() == [is_near]
    assert near.find(train, train).all()
    assert not near.find(rows, train.rename(columns={"x": "y"})).any()
    assert not near.find(rows, [""]).any()
