"""Show the page of a run, and of one of its files."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.settings import KIB
from modelgate_server.store import alerts, files, history, lineage, memberships, projects, runs
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.names import LATEST
from modelgate_server.store.runs import Run
from modelgate_server.web import charts, contents, filters, links, machine, media, panels, series, tables, versions
from modelgate_server.web.access import Form, Visit, redirect
from modelgate_server.web.contents import Shown
from modelgate_server.web.media import Medium
from modelgate_server.web.urls import Place, build_picture_url

# The end of a log says how the run ended; the whole log is in the file output.log.
CONSOLE_LINES = 500
# Rows that the static charts are drawn from; they have 300 points.
CHART_ROWS = 400
# A run with more files has them for machines.
FILES = 500
# Tables on the run's own page; the others have their own pages.
TABLES = 12
# A text of 64 KiB is allowed, and a run may have 1,000 of them.
ALERTS = 3
MAX_SHOWN_BYTES = 256 * KIB
TABLE_ROWS = 10
# As in W&B's app.
MAX_NAME_CHARS = 128
PRODUCTION = "production"
# Tables that custom charts are drawn from, all of one page.
MAX_CHARTED_BYTES = 4 * 1024 * KIB


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/runs/{run}"""
    return _show(visit, *_require_run(visit))


def _show(visit: Visit, run: Run, home: Place, *, status: int = 200, message: str = "", typed: str = "") -> Response:
    config, summary = filters.parse_object(run.config), filters.parse_object(run.summary)
    lines = history.count_console(visit.db, run.id)
    console = [line for _, line in history.read_console(visit.db, run.id, first=lines - CONSOLE_LINES)]
    listed = files.list_by_run(visit.db, run.id)
    metrics = series.read_metric_rows(visit, run, CHART_ROWS)
    url = home.build_run_url(run.name)
    made = links.link_to_artifacts(visit, lineage.list_by_run(visit.db, run.id, "output"))
    logged = media.list_media(summary, panels.list_table_keys(config))
    return visit.show(
        "run.html",
        status,
        place=home,
        run=run,
        url=url,
        config=filters.select_visible({key: filters.unwrap(value) for key, value in config.items()}),
        summary=filters.select_visible(summary, without_media=True),
        charts=charts.draw_metrics(metrics, charts.read_axes(config)),
        panels=panels.draw_panels(config, summary, _make_reader(visit, run)),
        media=logged,
        shown=_show_tables(visit, run, url, logged),
        used=links.link_to_artifacts(visit, lineage.list_by_run(visit.db, run.id, "input")),
        logged=sorted(made, key=lambda link: link.note == versions.BY_THE_WAY),
        rows=history.count(visit.db, run.id),
        machine=machine.summarize_run(visit, run),
        files=listed[:FILES],
        count=len(listed),
        console=console,
        hidden_lines=max(lines - len(console), 0),
        commit=links.link_commit(run.git_commit, run.repo),
        workflow=_find_workflow(config),
        alerts=alerts.list_by_run(visit.db, run.id, ALERTS),
        alert_count=alerts.count_by_run(visit.db, run.id),
        may_write=projects.find_role(visit.db, visit.user, projects.get_project(visit.db, run.project_id))
        in projects.WRITERS,
        max_name=MAX_NAME_CHARS,
        message=message,
        typed=typed,
    )


def _require_run(visit: Visit) -> tuple[Run, Place]:
    project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    run = runs.find(visit.db, project.id, visit.read_path("run"))
    if run is None:
        raise NotFound(f'there is no run "{visit.read_path("run")}" in "{home.entity}/{home.project}"')
    return run, home


# --- its name, and its end ------------------------------------------------------------------------------------------


def rename(visit: Visit, fields: Form) -> Response:
    """POST .../rename: set the `name`, as the SDK does with `run.name = ...`. The run's id and its address stay."""
    run, home = _require_writable(visit)
    name = fields.get("name", "").strip()
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        message = f"A run's name has 1 to {MAX_NAME_CHARS} characters, all on one line."
        return _show(visit, run, home, status=400, message=message, typed=name)
    runs.edit(visit.db, run, {"display_name": name})
    return redirect(home.build_run_url(run.name))


def ask(visit: Visit) -> Response:
    """GET .../delete: show what would be lost."""
    run, home = _require_writable(visit)
    made = [
        (link, _list_aliases(visit, version))
        for version in lineage.list_by_run(visit.db, run.id, "output")
        for link in links.link_to_artifacts(visit, [version])
        if link.note != versions.BY_THE_WAY
    ]
    return visit.show(
        "delete.html",
        place=home,
        run=run,
        url=home.build_run_url(run.name),
        rows=history.count(visit.db, run.id),
        files=len(files.list_by_run(visit.db, run.id)),
        alerts=alerts.count_by_run(visit.db, run.id),
        made=made,
        latest=LATEST,
        is_production=any(PRODUCTION in aliases for _, aliases in made),
    )


def _list_aliases(visit: Visit, version: Artifact) -> list[str]:
    """Return the version's aliases in all collections that this user may see."""
    places = [
        membership
        for membership in memberships.list_by_artifact(visit.db, version.id)
        if links.link_to_membership(visit, membership)
    ]
    return sorted({alias for membership in places for alias in links.list_aliases(visit, membership)})


def delete(visit: Visit, fields: Form) -> Response:
    """POST .../delete: delete the run, as the SDK's `run.delete()` does. The versions that it logged stay."""
    run, home = _require_writable(visit)
    runs.delete(visit.db, run.id)
    return redirect(home.base)


def _require_writable(visit: Visit) -> tuple[Run, Place]:
    run, home = _require_run(visit)
    project = projects.get_project(visit.db, run.project_id)
    projects.require_writer(visit.db, visit.user, project, f'there is no run "{run.name}"')
    return run, home


# The address of a workflow run on GitHub or GitHub Enterprise Server.
_WORKFLOW = re.compile(r"https://[\w.:-]+/[\w.-]+/[\w.-]+/actions/runs/[0-9]{1,18}(/attempts/[0-9]{1,9})?")


def _find_workflow(config: dict[str, Any]) -> str:
    """Return the address of the workflow run that started this run, if its config has one."""
    values = (filters.unwrap(value) for value in config.values())
    return next((text for text in values if isinstance(text, str) and _WORKFLOW.fullmatch(text)), "")


def _make_reader(visit: Visit, run: Run) -> Callable[[str], panels.Rows | str]:
    """Return a function that reads the run's tables for its charts, as many as one page may read."""
    left = MAX_CHARTED_BYTES

    def read(path: str) -> panels.Rows | str:
        nonlocal left
        file = files.find(visit.db, run.id, path)
        size = visit.blobs.get_size(file.md5) if file else None
        if file is None or size is None:
            return "The server does not have the bytes of its table."
        left -= size
        if left < 0:
            return "Its table is too large to be drawn here."
        return tables.read_rows(visit.blobs.locate(file.md5), panels.MAX_ROWS, visit.deadline.check)

    return read


def _show_tables(visit: Visit, run: Run, url: str, logged: list[Medium]) -> dict[str, Shown]:
    """Return the first rows of the small tables of a run, by key."""
    shown: dict[str, Shown] = {}
    for medium in logged:
        if medium.is_table and len(shown) < TABLES:
            file = files.find(visit.db, run.id, medium.paths[0])
            if file is not None and file.size <= MAX_SHOWN_BYTES:
                shown[medium.key] = _show_content(visit, url, file, TABLE_ROWS)
    return shown


def _show_content(visit: Visit, url: str, file: files.RunFile, rows: int = tables.ROWS_A_PAGE) -> Shown:
    asked = tables.Question(visit.page if rows == tables.ROWS_A_PAGE else 1, rows)
    return contents.show(visit.blobs, file.md5, file.name, asked, partial(build_picture_url, url), visit.deadline.check)


def send_points(visit: Visit) -> Response:
    """GET .../series?from=STEP&to=STEP, or ?stream=events for the system metrics."""
    run, _ = _require_run(visit)
    return series.answer(visit, [run], system=visit.read_query("stream") == "events")


def show_file(visit: Visit) -> Response:
    """GET .../file?path="""
    run, home = _require_run(visit)
    run_file = _require_file(visit, run)
    url = home.build_run_url(run.name)
    trail = [(home.entity, f"/{home.base.split('/')[1]}"), (home.project, home.base), (run.display_name, url)]
    return visit.show(
        "file.html", trail=trail, url=url, path=run_file.name, size=run_file.size, digest=run_file.md5,
        shown=_show_content(visit, url, run_file), page=visit.page,
    )  # fmt: skip


def send_picture(visit: Visit) -> Response:
    """GET .../picture?path="""
    return contents.send_picture(visit.blobs, _require_file(visit, _require_run(visit)[0]).md5)


def send_frame(visit: Visit) -> Response:
    """GET .../frame?path=: an HTML page that the run logged, for a frame without any rights."""
    return contents.send_frame(visit.blobs, _require_file(visit, _require_run(visit)[0]).md5)


def send_download(visit: Visit) -> Response:
    """GET .../download?path="""
    run_file = _require_file(visit, _require_run(visit)[0])
    return contents.send_download(visit.blobs, run_file.md5, run_file.name)


def _require_file(visit: Visit, run: Run) -> files.RunFile:
    run_file = files.find(visit.db, run.id, visit.read_query("path"))
    if run_file is None:
        raise NotFound(f'there is no file "{visit.read_query("path")}" of run "{run.name}"')
    return run_file
