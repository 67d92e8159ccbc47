"""Numbers that are made of answers: accuracy, loss, confusion, calibration, and which rows two models differ in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from modelgate.gate.scores import Labels, Marks, Probabilities

_SMALLEST = 1e-7  # a probability of 0 would make the loss infinite; Keras clips at the same value
CALIBRATION_BINS = 10


def correct(labels: Labels, probabilities: Probabilities) -> Marks:
    """Which rows are answered rightly: bool (N,)."""
    answer: Marks = probabilities.argmax(axis=1) == labels
    return answer


def losses(labels: Labels, probabilities: Probabilities) -> npt.NDArray[np.float32]:
    """What each row takes from the accuracy: 1 where the answer is wrong, else 0; float32 (N,)."""
    return (~correct(labels, probabilities)).astype(np.float32)


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """The fraction of rows answered rightly, 0 to 1."""
    return float(correct(labels, probabilities).mean())


def loss(labels: Labels, probabilities: Probabilities) -> float:
    """The cross-entropy, in nats per row."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(of_truth, _SMALLEST, 1)).mean())


def confusion(labels: Labels, probabilities: Probabilities) -> Labels:
    """How often a row of class i was called j: int64 (classes, classes)."""
    classes = probabilities.shape[1]
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def mistakes(labels: Labels, probabilities: Probabilities) -> list[tuple[int, int, int]]:
    """Which class was taken for which, the most frequent first: truth, answer, rows."""
    counts = confusion(labels, probabilities)
    np.fill_diagonal(counts, 0)
    pairs = [(truth, answer, int(counts[truth, answer])) for truth, answer in np.argwhere(counts).tolist()]
    return sorted(pairs, key=lambda pair: -pair[2])


def reliability(labels: Labels, probabilities: Probabilities) -> list[tuple[float, int, float, float]]:
    """For each bin of confidence that has rows: its upper edge, rows, mean confidence, fraction right."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    answered = correct(labels, probabilities)
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int), 1, CALIBRATION_BINS)
    return [
        (number / CALIBRATION_BINS, int(here.sum()), float(confidence[here].mean()), float(answered[here].mean()))
        for number in range(1, CALIBRATION_BINS + 1)
        if (here := bins == number).any()
    ]


def calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """The expected calibration error, a fraction: the mean gap between confidence and accuracy, weighted by rows."""
    table = reliability(labels, probabilities)
    return sum(rows * abs(confidence - answered) for _, rows, confidence, answered in table) / len(labels)


def regressed_and_improved(production_correct: Marks, candidate_correct: Marks) -> tuple[int, int]:
    """How many rows only production has right, and how many only the candidate has."""
    return int((production_correct & ~candidate_correct).sum()), int((~production_correct & candidate_correct).sum())
