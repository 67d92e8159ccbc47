"""The page of a run, and of one of its files."""

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import artifacts, files, history, runs
from modelgate_server.store.runs import Run
from modelgate_server.web import charts, contents, links, words
from modelgate_server.web.access import Visit
from modelgate_server.web.addresses import Place, query

# The end of a log says how it ended; the whole is in the file output.log.
CONSOLE_LINES = 500
# Rows of the history that are read for its charts, which have 300 points.
CHART_ROWS = 10_000
# A run with more has them for machines.
FILES = 500


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/runs/{run}"""
    run, home = _run(visit)
    config = words.parsed(run.config)
    lines = history.console_count(visit.db, run.id)
    console = [line for _, line in history.console(visit.db, run.id, first=lines - CONSOLE_LINES)]
    listed = files.listing(visit.db, run.id)
    return visit.show(
        "run.html",
        place=home,
        run=run,
        url=home.run(run.name),
        config=words.flat({key: _unwrapped(value) for key, value in config.items()}),
        summary=words.flat(words.parsed(run.summary)),
        charts=charts.of_run(history.spread(visit.db, run.id, CHART_ROWS), config),
        used=links.to_artifacts(visit, artifacts.of_run(visit.db, run.id, "input")),
        logged=links.to_artifacts(visit, artifacts.of_run(visit.db, run.id, "output")),
        rows=history.count(visit.db, run.id),
        chart_rows=CHART_ROWS,
        files=listed[:FILES],
        count=len(listed),
        console=console,
        hidden_lines=max(lines - len(console), 0),
    )


def _run(visit: Visit) -> tuple[Run, Place]:
    found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    run = runs.find(visit.db, found.id, visit.at("run"))
    if run is None:
        raise NotFound(f'there is no run "{visit.at("run")}" in "{home.entity}/{home.project}"')
    return run, home


def _unwrapped(value: object) -> object:
    """The SDK stores each config value as {"value": ...}."""
    return value["value"] if isinstance(value, dict) and "value" in value else value


def file(visit: Visit) -> Response:
    """GET .../file?path="""
    run, home = _run(visit)
    found = _file(visit, run)
    url = home.run(run.name)
    shown = contents.show(
        visit.blobs,
        found.md5,
        found.name,
        visit.page,
        lambda path: f"{url}/picture?{query(path=path)}",
        visit.deadline.check,
    )
    trail = [(home.entity, f"/{home.base.split('/')[1]}"), (home.project, home.base), (run.display_name, url)]
    return visit.show(
        "file.html", trail=trail, url=url, path=found.name, size=found.size, digest=found.md5, shown=shown,
        page=visit.page,
    )  # fmt: skip


def picture(visit: Visit) -> Response:
    """GET .../picture?path="""
    return contents.picture(visit.blobs, _file(visit, _run(visit)[0]).md5)


def download(visit: Visit) -> Response:
    """GET .../download?path="""
    found = _file(visit, _run(visit)[0])
    return contents.download(visit.blobs, found.md5, found.name)


def _file(visit: Visit, run: Run) -> files.RunFile:
    found = files.find(visit.db, run.id, visit.asked("path"))
    if found is None:
        raise NotFound(f'there is no file "{visit.asked("path")}" of run "{run.name}"')
    return found
