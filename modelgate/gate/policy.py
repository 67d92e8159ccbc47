"""Define what a candidate must reach: the policy, its metric, and the limits in the metric's own unit."""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("no_worse", "better", "non_inferior", "rollback")


@dataclass(frozen=True)
class Policy:
    """
    The limits, in the metric's own unit.

    at_least, at_most: the limit for the metric's bound. One of them is set, and says whether more or less is better.
    margin: how far below production still counts as no worse; or margin_relative, the same as a fraction of
    production's value. metric: a name in `modelgate.gate.metrics`, or of a function in the use case's behaviour.py.
    tolerance: for a regression, how far off an answer may be to count as right. quantile: the quantile of the pinball
    loss.
    """

    name: str
    at_least: float | None
    margin: float | None
    at_most: float | None = None
    margin_relative: float | None = None
    metric: str = "accuracy"
    tolerance: float | None = None
    quantile: float | None = None

    def compute_margin(self, production: float) -> float:
        """Return the margin for this value of production."""
        if self.margin_relative is not None:
            return self.margin_relative * abs(production)
        return self.margin or 0.0
