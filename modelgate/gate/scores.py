"""What models said about the rows of an eval set: what every rule, metric and chart looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Varied:
    """What the models answer when the rows are varied in a way that leaves the truth as it is: int64 (N,) each."""

    candidate: Labels
    production: Labels | None


@dataclass(frozen=True)
class Scores:
    """
    What the models said about each row of the eval set.

    labels: int64 (N,), the truth. candidate, production: float32 (N, classes), probabilities; production is None when
    there is none yet. rows: how many rows the eval set has. seen: indices of eval rows that are also training rows.
    was_in_production: whether the ledger knows the candidate to have been in production.
    slices: for each column that the use case names, the group of each row, int64 (N,). varied: by variation.
    """

    labels: Labels
    candidate: Probabilities
    production: Probabilities | None
    rows: int
    seen: tuple[int, ...]
    was_in_production: bool = False
    slices: Mapping[str, Labels] = field(default_factory=dict)
    varied: Mapping[str, Varied] = field(default_factory=dict)
