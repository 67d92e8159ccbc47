"""One numeric metric over a run as the coordinates of a small SVG line chart."""

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from modelgate_server.web import words

WIDTH, HEIGHT = 320, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 18
# More points than a chart is wide cannot be told apart.
MAX_POINTS = 300
# A run may log thousands of keys; a page of thousands of charts helps nobody.
MAX_CHARTS = 60
DOTS_UP_TO = 30
# Each key is compared with each rule. Those that come later have no effect on the page.
MAX_RULES = 300
# Keys of which points are kept; the charts are those of the first of them in the order of the alphabet.
MAX_KEYS = 2_000


@dataclass(frozen=True)
class Chart:
    """`line` and `dots` are in the SVG's own units; `points` is [[x, y, x value, y value], ...] in JSON."""

    key: str
    axis: str
    line: str
    dots: list[tuple[float, float]]
    low: float
    high: float
    first: float
    last: float
    value: float
    points: str


def of_run(rows: Iterable[dict[str, Any]], config: dict[str, Any]) -> list[Chart]:
    """A chart of each metric that has two finite values or more."""
    series: dict[str, list[tuple[float, float]]] = {}
    axes = _axes(config)
    steps = set(axes.values())
    axis_of: dict[str, str] = {}
    for index, row in enumerate(rows):
        values = words.numbers(row)
        for key, value in values.items():
            if key in steps or not words.is_finite(value):
                continue
            if key not in axis_of:
                if len(axis_of) == MAX_KEYS:
                    continue
                axis_of[key] = _axis_of(key, axes)
            x = values.get(axis_of[key], row.get("_step"))
            series.setdefault(key, []).append((x if words.is_finite(x) else index, value))
    kept = [key for key in sorted(series) if len(series[key]) > 1][:MAX_CHARTS]
    return [chart(key, axis_of[key], series[key]) for key in kept]


def chart(key: str, axis: str, values: list[tuple[float, float]]) -> Chart:
    """values: (x, y), all finite, at least one."""
    picked = _spread(values)
    xs, ys = [x for x, _ in picked], [y for _, y in picked]
    low, high = min(ys), max(ys)
    places = [
        (_scaled(x, min(xs), max(xs), LEFT, WIDTH - RIGHT), _scaled(y, low, high, HEIGHT - BOTTOM, TOP))
        for x, y in picked
    ]
    points = [[px, py, words.number(x), words.number(y)] for (px, py), (x, y) in zip(places, picked, strict=True)]
    return Chart(
        key=key,
        axis=axis.rpartition("/")[2].removeprefix("_"),
        line=" ".join(f"{x},{y}" for x, y in places),
        dots=places if len(places) <= DOTS_UP_TO else [],
        low=low,
        high=high,
        first=min(xs),
        last=max(xs),
        value=values[-1][1],
        points=json.dumps(points),
    )


def _spread(values: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most MAX_POINTS, evenly, both ends among them."""
    if len(values) <= MAX_POINTS:
        return values
    stride = (len(values) - 1) / (MAX_POINTS - 1)
    return [values[round(i * stride)] for i in range(MAX_POINTS)]


def _scaled(value: float, low: float, high: float, start: float, end: float) -> float:
    """`low` to `start` and `high` to `end`; a flat line lies in the middle."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(start + share * (end - start), 1)


def _axes(config: dict[str, Any]) -> dict[str, str]:
    """Name or pattern of a metric -> the metric it is drawn over, as `define_metric` left it in the config."""
    wandb = config.get("_wandb")
    value = wandb.get("value") if isinstance(wandb, dict) else None
    defined = value.get("m") if isinstance(value, dict) else None
    rules = [rule for rule in defined[:MAX_RULES] if isinstance(rule, dict)] if isinstance(defined, list) else []
    found = {}
    for rule in rules:
        # The wire's field numbers: 1 name, 2 pattern, 5 position of the step metric, counted from one.
        pattern, position = rule.get("1") or rule.get("2"), rule.get("5")
        if isinstance(pattern, str) and isinstance(position, int) and 0 < position <= len(rules):
            found[pattern] = str(rules[position - 1].get("1", "_step"))
    return found


def _axis_of(key: str, axes: dict[str, str]) -> str:
    return next((axis for pattern, axis in axes.items() if fnmatch.fnmatchcase(key, pattern)), "_step")
