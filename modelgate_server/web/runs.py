"""The page of a run, and of one of its files."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.settings import KIB
from modelgate_server.store import artifacts, files, history, runs
from modelgate_server.store.runs import Run
from modelgate_server.web import charts, contents, links, machine, media, panels, series, tables, versions, words
from modelgate_server.web.access import Visit
from modelgate_server.web.addresses import Place, picture_url
from modelgate_server.web.contents import Shown
from modelgate_server.web.media import Medium

# The end of a log says how it ended; the whole is in the file output.log.
CONSOLE_LINES = 500
# Rows that the static charts are drawn from; they have 300 points.
CHART_ROWS = 400
# A run with more has them for machines.
FILES = 500
# Tables that are shown on the run's own page; a larger one has a page of its own.
TABLES = 12
MAX_SHOWN_BYTES = 256 * KIB
TABLE_ROWS = 10
# Tables that custom charts are drawn from, all of one page.
MAX_CHARTED_BYTES = 4 * 1024 * KIB


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/runs/{run}"""
    run, home = _run(visit)
    config, summary = words.parsed(run.config), words.parsed(run.summary)
    lines = history.console_count(visit.db, run.id)
    console = [line for _, line in history.console(visit.db, run.id, first=lines - CONSOLE_LINES)]
    listed = files.listing(visit.db, run.id)
    metrics = series.metric_rows(visit, run, CHART_ROWS)
    url = home.run(run.name)
    made = links.to_artifacts(visit, artifacts.of_run(visit.db, run.id, "output"))
    logged = media.of_run(summary, panels.table_keys(config))
    return visit.show(
        "run.html",
        place=home,
        run=run,
        url=url,
        config=words.visible({key: words.unwrapped(value) for key, value in config.items()}),
        summary=words.visible(summary, without_media=True),
        charts=charts.of_run(metrics, charts.axes_of(config)),
        panels=panels.of_run(config, summary, _reader(visit, run)),
        media=logged,
        shown=_tables(visit, run, url, logged),
        used=links.to_artifacts(visit, artifacts.of_run(visit.db, run.id, "input")),
        logged=sorted(made, key=lambda link: link.note == versions.BY_THE_WAY),
        rows=history.count(visit.db, run.id),
        machine=machine.of_run(visit, run),
        files=listed[:FILES],
        count=len(listed),
        console=console,
        hidden_lines=max(lines - len(console), 0),
        commit=links.commit(run.git_commit, run.repo),
        workflow=_workflow(config),
    )


def _run(visit: Visit) -> tuple[Run, Place]:
    found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    run = runs.find(visit.db, found.id, visit.at("run"))
    if run is None:
        raise NotFound(f'there is no run "{visit.at("run")}" in "{home.entity}/{home.project}"')
    return run, home


# The page of a workflow run on GitHub or GitHub Enterprise Server.
_WORKFLOW = re.compile(r"https://[\w.:-]+/[\w.-]+/[\w.-]+/actions/runs/[0-9]{1,18}(/attempts/[0-9]{1,9})?")


def _workflow(config: dict[str, Any]) -> str:
    """The address of the workflow run that started this run, if its config has one."""
    values = (words.unwrapped(value) for value in config.values())
    return next((text for text in values if isinstance(text, str) and _WORKFLOW.fullmatch(text)), "")


def _reader(visit: Visit, run: Run) -> Callable[[str], panels.Rows | str]:
    """Reads the run's tables for its charts, as many as one page may take."""
    left = MAX_CHARTED_BYTES

    def read(path: str) -> panels.Rows | str:
        nonlocal left
        file = files.find(visit.db, run.id, path)
        size = visit.blobs.size(file.md5) if file else None
        if file is None or size is None:
            return "The bytes of its table are not on this server."
        left -= size
        if left < 0:
            return "Its table is too large to be drawn here."
        return tables.rows(visit.blobs.path(file.md5), panels.MAX_ROWS, visit.deadline.check)

    return read


def _tables(visit: Visit, run: Run, url: str, logged: list[Medium]) -> dict[str, Shown]:
    """The first rows of the small tables of a run, by key."""
    shown: dict[str, Shown] = {}
    for medium in logged:
        if medium.is_table and len(shown) < TABLES:
            file = files.find(visit.db, run.id, medium.paths[0])
            if file is not None and file.size <= MAX_SHOWN_BYTES:
                shown[medium.key] = _shown(visit, url, file, TABLE_ROWS)
    return shown


def _shown(visit: Visit, url: str, file: files.RunFile, rows: int = tables.ROWS_A_PAGE) -> Shown:
    asked = tables.Question(visit.page if rows == tables.ROWS_A_PAGE else 1, rows)
    return contents.show(visit.blobs, file.md5, file.name, asked, partial(picture_url, url), visit.deadline.check)


def points(visit: Visit) -> Response:
    """GET .../series?from=STEP&to=STEP, or ?stream=events for what the SDK measured of the machine."""
    run, _ = _run(visit)
    return series.answer(visit, [run], system=visit.asked("stream") == "events")


def file(visit: Visit) -> Response:
    """GET .../file?path="""
    run, home = _run(visit)
    found = _file(visit, run)
    url = home.run(run.name)
    trail = [(home.entity, f"/{home.base.split('/')[1]}"), (home.project, home.base), (run.display_name, url)]
    return visit.show(
        "file.html", trail=trail, url=url, path=found.name, size=found.size, digest=found.md5,
        shown=_shown(visit, url, found), page=visit.page,
    )  # fmt: skip


def picture(visit: Visit) -> Response:
    """GET .../picture?path="""
    return contents.picture(visit.blobs, _file(visit, _run(visit)[0]).md5)


def framed(visit: Visit) -> Response:
    """GET .../frame?path=: an HTML page that the run logged, for a frame without any right."""
    return contents.framed(visit.blobs, _file(visit, _run(visit)[0]).md5)


def download(visit: Visit) -> Response:
    """GET .../download?path="""
    found = _file(visit, _run(visit)[0])
    return contents.download(visit.blobs, found.md5, found.name)


def _file(visit: Visit, run: Run) -> files.RunFile:
    found = files.find(visit.db, run.id, visit.asked("path"))
    if found is None:
        raise NotFound(f'there is no file "{visit.asked("path")}" of run "{run.name}"')
    return found
