"""Get models' answers to the rows of an eval set, and compute numbers from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from modelgate import usecase
from modelgate.answering import Model
from modelgate.errors import WRONG_USE, StepError
from modelgate.gate import comparison as differences
from modelgate.gate import leakage
from modelgate.gate import metrics as measures
from modelgate.gate.policy import Policy
from modelgate.gate.scores import REGRESSION, Pair, Scores
from modelgate.rows.dataset import Rows
from modelgate.text import to_line

FIRST_ROWS = 256  # for a first call, which is not timed because it compiles
# A column of a table with at most this many values gives a group of rows per value; at most this many columns do.
MAX_VALUES, MAX_COLUMNS = 20, 20


class Predictions(NamedTuple):
    """
    One model's answers to the eval rows, and what they took.

    answers: classification float32 (N, classes), probabilities; regression float64 (N,). varied: by variation, the
    class, int64 (N,), or the number. latency_ms: milliseconds per row, in batches. size_bytes: of the model's file.
    """

    answers: Any
    varied: dict[str, Any]
    latency_ms: float
    size_bytes: int


class Subject(NamedTuple):
    """
    What a use case says about its answers and its rows.

    classes: their names by index. behaviour: its behaviour.py, if it has one. own: its own metric, one number per row,
    if the policy names it.
    """

    task: str
    classes: tuple[str, ...]
    behaviour: ModuleType | None
    own: Callable[[Any, Any], Any] | None

    @classmethod
    def load(cls, task: str, metric: str, data: ModuleType, behaviour: ModuleType | None) -> Subject:
        """Build it from the parts of the use case."""
        classes = () if task == REGRESSION else tuple(str(name) for name in data.CLASSES)
        return cls(task, classes, behaviour, None if metric in measures.METRICS else getattr(behaviour, metric))

    def vary(self, x: Any) -> dict[str, Any]:
        """Return varied rows whose truth is unchanged, by name."""
        if self.behaviour is None or not hasattr(self.behaviour, "variations"):
            return {}
        with _report_errors(self.behaviour):
            return dict(self.behaviour.variations(x))

    def list_slices(self, rows: Rows) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
        """Return the groups that the use case names, and the categories of a table: numbers (N,), and their names."""
        own, numbers, names = {}, {}, {}
        if self.behaviour is not None and hasattr(self.behaviour, "slices"):
            with _report_errors(self.behaviour):
                own = dict(self.behaviour.slices(rows.x, rows.y))
        for column, groups in (_find_categories(rows.x) | own).items():
            if np.asarray(groups).dtype.kind in "iu":
                numbers[column] = groups
            else:
                categories, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
                numbers[column], names[column] = codes.astype(np.int16), tuple(categories.tolist())
        return numbers, names


@contextmanager
def _report_errors(behaviour: ModuleType) -> Iterator[None]:
    """Turn what a use case's behaviour.py raises into one sentence and exit code 2."""
    try:
        yield
    except Exception as error:
        message = to_line(f"{usecase.locate_error(behaviour, error)}: {type(error).__name__}: {error}")
        hint = "fix behaviour.py, or the rows that it cannot handle"
        raise StepError("behaviour_failed", message, hint, WRONG_USE) from error


def _find_categories(x: Any) -> dict[str, Any]:
    """Return the columns of a table that have few values and are not fractions, at most MAX_COLUMNS."""
    few = [name for name in getattr(x, "columns", ()) if _is_category(x[name])]
    return {str(name): _convert_text(x[name]) for name in few[:MAX_COLUMNS]}


def _is_category(series: Any) -> bool:
    return bool(series.dtype.kind != "f" and series.nunique(dropna=False) <= MAX_VALUES)


def list_columns(x: Any) -> dict[str, Any]:
    """Return the columns of a table as arrays: numbers as float64 or int64, all else as text; empty for other kinds of
    rows.
    """
    return {str(name): _convert_column(x[name]) for name in getattr(x, "columns", ())}


def _convert_column(series: Any) -> Any:
    if series.dtype.kind in "iu" and not series.isna().any():
        return series.to_numpy(dtype=np.int64)
    if series.dtype.kind in "iuf":
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return _convert_text(series)


def _convert_text(series: Any) -> Any:
    return series.astype(object).where(series.notna(), "missing").astype(str).to_numpy(dtype=str)


def find_leaking(rows: Rows) -> tuple[str, ...]:
    """Return a line for each column of a table that predicts the target by itself."""
    chosen = leakage.sample(len(rows.y))
    return leakage.find_leaks(list_columns(take(rows.x, chosen)), rows.y[chosen]) if hasattr(rows.x, "columns") else ()


def ask(model: Model, size_bytes: int, rows: Any, variations: dict[str, Any]) -> Predictions:
    """
    Get a model's answers.

    size_bytes: of its file. rows, variations: x of the eval rows, as they are and varied.
    """
    model.ask(rows[:FIRST_ROWS])
    began = time.perf_counter()
    answers = model.ask(rows)
    latency_ms = 1000 * (time.perf_counter() - began) / len(rows)
    varied = {name: _name_classes(model.ask(changed)) for name, changed in variations.items()}
    return Predictions(answers, varied, latency_ms, size_bytes)


def _name_classes(answers: Any) -> Any:
    """Return the answered classes, or the numbers."""
    return measures.pick_classes(answers) if answers.ndim == 2 else answers


def take(x: Any, chosen: Any) -> Any:
    """Return the chosen rows, of any kind. chosen: int64, their indices."""
    if isinstance(x, list):
        return [x[row] for row in chosen]
    return x.iloc[chosen] if hasattr(x, "iloc") else x[chosen]


def compare(
    subject: Subject,
    rows: Rows,
    candidate: Predictions,
    production: Predictions | None,
    seen: tuple[int, ...],
    chosen: Any = slice(None),
) -> Scores:
    """
    Combine both models' answers.

    seen: the eval rows that the candidate was trained on. chosen: the rows that the answers are for, if not all.
    """
    targets = rows.y[chosen]
    slices, groups = subject.list_slices(rows)
    return Scores(
        targets=targets,
        candidate=candidate.answers,
        production=production and production.answers,
        rows=len(targets),
        seen=seen,
        task=subject.task,
        classes=subject.classes,
        slices={name: numbers[chosen] for name, numbers in slices.items()},
        groups=groups,
        varied={
            name: Pair(answers, production and production.varied[name]) for name, answers in candidate.varied.items()
        },
        own=subject.own and _measure_own(subject.own, targets, candidate, production),
    )


def _measure_own(
    own: Callable[[Any, Any], Any], targets: Any, candidate: Predictions, production: Predictions | None
) -> Pair:
    return Pair(
        _compute_own(own, targets, candidate.answers), production and _compute_own(own, targets, production.answers)
    )


def _compute_own(own: Callable[[Any, Any], Any], targets: Any, answers: Any) -> Any:
    values = np.asarray(own(targets, answers), dtype=np.float64)
    if values.shape != (len(targets),):
        raise StepError(
            "metric_not_per_row",
            f"{own.__name__} of behaviour.py gave an array of shape {values.shape} for {len(targets)} rows",
            "return one number per row: their mean is the metric",
            WRONG_USE,
        )
    return values


def measure(scores: Scores, policy: Policy, answers: Predictions, own: Any) -> dict[str, Any]:
    """
    Return a model's metrics in the form of evidence; None if not finite, or of another task.

    accuracy and calibration_error (fractions), loss (nats per row), latency_ms, size_bytes; other: for a regression
    within_tolerance (a fraction) and the errors, and the policy's metric. own: its values, if it is the use case's own.
    """
    if len(answers.answers) != len(scores.targets):
        return dict.fromkeys(("accuracy", "loss", "calibration_error", "latency_ms", "size_bytes")) | {"other": {}}
    values: dict[str, Any] = {"latency_ms": answers.latency_ms, "size_bytes": answers.size_bytes}
    targets, predicted = scores.targets, answers.answers
    other_names = {policy.metric} - {"accuracy", "log_loss"}
    with np.errstate(invalid="ignore", over="ignore"):
        if scores.is_regression:
            values |= dict.fromkeys(("accuracy", "loss", "calibration_error"))
            other_names |= {"within_tolerance", "mean_absolute_error", "mean_squared_error"}
        else:
            values |= {
                "accuracy": measures.compute_accuracy(targets, predicted),
                "loss": measures.compute_loss(targets, predicted),
                "calibration_error": measures.compute_calibration_error(targets, predicted),
            }
        other = {
            name: measures.compute_value(targets, predicted, replace(policy, metric=name), own)
            for name in sorted(other_names)
        }
    return {name: _keep_finite(value) for name, value in values.items()} | {
        "other": {name: _keep_finite(value) for name, value in other.items()}
    }


def _keep_finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def describe_comparison(scores: Scores, policy: Policy, drops_before: float) -> dict[str, Any] | None:
    """
    Return what a person should know about a comparison that passes; None if there is nothing to compare with.

    drop: production's value minus the candidate's, or for an error the reverse: above 0 is worse. shown: how much of
    it, or of the gain, the rows show with 95 % confidence, by the bound and the test that the gate itself uses; 0 if
    they show neither. smallest_drop: what `no_worse` would refuse four times out of five on rows like these.
    drops_since_first: the sum of all drops by this metric since the first promotion, including this one. rows_needed:
    see `modelgate.gate.comparison`. In the metric's own unit.
    """
    compared = differences.compute_difference(scores, policy)
    if compared is None:
        return None
    return {
        "drop": compared.drop,
        "shown": compared.shown,
        "smallest_drop": differences.find_smallest_drop(scores, policy, compared),
        "drops_since_first": drops_before + compared.drop,
        "rows_needed": differences.count_rows_needed(scores, policy, compared),
    }
