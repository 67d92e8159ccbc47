"""Show the first page: what is in production for each use case, what waits for an approval, what ran last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from modelgate_server.store import projects
from modelgate_server.store.db import select_all
from modelgate_server.store.runs import Run
from modelgate_server.web import filters
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import get_place
from pages import approval, production, shown, waiting

RUNS = 8


@dataclass(frozen=True)
class Row:
    """A run in the list. metric: the first one, by name."""

    run: Run
    url: str
    project: str
    project_url: str
    metric: tuple[str, float] | None


def show(folder: Path, visit: Visit) -> Response:
    """GET /"""
    use_cases = production.list_use_cases(visit)
    waits = [use_case for use_case in waiting.read(folder).waiting.values() if approval.may_see(visit, use_case)]
    unused = [use_case.name for use_case in use_cases if not (use_case.entries or use_case.version or use_case.problem)]
    return shown.render(
        visit,
        "loop.html",
        use_cases=[use_case for use_case in use_cases if use_case.entries or use_case.version or use_case.problem],
        unused=[name for name in unused if name not in {use_case.use_case for use_case in waits}],
        waiting=[(use_case, approval.get_url(use_case.use_case)) for use_case in waits],
        runs=[_build_row(visit, run) for run in _list_latest(visit)],
    )


def _list_latest(visit: Visit) -> list[Run]:
    """Return the newest runs of all projects that this user may see."""
    ids = projects.list_readable_ids(visit.db, visit.user)
    marks = ", ".join("?" * len(ids))
    return select_all(
        visit.db, Run, f"WHERE project_id IN ({marks}) ORDER BY created_at DESC, id DESC LIMIT {RUNS}", *ids
    )


def _build_row(visit: Visit, run: Run) -> Row:
    home = get_place(visit.db, projects.get_project(visit.db, run.project_id))
    numbers = filters.select_numbers(filters.parse_object(run.summary))
    first = next(iter(filters.choose_metrics([numbers], 1)), None)
    return Row(run, home.build_run_url(run.name), home.project, home.url, (first, numbers[first]) if first else None)
