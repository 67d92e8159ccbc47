"""Store runs: their names, configs and results."""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import history, names
from modelgate_server.store.accounts import User
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update
from modelgate_server.store.documents import parse_object
from modelgate_server.store.projects import Project

STATES = ("running", "finished", "failed", "crashed", "killed", "pending", "preempting", "preempted")
ADJECTIVES = ("amber", "brisk", "calm", "deep", "eager", "fresh", "gentle", "hidden", "quiet", "swift", "vivid", "warm")
NOUNS = ("brook", "cloud", "dune", "field", "glade", "harbor", "island", "meadow", "orchid", "river", "star", "wind")


@dataclass(frozen=True, slots=True)
class Run:
    TABLE: ClassVar[str] = "runs"
    id: int
    project_id: int
    name: str
    display_name: str
    description: str | None
    notes: str | None
    config: str
    summary: str
    tags: str
    state: str
    group_name: str | None
    job_type: str | None
    git_commit: str | None
    host: str | None
    program: str | None
    repo: str | None
    sweep_name: str | None
    user_id: int | None
    exit_code: int | None
    stop_requested: int
    created_at: str
    heartbeat_at: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A run without its config, which is some 10 kB with the SDK's additions."""

    TABLE: ClassVar[str] = "runs"
    id: int
    name: str
    display_name: str
    notes: str | None
    tags: str
    summary: str
    state: str
    group_name: str | None
    job_type: str | None
    sweep_name: str | None
    user_id: int | None
    created_at: str
    heartbeat_at: str


def get_run(db: sqlite3.Connection, run_id: int) -> Run:
    return get(db, Run, run_id)


def find(db: sqlite3.Connection, project_id: int, name: str) -> Run | None:
    return select_one(db, Run, "WHERE project_id = ? AND name = ?", project_id, name)


def find_by_id(db: sqlite3.Connection, run_id: int) -> Run | None:
    return select_one(db, Run, "WHERE id = ?", run_id)


def require(db: sqlite3.Connection, project: Project, name: str) -> Run:
    run = find(db, project.id, name)
    if run is None:
        raise NotFound(f'run "{name}" not found in project "{project.name}"')
    return run


def list_by_project(db: sqlite3.Connection, project_id: int) -> list[Run]:
    """Return a project's runs, newest first."""
    return select_all(db, Run, "WHERE project_id = ? ORDER BY id DESC", project_id)


def list_without_configs(db: sqlite3.Connection, project_id: int) -> list[Listed]:
    """Return a project's runs without their configs, newest first."""
    return select_all(db, Listed, "WHERE project_id = ? ORDER BY id DESC", project_id)


def read_config_text(db: sqlite3.Connection, run_id: int) -> str:
    """Return the config as JSON text; empty if there is no such run."""
    row = db.execute("SELECT config FROM runs WHERE id = ?", (run_id,)).fetchone()
    return str(row[0]) if row else ""


def summarize_project(db: sqlite3.Connection, project_id: int) -> tuple[int, str]:
    """Return how many runs a project has, and the time of the latest heartbeat."""
    sql = "SELECT count(*), coalesce(max(heartbeat_at), '') FROM runs WHERE project_id = ?"
    count, latest = db.execute(sql, (project_id,)).fetchone()
    return int(count), str(latest)


def create(db: sqlite3.Connection, project: Project, user: User, name: str, fields: dict[str, Any]) -> Run:
    """Return a new run, `running` unless `fields` says otherwise."""
    created = format_now()
    given = _check_fields(fields)
    run_id = insert(
        db,
        "runs",
        **{
            "project_id": project.id,
            "name": names.check_plain(name, "run id"),
            "display_name": _make_display_name(db, project.id),
            "state": "running",
            "user_id": user.id,
            "created_at": created,
            "heartbeat_at": created,
            **given,
        },
    )
    return get_run(db, run_id)


def begin(db: sqlite3.Connection, project: Project, user: User, name: str, fields: dict[str, Any]) -> Run:
    """
    Return a new run of the SDK. If it is a fork, it gets the history and the config of the run that it starts from.
    """
    source = _find_source(db, project, name, fields)
    if source is None:
        return create(db, project, user, name, fields)
    below = {key: value for key, value in json.loads(source[0].config).items() if key != "_wandb"}
    made = create(db, project, user, name, fields | {"config": _merge_configs(below, fields)})
    history.fork(db, source[0].id, made.id, source[1])
    return made


def _find_source(db: sqlite3.Connection, project: Project, name: str, given: dict[str, Any]) -> tuple[Run, int] | None:
    """Return the run and the step that a new run starts from (`fork_from`), which the SDK leaves in the config."""
    parse_object(given.get("config"), "a run's config")
    point = _read_branch_point(given)
    if point is None or point.get("run_id") == name:
        return None
    run, step = find(db, project.id, str(point.get("run_id"))), point.get("step")
    if run is None or not isinstance(step, int):
        raise Invalid(f'the run to fork from, "{str(point.get("run_id"))[:80]}", is not in project "{project.name}"')
    return run, step


def _read_branch_point(given: dict[str, Any]) -> dict[str, Any] | None:
    internal = json.loads(given.get("config") or "{}").get("_wandb")
    value = internal.get("value") if isinstance(internal, dict) else None
    point = value.get("branch_point") if isinstance(value, dict) else None
    return point if isinstance(point, dict) else None


def _merge_configs(below: dict[str, Any], given: dict[str, Any]) -> str:
    """Merge two configs: `given` overrides `below`. The parts that the SDK adds about itself are merged key by key."""
    return json.dumps(_merge(below, json.loads(given.get("config") or "{}"), within=("_wandb",)))


def _merge(below: dict[str, Any], above: dict[str, Any], within: tuple[str, ...] = ()) -> dict[str, Any]:
    merged = below | above
    for key in below.keys() & above.keys():
        if (not within or key in within) and isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merge(below[key], above[key])
    return merged


def join(db: sqlite3.Connection, target: Run, fields: dict[str, Any]) -> Run:
    """
    Record that one of several processes writes this run. What the others have sent stays, including that the run has
    ended.
    """
    changes = _check_fields(fields)
    if "config" in changes:
        changes["config"] = _merge_configs(json.loads(target.config), changes)
    update(db, "runs", target.id, heartbeat_at=format_now(), **changes)
    return get_run(db, target.id)


def resume(db: sqlite3.Connection, target: Run, fields: dict[str, Any]) -> Run:
    """Record that a process writes this run: for the first time after it ended, or again while it runs."""
    changes = {"heartbeat_at": format_now(), **_check_fields(fields)}
    point = _read_branch_point(changes)
    if point is not None and point.get("run_id") != target.name:
        changes["config"] = _merge_configs(json.loads(target.config), changes)  # the client knows only its own part
    if target.state != "running":
        changes = {"state": "running", "exit_code": None, "stop_requested": 0, **changes}
    update(db, "runs", target.id, **changes)
    return get_run(db, target.id)


def edit(db: sqlite3.Connection, target: Run, fields: dict[str, Any]) -> Run:
    """Change the given fields; null means "no change", and so does a missing state."""
    update(db, "runs", target.id, **_check_fields(fields))
    return get_run(db, target.id)


def _check_fields(fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    if "tags" in given:
        given["tags"] = json.dumps([names.check_run_tag(tag) for tag in given["tags"]])
    for name in ("config", "summary"):
        if name in given:
            parse_object(given[name], f"a run's {name}")
    if given.get("state", STATES[0]) not in STATES:
        raise Invalid(f'run state "{given["state"]}" is not one of {", ".join(STATES)}')
    return given


def _make_display_name(db: sqlite3.Connection, project_id: int) -> str:
    number = db.execute("SELECT count(*) FROM runs WHERE project_id = ?", (project_id,)).fetchone()[0] + 1
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(NOUNS)}-{number}"


def record_heartbeat(
    db: sqlite3.Connection, run: Run, *, complete: bool, exit_code: int | None, preempting: bool
) -> None:
    """Record a sign of life from the run's process, which may be its last."""
    changes: dict[str, Any] = {"heartbeat_at": format_now()}
    if run.state == "crashed":
        changes["state"] = "running"  # it was only silent for a long time: a suspended machine, a server that was down
    if preempting:
        changes["state"] = "preempting"
    if complete:
        changes |= {"state": "finished" if exit_code == 0 else "failed", "exit_code": exit_code}
    update(db, "runs", run.id, **changes)


def mark_crashed(db: sqlite3.Connection, silent_since: str) -> None:
    """Mark running runs as crashed if no one has heard of them since then: their process was killed."""
    db.execute("UPDATE runs SET state = 'crashed' WHERE state = 'running' AND heartbeat_at < ?", (silent_since,))


def request_stop(db: sqlite3.Connection, run_id: int) -> None:
    """Ask a run to stop. Its process learns of it with its next heartbeat."""
    update(db, "runs", run_id, stop_requested=1)


def move_state(db: sqlite3.Connection, run: Run, state: str) -> None:
    """Apply a person's correction: a lost run has failed, or should be tried again. The rules are W&B's."""
    allowed = {"pending": ("running", "failed", "crashed", "preempted"), "failed": ("pending", "running")}
    if run.state not in allowed.get(state, ()):
        raise Invalid(f'invalid state transition: a run that is {run.state} cannot be set to "{state}"')
    if run.sweep_name:
        raise Invalid("invalid state transition: the sweep sets the states of its runs")
    update(db, "runs", run.id, state=state)


def delete(db: sqlite3.Connection, run_id: int) -> None:
    """Delete a run and its streams. The artifacts that it made stay."""
    db.execute("DELETE FROM runs WHERE id = ?", (run_id,))


def read_config(run: Run) -> dict[str, Any]:
    """Return the config's values; the SDK wraps each as {"value": ...}."""
    return {
        key: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
        for key, entry in json.loads(run.config).items()
    }
