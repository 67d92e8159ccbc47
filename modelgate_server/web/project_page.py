"""The page of a project: the table of its runs (run_table.py), and its artifacts by type."""

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import alerts
from modelgate_server.web import kinds, links, run_table, series
from modelgate_server.web.access import Visit, see_other


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}, and /registry/model for people, who know no organization by heart."""
    try:
        found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    except NotFound:
        registry = links.registry(visit, visit.at("project")) if visit.at("entity") == "registry" else None
        if registry is None:
            raise
        return see_other(registry.url)
    if home.organization is not None:
        return see_other(home.url)
    listed, compared = run_table.listing(visit, found.id, run_table.Choice.read(visit), home.run)
    return visit.show(
        "project.html",
        place=home,
        listing=listed,
        compared=compared,
        groups=run_table.GROUPS,
        page_size=run_table.RUNS_A_PAGE,
        kinds=kinds.of_project(visit, found, home),
        alerts=sum(alerts.counts(visit.db, found.id).values()),
    )


def points(visit: Visit) -> Response:
    """GET /{entity}/{project}/series?run=&run=: the points of several runs, for one chart of each metric."""
    found, _ = links.project(visit, visit.at("entity"), visit.at("project"))
    return series.answer(visit, run_table.picked(visit, found.id, visit.request.query_params.getlist("run")))
