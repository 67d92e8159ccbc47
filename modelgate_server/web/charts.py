"""
Compute line charts and histograms as SVG coordinates, with ticks at round numbers and a margin that fits the labels.

Without scripts, a page shows the SVG. If scripts run, charts.js replaces it with an interactive chart (uPlot) of the
same points.
"""

import fnmatch
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelgate_server.web import filters

WIDTH, HEIGHT = 360, 210
RIGHT, TOP, BOTTOM = 14, 10, 36
# The width of a digit in the labels of an axis, drawn at 11 px, in the widest font that a browser may use.
CHAR_PX = 7.0
# More points than the width of a chart cannot be distinguished.
MAX_POINTS = 300
# A run may log thousands of keys; a page of thousands of charts helps no one.
MAX_CHARTS = 60
# More lines than that cannot be distinguished, and there are this many colours.
MAX_LINES = 8
# Each key is compared with each rule. Later rules have no effect on the page.
MAX_RULES = 300
# Keys whose points are kept. The first of them in alphabetical order get the charts.
MAX_KEYS = 2_000
TICKS = 4
BINS = 30

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """`anchor` is SVG's: the part of the text that is at its place."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Line:
    """`points` are in the SVG's own units."""

    name: str
    points: list[tuple[float, float]]

    @property
    def path(self) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclass(frozen=True)
class Chart:
    """A chart of lines or dots. `data` is the same as JSON for charts.js."""

    title: str
    x: str
    y: str
    lines: list[Line]
    dots: bool
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    left: float
    data: str
    label: str


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram in the SVG's own units, with its range and count."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Histogram:
    title: str
    x: str
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    left: float
    label: str


def draw_chart(title: str, x: str, y: str, series: Mapping[str, Points], *, dots: bool = False) -> Chart | None:
    """
    Return None if there is nothing to draw. `series` maps names to finite (x, y), in the order in which they are
    connected.
    """
    kept = {name: _sample_points(points) for name, points in list(series.items())[:MAX_LINES] if points}
    if not kept:
        return None
    every = [point for points in kept.values() for point in points]
    x_low, x_high = min(x for x, _ in every), max(x for x, _ in every)
    y_low, y_high = min(y for _, y in every), max(y for _, y in every)
    x_marks, y_marks = choose_ticks(x_low, x_high), choose_ticks(y_low, y_high)
    left = _compute_margin(x_marks, y_marks)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = _scale(point[0], x_low, x_high, left, WIDTH - RIGHT)
        return across, _scale(point[1], y_low, y_high, HEIGHT - BOTTOM, TOP)

    last = "; ".join(f"{name or y}: last {filters.format_number(points[-1][1])}" for name, points in kept.items())
    return Chart(
        title=title,
        x=x,
        y=y,
        lines=[Line(name, [place(point) for point in points]) for name, points in kept.items()],
        dots=dots,
        x_ticks=[_make_tick(place((mark, y_low))[0], text) for mark, text in label_ticks(x_marks)],
        y_ticks=[Tick(place((x_low, mark))[1], text) for mark, text in label_ticks(y_marks)],
        left=left,
        data=json.dumps(
            {
                "title": title,
                "x": x,
                "y": y,
                "dots": dots,
                "series": [[name, [x for x, _ in points], [y for _, y in points]] for name, points in kept.items()],
            }
        ),
        label=f"{title}: {filters.format_number(y_low)} to {filters.format_number(y_high)} over {x}; {last}",
    )


def draw_histogram(title: str, x: str, edges: Sequence[float], counts: Sequence[float]) -> Histogram | None:
    """
    Return None if there is nothing to draw. `edges` has one item more than `counts`; they increase, and are finite.
    """
    if not counts or len(edges) != len(counts) + 1:
        return None
    top = max(*counts, 1)
    x_marks, y_marks = choose_ticks(edges[0], edges[-1]), choose_ticks(0, top)
    left = _compute_margin(x_marks, y_marks)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        start, end = (_scale(edge, edges[0], edges[-1], left, WIDTH - RIGHT) for edge in (low, high))
        y = _scale(count, 0, top, HEIGHT - BOTTOM, TOP)
        text = f"{filters.format_number(low)} to {filters.format_number(high)}: {filters.format_number(count)}"
        bars.append(Bar(start, y, max(round(end - start - 0.5, 1), 0.5), round(HEIGHT - BOTTOM - y, 1), text))
    return Histogram(
        title=title,
        x=x,
        bars=bars,
        x_ticks=[
            _make_tick(_scale(mark, edges[0], edges[-1], left, WIDTH - RIGHT), text)
            for mark, text in label_ticks(x_marks)
        ],
        y_ticks=[Tick(_scale(mark, 0, top, HEIGHT - BOTTOM, TOP), text) for mark, text in label_ticks(y_marks)],
        left=left,
        label=f"{title}: {filters.format_number(sum(counts))} values"
        f" from {filters.format_number(edges[0])} to {filters.format_number(edges[-1])}",
    )


def bin_values(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """Return the edges and counts of finite values. There must be at least one value."""
    low, high = min(values), max(values)
    if high == low:
        low, high = low - 0.5, high + 0.5
    bins = min(BINS, max(5, math.ceil(math.sqrt(len(values)))))
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    return [low + (high - low) * number / bins for number in range(bins + 1)], counts


def choose_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two, about TICKS of them; the two themselves if there are none in between."""
    if not high > low:
        return [low]
    rough = (high - low) / TICKS
    size = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else 0.0
    step = next((size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999), 0.0)
    if step <= 0 or not math.isfinite(step):
        return [low, high]
    first = math.ceil(low / step - 1e-9)
    marks = [round((first + number) * step, 12) if step > 1e-6 else (first + number) * step for number in range(12)]
    return [mark for mark in marks if mark <= high + step * 1e-9] or [low, high]


def label_ticks(marks: Sequence[float]) -> list[tuple[float, str]]:
    """Return each tick with its label, in as few digits as distinguish them."""
    texts = [filters.format_number(mark) for mark in marks]
    digits = 5
    while len(set(texts)) < len(set(marks)) and digits <= 17:
        texts, digits = [f"{mark:.{digits}g}" for mark in marks], digits + 1
    return list(zip(marks, texts, strict=True))


def draw_metrics(rows: Iterable[dict[str, Any]], axes: dict[str, str]) -> list[Chart]:
    """Return a chart of each metric that has at least two finite values. `axes` is what `read_axes` returns."""
    series: dict[str, Points] = {}
    steps = set(axes.values())
    axis_names: dict[str, str] = {}
    for index, row in enumerate(rows):
        values = filters.select_numbers(row)
        for key, value in values.items():
            if key in steps or not filters.is_finite(value):
                continue
            if key not in axis_names:
                if len(axis_names) == MAX_KEYS:
                    continue
                axis_names[key] = find_axis(key, axes)
            x = values.get(axis_names[key], row.get("_step"))
            series.setdefault(key, []).append((x if filters.is_finite(x) else index, value))
    kept = [key for key in sorted(series) if len(series[key]) > 1][:MAX_CHARTS]
    drawn = (draw_chart(key, shorten(axis_names[key]), key, {"": series[key]}) for key in kept)
    return [drawing for drawing in drawn if drawing is not None]


def shorten(axis: str) -> str:
    """Shorten "epoch/epoch" to "epoch", "_step" to "step"."""
    return axis.rpartition("/")[2].removeprefix("_")


def read_axes(config: dict[str, Any]) -> dict[str, str]:
    """
    Map the name or pattern of a metric to the metric that it is drawn over, as `define_metric` stored it in the config.
    """
    wandb = config.get("_wandb")
    value = wandb.get("value") if isinstance(wandb, dict) else None
    defined = value.get("m") if isinstance(value, dict) else None
    rules = [rule for rule in defined[:MAX_RULES] if isinstance(rule, dict)] if isinstance(defined, list) else []
    axes = {}
    for rule in rules:
        # The wire's field numbers: 1 name, 2 pattern, 5 position of the step metric, counted from one.
        pattern, position = rule.get("1") or rule.get("2"), rule.get("5")
        if isinstance(pattern, str) and isinstance(position, int) and 0 < position <= len(rules):
            axes[pattern] = str(rules[position - 1].get("1", "_step"))
    return axes


def find_axis(key: str, axes: dict[str, str]) -> str:
    return next((axis for pattern, axis in axes.items() if fnmatch.fnmatchcase(key, pattern)), "_step")


def _sample_points(values: Points) -> Points:
    """Return at most MAX_POINTS, evenly spread, including both ends."""
    if len(values) <= MAX_POINTS:
        return values
    stride = (len(values) - 1) / (MAX_POINTS - 1)
    return [values[round(i * stride)] for i in range(MAX_POINTS)]


def _compute_margin(x_marks: Sequence[float], y_marks: Sequence[float]) -> float:
    """Return room for every label at the left, and for half of the first label below, which extends beyond the axis."""
    beside = max(len(text) for _, text in label_ticks(y_marks)) * CHAR_PX + 12
    return round(max(beside, len(label_ticks(x_marks)[0][1]) * CHAR_PX / 2), 1)


def _make_tick(at: float, text: str) -> Tick:
    """Return a label of the lower axis that does not extend beyond the picture."""
    return Tick(at, text, "end" if at + len(text) * CHAR_PX / 2 > WIDTH else "middle")


def _scale(value: float, low: float, high: float, start: float, end: float) -> float:
    """Map `low` to `start` and `high` to `end`; a flat line is in the middle."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(start + share * (end - start), 1)
