"""Show the first page: what is in production for each use case, what waits for an approval, what ran last."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from modelgate_server.store import projects
from modelgate_server.store.db import every
from modelgate_server.store.runs import Run
from modelgate_server.web import filters
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import place
from pages import approval, production, shown, waiting

RUNS = 8


@dataclass(frozen=True)
class Row:
    """A run in the list. telling: its first metric, by name."""

    run: Run
    url: str
    project: str
    project_url: str
    telling: tuple[str, float] | None


def show(folder: Path, visit: Visit) -> Response:
    """GET /"""
    use_cases = production.every(visit)
    waits = [one for one in waiting.read(folder).waiting.values() if approval.may_see(visit, one)]
    unused = [one.name for one in use_cases if not (one.entries or one.version or one.problem)]
    return shown.page(
        visit,
        "loop.html",
        use_cases=[one for one in use_cases if one.entries or one.version or one.problem],
        unused=[name for name in unused if name not in {one.use_case for one in waits}],
        waiting=[(one, approval.url(one.use_case)) for one in waits],
        runs=[_row(visit, run) for run in _latest(visit)],
    )


def _latest(visit: Visit) -> list[Run]:
    """Return the newest runs of all projects that this user may see."""
    ids = projects.readable_ids(visit.db, visit.user)
    marks = ", ".join("?" * len(ids))
    return every(visit.db, Run, f"WHERE project_id IN ({marks}) ORDER BY created_at DESC, id DESC LIMIT {RUNS}", *ids)


def _row(visit: Visit, run: Run) -> Row:
    home = place(visit.db, projects.project(visit.db, run.project_id))
    numbers = filters.numbers(filters.parsed(run.summary))
    first = next(iter(filters.key_metrics([numbers], 1)), None)
    return Row(run, home.run(run.name), home.project, home.url, (first, numbers[first]) if first else None)
