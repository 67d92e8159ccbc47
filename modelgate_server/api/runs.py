"""Serve runs: created and updated by the SDK's process, read back by `wandb.Api()`. The wire sometimes calls them
buckets.
"""

import json
import logging
import re
from functools import partial
from typing import Any

from ariadne import MutationType, ObjectType

from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, limit_page_size, paginate, replace_non_finite
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import accounts, alerts, filters, history, lineage, projects, removal, runs
from modelgate_server.store.accounts import User
from modelgate_server.store.documents import parse_object
from modelgate_server.store.filters import Order
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Listed, Run

log = logging.getLogger("server")
DEFAULT_PROJECT = "uncategorized"
# The part of its history that a resumed run needs: the last row.
TAIL_LINES = 1
# The longest `wait_duration` before an alert with the same title is stored again: a year.
MAX_WAIT_MS = 366 * 24 * 3_600_000

mutation = MutationType()
project = ObjectType("Project")
run = ObjectType("Run")
TYPES = (mutation, project, run)

# The name of each field in the input, and in the store.
FIELDS = {
    "display_name": "display_name",
    "description": "description",
    "notes": "notes",
    "config": "config",
    "summary_metrics": "summary",
    "tags": "tags",
    "state": "state",
    "group_name": "group_name",
    "job_type": "job_type",
    "commit": "git_commit",
    "host": "host",
    "job_program": "program",
    "job_repo": "repo",
    "sweep": "sweep_name",
}

# The fields that runs may be filtered and ordered by, in addition to config, summary, tags and user.
FILTERS = {
    "name": "name",
    "state": "state",
    "group": "group_name",
    "displayName": "display_name",
    "display_name": "display_name",
    "jobType": "job_type",
    "job_type": "job_type",
    "sweep": "sweep_name",
    "createdAt": "created_at",
    "created_at": "created_at",
    "heartbeatAt": "heartbeat_at",
    "heartbeat_at": "heartbeat_at",
}


# --- finding ------------------------------------------------------------------------------------------------------


def require_writable(call: Call, entity_name: str | None, project_name: str, run_name: str) -> Run:
    project = projects.require_writable(call.db, call.user, entity_name, project_name)
    return runs.require(call.db, project, run_name)


def require_writable_by_id(call: Call, text: str) -> Run:
    """Return the run with this id if the user may write to its project."""
    run = runs.find_by_id(call.db, decode_id("Run", text))
    return projects.require_writable_item(call.db, call.user, run, f'run "{text[:80]}" not found')


@project.field("run")
def project_run(project: Project, info: Info, name: str, desc: str | None = None) -> Run | None:
    return runs.find(info.context.db, project.id, name)


@project.field("bucket")
def project_bucket(project: Project, info: Info, name: str, missing_ok: bool | None = None) -> Run | None:
    return runs.find(info.context.db, project.id, name)


@project.field("runCount")
def project_run_count(project: Project, info: Info, filters: str | None = None) -> int:
    return len(_select_runs(info.context, project, filters))


@project.field("runs")
def project_runs(
    project: Project,
    info: Info,
    filters: str | None = None,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    newest_first = Order[Listed](
        lambda row: [row.id], backwards=True, by=order or "+created_at", value_of=partial(_read_field, call)
    )
    paged = paginate(_select_runs(call, project, filters), after, first, newest_first)
    for edge in paged["edges"]:
        edge["node"] = runs.get_run(call.db, edge["node"].id)
    return paged


def _select_runs(call: Call, project: Project, condition: str | None) -> list[Listed]:
    listed = runs.list_without_configs(call.db, project.id)
    return filters.select(listed, parse_object(condition, "the filter for runs"), partial(_read_field, call))


def _read_field(call: Call, listed: Listed, name: str) -> Any:
    """Return the value of a field that runs may be filtered and ordered by."""
    kind, _, key = name.partition(".")
    if kind == "config" and key:
        return history.look_up(runs.read_config(runs.get_run(call.db, listed.id)), key.removesuffix(".value"))
    if kind in ("summary_metrics", "summaryMetrics") and key:
        return history.look_up(json.loads(listed.summary), key)
    if name in FILTERS:
        return getattr(listed, FILTERS[name])
    if name == "tags":
        return json.loads(listed.tags)
    if name in ("username", "user.username"):
        return accounts.get_user(call.db, listed.user_id).username if listed.user_id else None
    raise Invalid(f'runs cannot be filtered or ordered by "{name}"')


# --- writing ------------------------------------------------------------------------------------------------------


@mutation.field("upsertBucket")
def upsert_bucket(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    fields = {ours: input[theirs] for theirs, ours in FIELDS.items() if input.get(theirs) is not None}
    name = input.get("name")
    if input.get("id"):
        known = require_writable_by_id(call, input["id"])
        changed = runs.resume(call.db, known, fields) if name else runs.edit(call.db, known, fields)
        return {"bucket": changed, "inserted": False}
    if not name:
        raise Invalid("a run needs a name or an id")
    target = projects.ensure(call.db, call.user, input.get("entity_name"), input.get("model_name") or DEFAULT_PROJECT)
    run = runs.find(call.db, target.id, name)
    if run is not None:
        write = runs.join if call.shared else runs.resume
        return {"bucket": write(call.db, run, fields), "inserted": False}
    return {"bucket": runs.begin(call.db, target, call.user, name, fields), "inserted": True}


@mutation.field("deleteRun")
def delete_run(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Delete a run. If it is already deleted, or the user may not see it, do nothing."""
    call = info.context
    try:
        run = require_writable_by_id(call, input["id"])
    except NotFound:
        return {"client_mutation_id": None}
    if input.get("delete_artifacts"):
        logged = lineage.list_by_run(call.db, run.id, "output")
        for made in logged:
            ids = {artifact.id for artifact in logged}
            removal.delete(call.db, call.user, made, with_aliases=True, together=ids)
    runs.delete(call.db, run.id)
    return {"client_mutation_id": None}


@mutation.field("stopRun")
def stop_run(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool | None]:
    call = info.context
    runs.request_stop(call.db, require_writable_by_id(call, input["id"]).id)
    return {"success": True, "client_mutation_id": None}


@mutation.field("updateRunState")
def update_run_state(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    runs.move_state(call.db, require_writable_by_id(call, input["id"]), input["state"])
    return {"success": True}


@mutation.field("rewindRun")
def rewind_run(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Run]:
    call = info.context
    if input["metric_name"] != "_step":
        raise Invalid(f'a run can be rewound by "_step" only, not by "{input["metric_name"]}"')
    run = require_writable(
        call, input.get("entity_name"), input.get("project_name") or DEFAULT_PROJECT, input["run_name"]
    )
    history.rewind(call.db, run.id, int(input["metric_value"]))
    return {"rewound_run": runs.resume(call.db, run, {})}


@mutation.field("notifyScriptableRunAlert")
def notify_alert(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    """
    Store an alert. It is shown on the pages of its project and its run, and in the server's log. No e-mail is sent.
    """
    call = info.context
    run = require_writable(call, input["entity_name"], input["project_name"], input["run_name"])
    wait_ms = input.get("wait_duration") or 0
    if not isinstance(wait_ms, int) or not 0 <= wait_ms <= MAX_WAIT_MS:
        raise Invalid(f'an alert waits between 0 and {MAX_WAIT_MS} milliseconds, not "{str(wait_ms)[:80]}"')
    severity = input.get("severity") or "INFO"
    if not alerts.add(call.db, run, severity, input["title"], input["text"], wait_s=wait_ms / 1000):
        return {"success": True}
    log.warning("alert (%s) of run %s: %r: %r", severity, run.name, input["title"][:200], input["text"][:1000])
    return {"success": True}


# --- fields -------------------------------------------------------------------------------------------------------


@run.field("id")
def run_id(run: Run, info: Info) -> str:
    return encode_id("Run", run.id)


@run.field("projectId")
def run_project_id(run: Run, info: Info) -> str:
    return str(run.project_id)  # the client converts it to an int


@run.field("project")
def run_project(run: Run, info: Info) -> Project:
    return projects.get_project(info.context.db, run.project_id)


@run.field("user")
def run_user(run: Run, info: Info) -> User | None:
    return accounts.get_user(info.context.db, run.user_id) if run.user_id else None


@run.field("readOnly")
def run_read_only(run: Run, info: Info) -> bool:
    call = info.context
    where = projects.get_project(call.db, run.project_id)
    return projects.find_role(call.db, call.user, where) not in projects.WRITERS


@run.field("tags")
def run_tags(run: Run, info: Info) -> list[str]:
    tags: list[str] = json.loads(run.tags)
    return tags


@run.field("group")
def run_group(run: Run, info: Info) -> str | None:
    return run.group_name


@run.field("commit")
def run_commit(run: Run, info: Info) -> str | None:
    return run.git_commit


@run.field("updatedAt")
def run_updated_at(run: Run, info: Info) -> str:
    return run.heartbeat_at


@run.field("exitcode")
def run_exit_code(run: Run, info: Info) -> int | None:
    return run.exit_code


@run.field("stopped")
@run.field("shouldStop")
def run_stopped(run: Run, info: Info) -> bool:
    return bool(run.stop_requested)


@run.field("failed")
def run_failed(run: Run, info: Info) -> bool:
    return run.state in ("failed", "crashed")


@run.field("running")
def run_running(run: Run, info: Info) -> bool:
    return run.state == "running"


@run.field("summaryMetrics")
def run_summary(run: Run, info: Info) -> str:
    return run.summary


@run.field("systemMetrics")
def run_system_metrics(run: Run, info: Info) -> str:
    return history.find_last_event(info.context.db, run.id) or "{}"


@run.field("wandbConfig")
def run_wandb_config(run: Run, info: Info, keys: list[str] | None = None) -> str:
    """Return a part of what the SDK stores about itself in the config. Without it, the client treats the run as new."""
    internal = runs.read_config(run).get("_wandb") or {}
    return json.dumps({key: value for key, value in internal.items() if keys is None or key in keys})


# --- streams ------------------------------------------------------------------------------------------------------


@run.field("historyLineCount")
def run_history_line_count(run: Run, info: Info) -> int:
    return history.count(info.context.db, run.id)


@run.field("eventsLineCount")
def run_events_line_count(run: Run, info: Info) -> int:
    return history.count_events(info.context.db, run.id)


@run.field("logLineCount")
def run_log_line_count(run: Run, info: Info) -> int:
    return history.count_console(info.context.db, run.id)


@run.field("historyTail")
def run_history_tail(run: Run, info: Info) -> str:
    last = history.find_last_line(info.context.db, run.id)
    return json.dumps([last][:TAIL_LINES] if last else [])


@run.field("eventsTail")
def run_events_tail(run: Run, info: Info) -> str:
    last = history.find_last_event(info.context.db, run.id)
    return json.dumps([last][:TAIL_LINES] if last else [])


@run.field("historyKeys")
def run_history_keys(run: Run, info: Info) -> Any:
    return replace_non_finite(history.summarize_keys(info.context.db, run.id))


@run.field("history")
def run_history(
    run: Run,
    info: Info,
    min_step: int | None = None,
    max_step: int | None = None,
    samples: int | None = None,
) -> list[str]:
    lines = history.read_lines(info.context.db, run.id, min_step=min_step or 0, max_step=max_step)
    return history.sample(lines, samples)


@run.field("events")
def run_events(run: Run, info: Info, samples: int | None = None) -> list[str]:
    return history.sample(history.read_events(info.context.db, run.id), samples)


@run.field("sampledHistory")
def run_sampled_history(run: Run, info: Info, specs: list[str]) -> list[Any]:
    call = info.context
    return [
        replace_non_finite(history.sample_by_spec(call.db, run.id, parse_object(spec, "a history spec")))
        for spec in specs
    ]


@run.field("parquetHistory")
def run_parquet_history(run: Run, info: Info, live_keys: list[str]) -> dict[str, list[Any]]:
    """
    Return no parquet files. The live data name the step at which the client begins to read the live history. Without
    them, 0.27 and its `beta_scan_history` read nothing (core/internal/runhistoryreader/livedata.go).
    """
    first = history.find_first_step(info.context.db, run.id)
    return {"parquet_urls": [], "live_data": [] if first is None else [{"_step": first}]}


@run.field("logLines")
def run_log_lines(
    run: Run,
    info: Info,
    first: int | None = None,
    last: int | None = None,
    after: str | None = None,
    use_improved_pagination: bool | None = None,
) -> dict[str, Any]:
    lines = [_parse_log_line(number, text) for number, text in history.read_console(info.context.db, run.id)]
    listed = lines[max(len(lines) - limit_page_size(last), 0) :] if last is not None else lines
    return paginate(listed, after, first or last, Order(lambda row: [row["number"]]))


def _parse_log_line(number: int, text: str) -> dict[str, Any]:
    """Parse a stored line: `[ERROR ]<ISO time> text`."""
    match = re.match(r"(ERROR )?(\d{4}-\d\d-\d\dT[\d:.]+) ?", text)
    return {
        "number": number,
        "timestamp": match[2] if match else None,
        "level": "error" if match and match[1] else None,
        "label": None,
        "line": text[match.end() :] if match else text,
    }
