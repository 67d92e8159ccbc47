"""
Draw the custom charts of `wandb.plot.*`. The SDK logs a table and, in the config, which of W&B's own presets draws
which of its columns (sdk: wandb/plot/*.py, plot/custom_chart.py). A custom preset exists only in W&B's app, so the page
shows the table instead.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from modelgate_server.web import charts, filters
from modelgate_server.web.charts import Chart, Histogram

MAX_PANELS = 30
# Rows that are read for one chart; `wandb.plot` itself keeps 10,000.
MAX_ROWS = 10_000
MAX_BARS = 40
MAX_CLASSES = 40
SHADES = 9

Rows = tuple[list[str], list[list[Any]]]


@dataclass(frozen=True)
class Bars:
    """[label, value, length in percent of the longest]"""

    label: str
    value: str
    rows: list[tuple[str, float, float]]
    left_out: int


@dataclass(frozen=True)
class Matrix:
    """Rows are the true classes, columns the predicted ones. Each cell has a count and a shade from 0 to SHADES."""

    names: list[str]
    rows: list[tuple[str, list[tuple[float, int]]]]


Drawn = Chart | Histogram | Bars | Matrix


@dataclass(frozen=True)
class Panel:
    """A custom chart, or the `reason` why there is none. `table` is the file with its rows."""

    key: str
    title: str
    table: str
    drawn: Drawn | None = None
    reason: str = ""

    @property
    def kind(self) -> str:
        """The macro that draws it: "chart", "histogram", "bars" or "matrix"."""
        return type(self.drawn).__name__.lower()


def draw_panels(config: dict[str, Any], summary: dict[str, Any], read: Callable[[str], Rows | str]) -> list[Panel]:
    """
    Return the custom charts of a run. `read` returns a table's columns and rows by its path, or says why it cannot.
    """
    wanted = list(_read_charts(config))[:MAX_PANELS]
    return [_draw_panel(key, settings, summary, read) for key, settings in wanted]


def list_table_keys(config: dict[str, Any]) -> set[str]:
    """Return the keys of tables in the summary that only belong to a custom chart."""
    return {_find_table_key(settings) for _, settings in _read_charts(config)}


def _read_charts(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    internal = _as_dict(_as_dict(config.get("_wandb")).get("value"))
    for key, panel in sorted(_as_dict(internal.get("visualize")).items()):
        settings = _as_dict(_as_dict(panel).get("panel_config"))
        if settings:
            yield key, settings


def _draw_panel(
    key: str, settings: dict[str, Any], summary: dict[str, Any], read: Callable[[str], Rows | str]
) -> Panel:
    words_of = {
        name: value for name, value in _as_dict(settings.get("stringSettings")).items() if isinstance(value, str)
    }
    title = words_of.get("title") or key
    table = summary.get(_find_table_key(settings))
    path = table.get("path") if isinstance(table, dict) else None
    if not isinstance(path, str):
        return Panel(key, title, "", reason="Its table was not logged.")
    content = read(path)
    if isinstance(content, str):
        return Panel(key, title, path, reason=content)
    preset = str(settings.get("panelDefId", ""))
    draw = PRESETS.get(preset.rpartition("/v")[0])
    if draw is None:
        return Panel(key, title, path, reason=f'"{preset}" is a chart of W&B\'s app; here is its table.')
    fields = {name: value for name, value in _as_dict(settings.get("fieldSettings")).items() if isinstance(value, str)}
    drawn = draw(title, _Columns(*content, fields), words_of)
    if drawn is None:
        return Panel(key, title, path, reason="Its table has nothing to draw.")
    return Panel(key, title, path, drawn)


def _find_table_key(settings: dict[str, Any]) -> str:
    """Return the argument "tableKey" in panel_config.userQuery.queryFields[].fields[].args."""
    for query in _as_dicts(_as_dict(settings.get("userQuery")).get("queryFields")):
        for field in _as_dicts(query.get("fields")):
            for argument in _as_dicts(field.get("args")):
                if argument.get("name") == "tableKey":
                    return str(argument.get("value"))
    return ""


def _as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@dataclass(frozen=True)
class _Columns:
    """A table whose columns are found by their purpose: `fields` maps purposes to columns."""

    columns: list[str]
    rows: list[list[Any]]
    fields: dict[str, str]

    def name(self, purpose: str) -> str:
        return self.fields.get(purpose, purpose)

    def select(self, *purposes: str) -> Iterator[tuple[Any, ...]]:
        """Yield the values of these columns, row by row; nothing if a column is missing."""
        names = [self.name(purpose) for purpose in purposes]
        if all(name in self.columns for name in names):
            places = [self.columns.index(name) for name in names]
            for row in self.rows:
                if len(row) > max(places):
                    yield tuple(row[place] for place in places)


def _collect_lines(columns: _Columns, x: str, y: str, name: str | None) -> dict[str, charts.Points]:
    has_names = name is not None and columns.name(name) in columns.columns
    series: dict[str, charts.Points] = {}
    for across, up, *of in columns.select(x, y, *([name] if has_names and name else [])):
        if filters.is_finite(across) and filters.is_finite(up):
            series.setdefault(filters.format_value(of[0]) if of else "", []).append((across, up))
    return series


def _draw_line(title: str, columns: _Columns, strings: dict[str, str]) -> Chart | None:
    return charts.draw_chart(title, columns.name("x"), columns.name("y"), _collect_lines(columns, "x", "y", "stroke"))


def _draw_line_series(title: str, columns: _Columns, strings: dict[str, str]) -> Chart | None:
    return charts.draw_chart(
        title, strings.get("xname") or "x", "", _collect_lines(columns, "step", "lineVal", "lineKey")
    )


def _draw_curve(title: str, columns: _Columns, strings: dict[str, str]) -> Chart | None:
    x, y = strings.get("x-axis-title") or columns.name("x"), strings.get("y-axis-title") or columns.name("y")
    return charts.draw_chart(title, x, y, _collect_lines(columns, "x", "y", "class"))


def _draw_scatter(title: str, columns: _Columns, strings: dict[str, str]) -> Chart | None:
    return charts.draw_chart(
        title, columns.name("x"), columns.name("y"), _collect_lines(columns, "x", "y", None), dots=True
    )


def _draw_histogram(title: str, columns: _Columns, strings: dict[str, str]) -> Histogram | None:
    values = [value for (value,) in columns.select("value") if filters.is_finite(value)]
    return charts.draw_histogram(title, columns.name("value"), *charts.bin_values(values)) if values else None


def _draw_bars(title: str, columns: _Columns, strings: dict[str, str]) -> Bars | None:
    rows = [
        (filters.format_value(label), value)
        for label, value in columns.select("label", "value")
        if filters.is_finite(value)
    ]
    if not rows:
        return None
    longest = max(abs(value) for _, value in rows) or 1
    shown = [(label, value, round(abs(value) / longest * 100, 1)) for label, value in rows[:MAX_BARS]]
    return Bars(columns.name("label"), columns.name("value"), shown, len(rows) - len(shown))


def _draw_matrix(title: str, columns: _Columns, strings: dict[str, str]) -> Matrix | None:
    counts: dict[tuple[str, str], float] = {}
    names: dict[str, None] = {}
    for actual, predicted, count in columns.select("Actual", "Predicted", "nPredictions"):
        if filters.is_finite(count):
            pair = filters.format_value(actual), filters.format_value(predicted)
            counts[pair] = counts.get(pair, 0) + count
            names |= dict.fromkeys(pair)
    if not 0 < len(names) <= MAX_CLASSES:
        return None
    highest = max(counts.values()) or 1
    rows = []
    for actual in names:
        cells = [counts.get((actual, predicted), 0) for predicted in names]
        rows.append((actual, [(count, round(max(count, 0) / highest * SHADES)) for count in cells]))
    return Matrix(list(names), rows)


PRESETS: dict[str, Callable[[str, _Columns, dict[str, str]], Drawn | None]] = {
    "wandb/line": _draw_line,
    "wandb/lineseries": _draw_line_series,
    "wandb/area-under-curve": _draw_curve,
    "wandb/scatter": _draw_scatter,
    "wandb/histogram": _draw_histogram,
    "wandb/bar": _draw_bars,
    "wandb/confusion_matrix": _draw_matrix,
}
