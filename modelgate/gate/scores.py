"""Hold what models answered to the rows of an eval set, for every rule, metric and chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

# Classification: float32 (N, classes), probabilities. Regression: float64 (N,).
Answers = npt.NDArray[Any]
# Classification: int64 (N,), class indices. Regression: float64 (N,).
Targets = npt.NDArray[Any]
Losses = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

REGRESSION = "tabular-regression"  # the only task whose answers are numbers


@dataclass(frozen=True)
class Pair:
    """The same array for both models, (N,) each; production is None if there is none yet."""

    candidate: npt.NDArray[Any]
    production: npt.NDArray[Any] | None


@dataclass(frozen=True)
class Scores:
    """
    What the models answered to each row of the eval set.

    targets: the truth. candidate, production: answers; production is None if there is none yet. rows: how many rows the
    eval set has. seen: indices of eval rows that are also training rows. near: how many more are nearly one.
    training_known: whether the training rows of the candidate are known. was_in_production: whether the candidate was
    in production before, according to the ledger. classes: their names by index; if empty, the index is the name.
    slices: for each column that the use case names, the group of each row: integers (N,). groups: the names of a
    column's groups, by number; without an entry, the numbers are the names. varied: the answers to varied rows whose
    truth is unchanged, by variation; classification: the class, int64 (N,); regression: float64 (N,). own: the values
    of the use case's own metric, one per row, float64 (N,).
    """

    targets: Targets
    candidate: Answers
    production: Answers | None
    rows: int
    seen: tuple[int, ...]
    task: str = "image-classification"
    near: int = 0
    training_known: bool = True
    was_in_production: bool = False
    classes: tuple[str, ...] = ()
    slices: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    varied: Mapping[str, Pair] = field(default_factory=dict)
    own: Pair | None = None

    @property
    def is_regression(self) -> bool:
        """Return whether answers are numbers, not classes."""
        return self.task == REGRESSION

    @property
    def own_candidate(self) -> Losses | None:
        """Return the candidate's values of the use case's own metric."""
        return self.own.candidate if self.own else None

    @property
    def own_production(self) -> Losses | None:
        """Production's."""
        return self.own.production if self.own else None

    def get_class_name(self, index: int) -> str:
        """Return the name of a class for people."""
        return _name(self.classes, index)

    def group_name(self, column: str, number: int) -> str:
        """Return the name of a group of rows for people."""
        return f"{column} {_name(self.groups.get(column, ()), number)}"


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
