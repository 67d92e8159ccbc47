"""Format numbers of a metric for people: differences of fractions in points, others in the metric's own unit."""

from __future__ import annotations

import math

import numpy as np

from modelgate.gate.comparison import Difference
from modelgate.gate.metrics import Metric

# The metrics that all evidence has, with their units.
LABELS = {
    "accuracy": "accuracy (fraction)",
    "loss": "loss (nats per row)",
    "calibration_error": "calibration error (fraction)",
    "latency_ms": "latency (ms per row)",
    "size_bytes": "size (bytes)",
}


def format_values(metric: Metric, compared: Difference) -> str:
    """Format both models' values."""
    return f"{metric.title} {compared.ours:.4f} against production's {compared.theirs:.4f}"


def drop(metric: Metric) -> str:
    """Return the word for a change for the worse."""
    return "rise" if metric.error else "drop"


def format_amount(metric: Metric, difference: float) -> str:
    """Format a difference in detail."""
    return f"{100 * difference:.2f} points" if metric.fraction else f"{difference:.4g}"


def format_short(metric: Metric, difference: float) -> str:
    """Format a difference for the first line."""
    if metric.fraction:
        return format_points(difference)
    return np.format_float_positional(difference, precision=3, fractional=False, trim="-")


def format_points(fraction: float) -> str:
    """Format a difference of fractions."""
    value = 100 * fraction
    number = f"{value:.1f}" if abs(value) >= 0.1 or not value else f"{value:.1g}"
    return f"{number} point{'' if number == '1.0' else 's'}"


def format_number(value: float | None) -> str:
    """Format a metric's value; a dash if there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def change(ours: float | None, theirs: float | None) -> str:
    """Format the candidate's value minus production's."""
    return "-" if ours is None or theirs is None else f"{ours - theirs:+.4f}"
