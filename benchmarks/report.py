"""Format the results of a measurement as lines for the terminal and for docs/reference/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Line(NamedTuple):
    """`met` is None if there is no target."""

    label: str
    figure: str
    target: str = ""
    met: bool | None = None


class Report(NamedTuple):
    title: str
    lines: list[Line]


def get_column(samples: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(sample[name]) for sample in samples]


def format_values(values: Sequence[float], unit: str = "s", digits: int = 1) -> str:
    """Return `12.3 s (11.9 to 14.0)`, or `12.3 s` for a single value."""
    median = statistics.median(values)
    spread = f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})" if len(values) > 1 else ""
    return f"{median:,.{digits}f} {unit}{spread}"


def compute_ratio(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the ratio of each repetition."""
    return [value / other for value, other in zip(values, others, strict=True)]


def expect_under(label: str, values: Sequence[float], limit: float, unit: str, digits: int = 1) -> Line:
    """Return a line whose median must stay under a limit."""
    met = statistics.median(values) < limit
    return Line(label, format_values(values, unit, digits), f"under {limit:g} {unit}", met)


def expect_at_least(label: str, values: Sequence[float], limit: float, unit: str, digits: int = 1) -> Line:
    met = statistics.median(values) >= limit
    return Line(label, format_values(values, unit, digits), f"at least {limit:g} {unit}", met)


def expect_at_most(label: str, values: Sequence[float], limit: float, unit: str, digits: int = 1) -> Line:
    met = statistics.median(values) <= limit
    return Line(label, format_values(values, unit, digits), f"at most {limit:g} {unit}", met)


def to_text(report: Report) -> str:
    rows = [f"  {line.label:<38}{line.figure:<32}{_format_outcome(line)}".rstrip() for line in report.lines]
    return "\n".join([f"\n{report.title}", *rows])


def to_markdown(report: Report) -> str:
    head = [f"\n**{report.title}**\n", "| what | measured | target | |", "|---|---|---|---|"]
    outcome = {None: "", True: "met", False: "**missed**"}
    rows = [f"| {line.label.strip()} | {line.figure} | {line.target} | {outcome[line.met]} |" for line in report.lines]
    return "\n".join([*head, *rows])


def is_met(reports: Sequence[Report]) -> bool:
    return all(line.met is not False for report in reports for line in report.lines)


def _format_outcome(line: Line) -> str:
    return "" if line.met is None else f"target {line.target}: {'met' if line.met else 'MISSED'}"
