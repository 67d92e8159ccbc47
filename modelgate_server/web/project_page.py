"""Show the page of a project: the table of its runs (run_table.py), and its artifacts by type."""

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import alerts
from modelgate_server.web import kinds, links, run_table, series
from modelgate_server.web.access import Visit, redirect


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}; also /registry/model, for people who do not know the organization's name."""
    try:
        project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    except NotFound:
        registry = (
            links.find_registry(visit, visit.read_path("project")) if visit.read_path("entity") == "registry" else None
        )
        if registry is None:
            raise
        return redirect(registry.url)
    if home.organization is not None:
        return redirect(home.url)
    listed, compared = run_table.list_runs(visit, project.id, run_table.Choice.read(visit), home.build_run_url)
    return visit.show(
        "project.html",
        place=home,
        listing=listed,
        compared=compared,
        groups=run_table.GROUPS,
        page_size=run_table.RUNS_A_PAGE,
        kinds=kinds.list_by_project(visit, project, home),
        alerts=sum(alerts.count_by_level(visit.db, project.id).values()),
    )


def send_points(visit: Visit) -> Response:
    """GET /{entity}/{project}/series?run=&run=: the points of several runs, for one chart of each metric."""
    project, _ = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    return series.answer(visit, run_table.find_picked(visit, project.id, visit.request.query_params.getlist("run")))
