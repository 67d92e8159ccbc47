"""
Show the table of a project's runs: filtered, sorted, grouped, with the columns that the user chose, and a comparison of
some runs. Every choice is in the URL, so users can share it.
"""

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from modelgate_server.errors import Invalid
from modelgate_server.store import runs
from modelgate_server.store.runs import Listed
from modelgate_server.web import charts, conditions, filters, media
from modelgate_server.web.access import Visit
from modelgate_server.web.media import Picture

RUNS_A_PAGE = 50
# The default number of metrics next to a run's name, state and times: more columns do not fit on a screen.
METRICS = 3
MAX_COLUMNS = 20
# Keys that are offered as columns.
MAX_KEYS = 200
# Pictures of each run per compared key, and the number of such keys.
PICTURES, PICTURE_KEYS = 4, 12
CONFIG, SUMMARY = "config.", "summary."


@dataclass(frozen=True)
class Choice:
    filter: str = ""
    sort: str = ""
    group: str = ""
    columns: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    page: int = 1

    @classmethod
    def read(cls, visit: Visit) -> "Choice":
        every = visit.request.query_params.getlist
        return cls(
            filter=visit.read_query("filter"),
            sort=visit.read_query("sort"),
            group=visit.read_query("group"),
            columns=tuple(dict.fromkeys(every("column")))[:MAX_COLUMNS],
            runs=tuple(dict.fromkeys(every("run")))[: charts.MAX_LINES],
            page=visit.page,
        )

    def build_url(self, **changes: Any) -> str:
        """Return the query of the same choice with some changes, which start on the first page."""
        other = replace(self, **{"page": 1, **changes})
        pairs = [("filter", other.filter), ("sort", other.sort), ("group", other.group)]
        pairs += [("column", name) for name in other.columns] + [("run", name) for name in other.runs]
        pairs += [("page", str(other.page) if other.page > 1 else "")]
        return "?" + urlencode([(name, value) for name, value in pairs if value])

    def describe_sort(self, name: str) -> str:
        """Return "ascending", "descending" or nothing: how a column is sorted."""
        return {name: "ascending", f"-{name}": "descending"}.get(self.sort, "")


@dataclass
class Row:
    """A run whose summary and config are read when they are needed."""

    run: Listed
    url: str
    db: sqlite3.Connection

    @cached_property
    def summary(self) -> dict[str, Any]:
        return filters.flatten(filters.parse_object(self.run.summary))

    @cached_property
    def config(self) -> dict[str, Any]:
        tree = filters.parse_object(runs.read_config_text(self.db, self.run.id))
        return filters.flatten({key: filters.unwrap(value) for key, value in tree.items()})

    def read_value(self, name: str) -> Any:
        """Return the value of a column: a fact about the run, a key of its summary, or a key of its config."""
        if name in FACTS:
            return FACTS[name](self.run)
        if name.startswith(CONFIG):
            return self.config.get(name.removeprefix(CONFIG))
        if name.startswith(SUMMARY):
            return self.summary.get(name.removeprefix(SUMMARY))
        value = self.summary.get(name)
        return value if value is not None else self.config.get(name)

    def join_texts(self) -> str:
        """Return the text that a filter's words are searched in."""
        run = self.run
        return " ".join(
            filter(None, [run.display_name, run.name, run.job_type, run.group_name, run.tags, run.notes, run.state])
        )


FACTS: dict[str, Callable[[Listed], Any]] = {
    "name": lambda run: run.display_name,
    "id": lambda run: run.name,
    "state": lambda run: run.state,
    "job_type": lambda run: run.job_type,
    "group": lambda run: run.group_name,
    "created": lambda run: run.created_at,
    "duration": lambda run: filters.measure_seconds(run.created_at, run.heartbeat_at),
}
GROUPS = ("job_type", "state", "group")


@dataclass(frozen=True)
class Listing:
    """One page. `groups` has the group's value and size before the first row of each; `keys` are offered as columns."""

    choice: Choice
    rows: list[Row]
    columns: list[str]
    keys: list[str]
    groups: dict[int, tuple[str, int]]
    first: int
    count: int
    total: int
    message: str = ""

    @property
    def first_runs(self) -> tuple[str, ...]:
        """The first runs, as many as one chart has colors for."""
        return tuple(row.run.name for row in self.rows[: charts.MAX_LINES])


@dataclass(frozen=True)
class Comparison:
    """Some runs side by side: values that they all share are left out. `pictures` has some of each run's, by key."""

    rows: list[Row] = field(default_factory=list)
    values: list[tuple[str, list[Any]]] = field(default_factory=list)
    pictures: list[tuple[str, list[list[Picture]]]] = field(default_factory=list)


def list_runs(visit: Visit, project_id: int, choice: Choice, url: Callable[[str], str]) -> tuple[Listing, Comparison]:
    """Return the table. If a choice cannot be understood, show everything, and say why."""
    every = [Row(run, url(run.name), visit.db) for run in runs.list_without_configs(visit.db, project_id)]
    message = ""
    try:
        chosen = _select_rows(every, choice, visit.deadline.check)
    except Invalid as error:
        message, chosen = filters.make_sentence(str(error)), every
    groups = _group_rows(chosen, choice.group)
    page = min(choice.page, max(len(chosen) - 1, 0) // RUNS_A_PAGE + 1)
    first = (page - 1) * RUNS_A_PAGE
    rows = chosen[first : first + RUNS_A_PAGE]
    picked = {row.run.name: row for row in every if row.run.name in choice.runs}
    compared = [picked[name] for name in choice.runs if name in picked]
    made = Listing(
        choice=replace(choice, page=page, runs=tuple(row.run.name for row in compared)),
        rows=rows,
        columns=list(choice.columns) or filters.choose_metrics([_select_numbers(row.summary) for row in rows], METRICS),
        keys=_list_keys(rows),
        groups={place - first: group for place, group in groups.items() if first <= place < first + RUNS_A_PAGE}
        | ({0: _find_group(groups, first)} if groups and rows else {}),
        first=first,
        count=len(chosen),
        total=len(every),
        message=message,
    )
    return made, Comparison(compared, _compare_values(compared), _list_pictures(compared))


def _select_rows(every: list[Row], choice: Choice, check: Callable[[], None]) -> list[Row]:
    wanted = conditions.parse(choice.filter)
    kept = []
    for number, row in enumerate(every):
        if number % 100 == 0:
            check()
        if wanted.is_met(row.read_value, row.join_texts):
            kept.append(row)
    if choice.sort:
        name = choice.sort.removeprefix("-")
        kept = conditions.arrange(kept, lambda row: row.read_value(name), descending=choice.sort.startswith("-"))
    if choice.group:
        kept = conditions.arrange(kept, lambda row: row.read_value(choice.group), descending=False)
    return kept


def _group_rows(rows: list[Row], name: str) -> dict[int, tuple[str, int]]:
    """Return where each group begins: its value, and how many runs it has."""
    groups: dict[int, tuple[str, int]] = {}
    if not name:
        return groups
    begin, before = 0, None
    for place, row in enumerate(rows):
        value = row.read_value(name)
        text = "without" if value is None or value == "" else filters.format_value(value)
        if text != before:
            begin, before = place, text
            groups[begin] = text, 0
        groups[begin] = text, groups[begin][1] + 1
    return groups


def _find_group(groups: dict[int, tuple[str, int]], place: int) -> tuple[str, int]:
    return groups[max(begin for begin in groups if begin <= place)]


def _list_keys(rows: list[Row]) -> list[str]:
    """Return the keys of a page's runs whose values fit into a cell."""
    keys = {key for row in rows for key, value in row.summary.items() if not isinstance(value, dict)}
    settings = {CONFIG + key for row in rows for key, value in row.config.items() if not isinstance(value, dict)}
    return [*sorted(keys), *sorted(settings)][:MAX_KEYS]


def _select_numbers(values: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in values.items() if filters.is_number(value)}


def _compare_values(rows: list[Row]) -> list[tuple[str, list[Any]]]:
    values = []
    for key in _list_keys(rows):
        cells = [row.read_value(key) for row in rows]
        if len({filters.format_value(cell) for cell in cells}) > 1:
            values.append((key, cells))
    return values


def _list_pictures(rows: list[Row]) -> list[tuple[str, list[list[Picture]]]]:
    logged = [
        {medium.key: medium.pictures[:PICTURES] for medium in media.list_media(row.summary, set())} for row in rows
    ]
    keys = sorted({key for pictures in logged for key, some in pictures.items() if some})[:PICTURE_KEYS]
    return [(key, [pictures.get(key, []) for pictures in logged]) for key in keys]


def find_picked(visit: Visit, project_id: int, names: Iterable[str]) -> list[runs.Run]:
    """Return the runs to compare, in the order in which they were chosen."""
    every = (runs.find(visit.db, project_id, name) for name in list(dict.fromkeys(names))[: charts.MAX_LINES])
    return [run for run in every if run is not None]
