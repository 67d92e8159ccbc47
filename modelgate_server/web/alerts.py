"""Show the alerts of a project, which its runs sent with `run.alert(...)`, newest first."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.store import alerts, runs
from modelgate_server.store.alerts import Alert
from modelgate_server.web import links
from modelgate_server.web.access import Visit

ALERTS_A_PAGE = 50


@dataclass(frozen=True)
class Row:
    alert: Alert
    run: str
    url: str


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/alerts"""
    project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    counts = alerts.count_by_level(visit.db, project.id)
    level = visit.read_query("level") if visit.read_query("level") in alerts.LEVELS else ""
    count = counts.get(level, 0) if level else sum(counts.values())
    page = min(visit.page, max(count - 1, 0) // ALERTS_A_PAGE + 1)
    first = (page - 1) * ALERTS_A_PAGE
    rows = []
    for alert in alerts.list_by_project(visit.db, project.id, level, first, ALERTS_A_PAGE):
        run = runs.get_run(visit.db, alert.run_id)
        rows.append(Row(alert, run.display_name, home.build_run_url(run.name)))
    return visit.show(
        "alerts.html",
        place=home,
        rows=rows,
        level=level,
        levels=[(name, counts[name]) for name in alerts.LEVELS if name in counts],
        count=count,
        total=sum(counts.values()),
        page=page,
        page_size=ALERTS_A_PAGE,
        first=first,
    )
