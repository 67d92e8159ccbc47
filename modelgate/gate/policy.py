"""What a candidate has to reach: the policy, its metric, and the limits in the metric's own unit."""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("no_worse", "better", "non_inferior", "rollback")


@dataclass(frozen=True)
class Policy:
    """
    The limits, in the metric's own unit.

    at_least, at_most: what the metric's bound must reach; one of them is set, and says whether more or less is better.
    margin: how far below production is still no worse; or margin_relative, the same as a fraction of production's
    value. metric: a name in `modelgate.gate.metrics`, or of a function in the use case's behaviour.py.
    tolerance: regression, how far an answer may be off to count as right. quantile: what the pinball loss is of.
    """

    name: str
    at_least: float | None
    margin: float | None
    at_most: float | None = None
    margin_relative: float | None = None
    metric: str = "accuracy"
    tolerance: float | None = None
    quantile: float | None = None

    def allowed(self, production: float) -> float:
        """The margin, next to production's value."""
        if self.margin_relative is not None:
            return self.margin_relative * abs(production)
        return self.margin or 0.0
