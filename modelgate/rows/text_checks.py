"""Check texts before anything is recorded. A refusal names its check."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from modelgate.rows import texts
from modelgate.rows.checks import (
    Finding,
    class_names,
    label_dtype,
    label_known,
    label_present,
    list_splits,
    name_rows,
    run_checks,
)
from modelgate.rows.dataset import Dataset, is_in_training

MAX_CHARS = 1_000_000  # of one text


def find_violations(dataset: Dataset, data: ModuleType, *, may_repeat: bool = False) -> list[Finding]:
    """
    Return everything that is wrong with the rows; empty if they may be recorded. Equal texts in one split are allowed.

    data: has the CLASSES. may_repeat: whether an eval text may equal a training text, which is natural for short ones.
    """
    return run_checks((class_names, text_dtype, label_dtype), dataset, data) or run_checks(
        (text_empty, text_length, text_encoding, label_known, label_present, *(() if may_repeat else (row_in_both,))),
        dataset,
        data,
    )


def text_dtype(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that each split is a list of at least one str."""
    for split, rows in list_splits(dataset):
        if not isinstance(rows.x, list) or not rows.x:
            yield f"x_{split} is a {type(rows.x).__name__}, not a list of at least one text"
        elif text := name_rows(np.array([not isinstance(item, str) for item in rows.x])):
            yield f"x_{split} has values that are not str in {text}"


def text_empty(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no text is empty."""
    for split, rows in list_splits(dataset):
        if text := name_rows(np.array([not item.strip() for item in rows.x])):
            yield f"x_{split} has empty texts in {text}"


def text_length(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no text is longer than a book."""
    for split, rows in list_splits(dataset):
        if text := name_rows(np.array([len(item) > MAX_CHARS for item in rows.x])):
            yield f"x_{split} has texts of more than {MAX_CHARS} characters in {text}"


def text_encoding(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that every text can be written as UTF-8: half of a surrogate pair is a sign of wrong decoding."""
    for split, rows in list_splits(dataset):
        if text := name_rows(np.array([any("\ud800" <= char <= "\udfff" for char in item) for item in rows.x])):
            yield f"x_{split} has lone surrogates, a sign of wrong decoding, in {text}"


def row_in_both(dataset: Dataset, _data: ModuleType) -> Iterator[str]:
    """Check that no text is in both splits: a model is not judged on what it has seen."""
    if text := name_rows(is_in_training(dataset.x_eval, dataset.x_train, texts.hash_rows)):
        hint = "if texts repeat naturally, set rows_may_repeat = true below [data] in config.toml"
        yield f"x_eval repeats texts of x_train in {text}; {hint}"
