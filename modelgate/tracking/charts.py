"""Show an evaluation as W&B Tables and charts that fit its task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import wandb

from modelgate.gate import metrics, report
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores

MAX_ROWS = 10_000  # rows of a table; the arrays of the evaluation have all rows
MAX_TEXT_CHARS = 2000


def draw(scores: Scores, policy: Policy) -> dict[str, Any]:
    """
    Return what the evaluation's run shows: the share of right answers by group, and by task: accuracy per class, the
    confusion matrix and reliability, or the answers against the truth and the largest errors.
    """
    groups = report.measure_groups(scores, policy)
    shown = {"eval/groups": _create_table(["group", "rows", "candidate", "production"], groups)} if groups else {}
    if scores.is_regression:
        points = [(float(scores.targets[row]), float(scores.candidate[row])) for row in sample(scores.rows)]
        table = _create_table(["truth", "answer"], points)
        return shown | {
            "eval/predicted_against_true": wandb.plot.scatter(table, "truth", "answer", title="Predicted against true"),
            "eval/worst_rows": _create_table(
                ["row", "truth", "candidate", "error", "production"], report.list_worst_rows(scores)
            ),
        }
    return shown | {
        "eval/per_class": _create_table(["class", "rows", "candidate", "production"], report.measure_classes(scores)),
        "eval/confusion_matrix": wandb.plot.confusion_matrix(
            y_true=scores.targets.tolist(),
            preds=metrics.pick_classes(scores.candidate).tolist(),
            class_names=[scores.get_class_name(label) for label in range(scores.candidate.shape[1])],
            title="Confusion matrix",
        ),
        "eval/reliability": draw_reliability(scores),
    }


def draw_predictions(scores: Scores, policy: Policy, x: Any, picture: Callable[[Any], Any] | None) -> wandb.Table:
    """
    Return a table with one line per row: the truth, both answers, whether the candidate is right, and the row itself.

    For a table, it has the row's columns; for texts, the text; for images, the image if the answer is wrong. x: the
    eval rows. picture: an image as uint8. Of more than MAX_ROWS rows, it has a sample, the same each time.
    """
    right, _ = metrics.mark_both_correct(scores, policy)
    rows = sample(scores.rows)
    columns = (_list_numbers if scores.is_regression else _list_classes)(scores, right, rows)
    if picture:
        columns["mistake"] = [None if right[row] else wandb.Image(picture(x[row])) for row in rows]
    else:
        columns |= (
            {"text": [x[row][:MAX_TEXT_CHARS] for row in rows]} if isinstance(x, list) else _list_columns(x, rows)
        )
    return _create_table(list(columns), list(zip(*columns.values(), strict=True)))


def sample(rows: int) -> list[int]:
    """Return the rows that a table shows: all, or at most MAX_ROWS, chosen evenly and the same each time."""
    if rows <= MAX_ROWS:
        return list(range(rows))
    chosen: list[int] = np.sort(np.random.default_rng(0).choice(rows, MAX_ROWS, replace=False)).tolist()
    return chosen


def _list_classes(scores: Scores, right: Any, rows: list[int]) -> dict[str, list[Any]]:
    def name_classes(answers: Any) -> list[Any]:
        if answers is None:
            return [None] * len(rows)
        names = [scores.get_class_name(int(label)) for label in answers[rows]]
        return [int(name) if name == str(label) else name for name, label in zip(names, answers[rows], strict=True)]

    theirs = None if scores.production is None else metrics.pick_classes(scores.production)
    return {
        "row": rows,
        "label": name_classes(scores.targets),
        "answer": name_classes(metrics.pick_classes(scores.candidate)),
        "confidence": scores.candidate[rows].max(axis=1).astype(float).tolist(),
        "correct": right[rows].tolist(),
        "production_answer": name_classes(theirs),
    }


def _list_numbers(scores: Scores, right: Any, rows: list[int]) -> dict[str, list[Any]]:
    theirs = scores.production
    return {
        "row": rows,
        "target": scores.targets[rows].tolist(),
        "answer": scores.candidate[rows].tolist(),
        "error": (scores.candidate - scores.targets)[rows].tolist(),
        "within_tolerance": right[rows].tolist(),
        "production_answer": [None] * len(rows) if theirs is None else theirs[rows].tolist(),
    }


def _list_columns(x: Any, rows: list[int]) -> dict[str, list[Any]]:
    """Return the columns of a table in W&B's types: numbers stay numbers, all else becomes text, and a missing value is
    null.
    """
    shown = x.iloc[rows]
    return {
        f"x_{name}": [
            None if missing else _convert(value)
            for value, missing in zip(shown[name].tolist(), shown[name].isna(), strict=True)
        ]
        for name in shown.columns
    }


def _convert(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) else str(value)[:MAX_TEXT_CHARS]


def draw_reliability(scores: Scores) -> Any:
    """Return how often the candidate is right, by its confidence."""
    table = _create_table(
        ["up_to", "rows", "confidence", "correct"], metrics.bin_reliability(scores.targets, scores.candidate)
    )
    return wandb.plot.line(table, "confidence", "correct", title="Reliability")


def draw_confusion(scores: Scores) -> wandb.Table:
    """Return rows: truth; columns: answer of the candidate."""
    counts = metrics.count_confusion(scores.targets, scores.candidate)
    names = [scores.get_class_name(label) for label in range(len(counts))]
    rows = [
        [name if name != str(label) else label, *row]
        for label, (name, row) in enumerate(zip(names, counts.tolist(), strict=True))
    ]
    return _create_table(["label", *names], rows)


def _create_table(columns: list[str], rows: Any) -> wandb.Table:
    names: list[str | int] = [*columns]
    return wandb.Table(columns=names, data=[list(row) for row in rows])
