"""An evaluation as W&B Tables and charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wandb

from modelgate.gate import metrics, report
from modelgate.gate.scores import Scores


def of(scores: Scores) -> dict[str, Any]:
    """What the evaluation's run shows: accuracy per class, the confusion matrix, reliability."""
    columns: list[str | int] = ["class", "rows", "candidate", "production"]
    return {
        "eval/per_class": wandb.Table(columns=columns, data=report.per_class(scores)),
        "eval/confusion_matrix": wandb.plot.confusion_matrix(
            y_true=scores.labels.tolist(),
            preds=scores.candidate.argmax(axis=1).tolist(),
            class_names=[str(label) for label in range(scores.candidate.shape[1])],
            title="Confusion matrix",
        ),
        "eval/reliability": reliability(scores),
    }


def predictions(scores: Scores, pictures: Callable[[int], Any]) -> wandb.Table:
    """One line a row: the truth, both answers, how sure the candidate was, and the image where it was wrong."""
    table = wandb.Table(columns=["row", "label", "answer", "confidence", "correct", "production_answer", "mistake"])
    answers = scores.candidate.argmax(axis=1)
    theirs = [None] * len(answers) if scores.production is None else scores.production.argmax(axis=1).tolist()
    for row, (label, answer) in enumerate(zip(scores.labels.tolist(), answers.tolist(), strict=True)):
        mistake = None if label == answer else wandb.Image(pictures(row))
        confidence = float(scores.candidate[row].max())
        table.add_data(row, label, answer, confidence, label == answer, theirs[row], mistake)
    return table


def reliability(scores: Scores) -> Any:
    """How often the candidate is right, by how sure it is."""
    columns: list[str | int] = ["up_to", "rows", "confidence", "correct"]
    table = wandb.Table(
        columns=columns, data=[list(row) for row in metrics.reliability(scores.labels, scores.candidate)]
    )
    return wandb.plot.line(table, "confidence", "correct", title="Reliability")


def confusion(scores: Scores) -> wandb.Table:
    """Rows: truth; columns: answer of the candidate."""
    counts = metrics.confusion(scores.labels, scores.candidate)
    columns: list[str | int] = ["label", *(str(label) for label in range(len(counts)))]
    return wandb.Table(columns=columns, data=[[label, *row] for label, row in enumerate(counts.tolist())])
