"""
Store sweeps: a configuration, and agents that fetch its points one by one.

A point is computed from its number (and the sweep's id), so only the number is stored, and a point whose delivery was
lost can be computed again. https://docs.wandb.ai/guides/sweeps/sweep-config-keys/ is the configuration's reference.
"""

import itertools
import json
import math
import random
import secrets
import sqlite3
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml  # type: ignore[import-untyped]

from modelgate_server.errors import Invalid
from modelgate_server.settings import MAX_NAME_CHARS, MAX_SWEEP_CHARS
from modelgate_server.store import runs
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run

STATES = ("RUNNING", "PAUSED", "CANCELED", "FINISHED", "STOPPED", "PENDING")
METHODS = ("grid", "random")
NAME_CHARS = 8
# A grid is iterated in memory.
MAX_GRID_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Sweep:
    TABLE: ClassVar[str] = "sweeps"
    id: int
    project_id: int
    name: str
    display_name: str | None
    description: str | None
    config: str
    state: str
    points: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Agent:
    TABLE: ClassVar[str] = "agents"
    id: int
    sweep_id: int
    host: str
    run_name: str | None
    point: int | None
    total_runs: int
    created_at: str
    heartbeat_at: str


def get_sweep(db: sqlite3.Connection, sweep_id: int) -> Sweep:
    return get(db, Sweep, sweep_id)


def find_by_id(db: sqlite3.Connection, sweep_id: int) -> Sweep | None:
    return select_one(db, Sweep, "WHERE id = ?", sweep_id)


def find(db: sqlite3.Connection, project_id: int, name: str) -> Sweep | None:
    return select_one(db, Sweep, "WHERE project_id = ? AND name = ?", project_id, name)


def list_by_project(db: sqlite3.Connection, project_id: int) -> list[Sweep]:
    return select_all(db, Sweep, "WHERE project_id = ? ORDER BY id DESC", project_id)


def list_runs(db: sqlite3.Connection, sweep: Sweep) -> list[Run]:
    return select_all(db, Run, "WHERE project_id = ? AND sweep_name = ? ORDER BY id", sweep.project_id, sweep.name)


def create(
    db: sqlite3.Connection, project: Project, config: str, *, display_name: str | None, description: str | None
) -> Sweep:
    parsed = check_config(config)
    created = format_now()
    sweep_id = insert(
        db,
        "sweeps",
        project_id=project.id,
        name=_make_name(),
        display_name=display_name or parsed.get("name"),
        description=description,
        config=config,
        state="PENDING",
        created_at=created,
        updated_at=created,
    )
    return get_sweep(db, sweep_id)


def edit(
    db: sqlite3.Connection,
    target: Sweep,
    *,
    state: str | None = None,
    config: str | None = None,
    display_name: str | None = None,
    description: str | None = None,
) -> Sweep:
    """Change the given fields."""
    if state is not None and state not in STATES:
        raise Invalid(f'sweep state "{state}" is not one of {", ".join(STATES)}')
    if config is not None:
        check_config(config)
    changes = {"state": state, "config": config, "display_name": display_name, "description": description}
    given = {name: value for name, value in changes.items() if value is not None}
    update(db, "sweeps", target.id, updated_at=format_now(), **given)
    return get_sweep(db, target.id)


def _make_name() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(NAME_CHARS))


# --- the configuration --------------------------------------------------------------------------------------------


def parse(text: str) -> dict[str, Any]:
    """Return a sweep's configuration, which the client sends as YAML. Raise Invalid for what cannot be run here."""
    if len(text) > MAX_SWEEP_CHARS:
        raise Invalid(f"the sweep's configuration has more than {MAX_SWEEP_CHARS} characters")
    try:
        config = _load(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):  # for example, for a date in the 13th month
        raise Invalid("the sweep's configuration is not YAML") from None
    _check_values(config)
    if not isinstance(config, dict) or not isinstance(config.get("parameters"), dict):
        raise Invalid('the sweep\'s configuration must be an object with an object "parameters"')
    if config.get("method") not in METHODS:
        raise Invalid(f'sweep method "{config.get("method")}" is not available here ({", ".join(METHODS)})')
    with _refuse_undrawable():
        _draw(config["parameters"], random.Random(0))  # noqa: S311  a try, to refuse what cannot be drawn
        if config["method"] == "grid":
            count_grid_points(config["parameters"])
    return config


# This server does not support these keys. A sweep that accepted and ignored them would not be the one that was asked
# for.
NOT_HERE = {
    "early_terminate": "stopping runs early",
    "controller": "a sweep with its own controller",
    "scheduler": "a sweep with a scheduler",
    "job": "a sweep of a launch job",
    "image_uri": "a sweep of an image",
    "queue": "a sweep on a launch queue",
    "launch": "a sweep on launch",
}
# The keys that this server or the agent reads.
KNOWN = ("method", "parameters", "metric", "run_cap", "program", "command", "name", "description", "project", "entity")
GOALS = ("minimize", "maximize")


def check_config(text: str) -> dict[str, Any]:
    """Return the configuration of a new sweep. Raise Invalid, with the name, for keys that would have no effect."""
    config = parse(text)
    for key, what in NOT_HERE.items():
        if config.get(key) and config[key] != {"type": "cloud"}:
            raise Invalid(f'{what} ("{key}" in the sweep\'s configuration) is not supported by this server')
    cap = config.get("run_cap", 1)
    if not isinstance(cap, int) or isinstance(cap, bool) or cap < 1:
        raise Invalid(f'"run_cap" of the sweep must be a whole number from 1, not {cap!r}')
    metric = config.get("metric") or {}
    goal, target = (metric.get("goal", "minimize"), metric.get("target", 0)) if isinstance(metric, dict) else ("", 0)
    if goal not in GOALS or isinstance(target, bool) or not isinstance(target, int | float):
        raise Invalid(f'"metric" of the sweep needs a "goal" ({" or ".join(GOALS)}), and "target" must be a number')
    return config


def list_warnings(config: dict[str, Any]) -> list[str]:
    """Return warnings about keys of a configuration that have no effect, for the person who wrote it."""
    unknown = sorted(str(key) for key in config if key not in KNOWN and key not in NOT_HERE)
    return [
        f'"{key[:80]}" in the sweep\'s configuration is not supported by this server and has no effect'
        for key in unknown
    ]


def _check_values(config: Any) -> None:
    """
    Refuse values that JSON does not have. YAML may also hold a cycle, or a few lines that expand to billions of values.
    """
    waiting, seen = [config], 0
    while waiting:
        item = waiting.pop()
        seen += 1
        if seen > MAX_GRID_POINTS:
            raise Invalid(f"the sweep's configuration has more than {MAX_GRID_POINTS} values")
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif not isinstance(item, str | int | float | None):
            raise Invalid(
                f'the sweep\'s configuration has a value of type "{type(item).__name__}", which JSON does not have'
            )


@contextmanager
def _refuse_undrawable() -> Iterator[None]:
    """
    Refuse a configuration from which no point can be drawn, such as a sigma of text or the wrong number of weights.
    """
    try:
        yield
    except (ValueError, TypeError, ArithmeticError, RecursionError, AttributeError) as error:
        raise Invalid(f"no point can be drawn from the sweep's configuration: {error}") from None


def _load(text: str) -> Any:
    try:
        return json.loads(text)  # most JSON is YAML, but YAML reads 1e-05 as a string
    except ValueError:
        return yaml.safe_load(text)


def count_grid_points(parameters: dict[str, Any]) -> int:
    size = math.prod(len(choices) for _, choices in _list_axes(parameters))
    if size > MAX_GRID_POINTS:
        raise Invalid(f"the grid has {size} points, but at most {MAX_GRID_POINTS} are allowed")
    return size


def count_expected_points(config: dict[str, Any]) -> int | None:
    """Return how many runs the sweep will have, None if there is no limit."""
    limits = [count_grid_points(config["parameters"])] if config["method"] == "grid" else []
    if isinstance(config.get("run_cap"), int):
        limits.append(config["run_cap"])
    return min(limits, default=None)


def compute_values(sweep: Sweep, point: int) -> dict[str, Any] | None:
    """Return the parameters of a point, None after the last one."""
    config = parse(sweep.config)
    expected = count_expected_points(config)
    if expected is not None and point >= expected:
        return None
    with _refuse_undrawable():
        if config["method"] == "grid":
            return _compute_grid_point(config["parameters"], point)
        return _draw(config["parameters"], random.Random(f"{sweep.id}:{point}"))  # noqa: S311  no secret


def _list_axes(parameters: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], list[Any]]]:
    axes = []
    for name, spec in parameters.items():
        place = (*path, str(name))
        if isinstance(spec, dict) and isinstance(spec.get("parameters"), dict):
            axes += _list_axes(spec["parameters"], place)
        else:
            axes.append((place, _list_choices(place[-1], spec)))
    return axes


def _list_choices(name: str, spec: Any) -> list[Any]:
    if isinstance(spec, dict):
        if "value" in spec:
            return [spec["value"]]
        if isinstance(spec.get("values"), list):
            return list(spec["values"])
        low, high = spec.get("min"), spec.get("max")
        if isinstance(low, int) and isinstance(high, int) and high - low < MAX_GRID_POINTS:
            return list(range(low, high + 1))
    raise Invalid(f'a grid needs "value", "values" or whole numbers "min" and "max" for parameter "{name}"')


def _compute_grid_point(parameters: dict[str, Any], point: int) -> dict[str, Any]:
    axes = _list_axes(parameters)
    chosen = next(itertools.islice(itertools.product(*(choices for _, choices in axes)), point, None))
    values: dict[str, Any] = {}
    for (path, _), value in zip(axes, chosen, strict=True):
        inner = values
        for name in path[:-1]:
            inner = inner.setdefault(name, {})
        inner[path[-1]] = value
    return values


def _draw(parameters: dict[str, Any], source: random.Random) -> dict[str, Any]:
    return {str(name): _draw_one(str(name), spec, source) for name, spec in parameters.items()}


def _draw_one(name: str, spec: Any, source: random.Random) -> Any:
    if not isinstance(spec, dict):
        raise Invalid(f'parameter "{name}" of the sweep must be an object')
    if isinstance(spec.get("parameters"), dict):
        return _draw(spec["parameters"], source)
    if "value" in spec:
        return spec["value"]
    if isinstance(spec.get("values"), list) and spec["values"]:
        return source.choices(spec["values"], spec.get("probabilities"))[0]
    return _draw_number(name, spec, source)


def _draw_number(name: str, spec: dict[str, Any], source: random.Random) -> float:
    low, high = spec.get("min"), spec.get("max")
    kind = spec.get("distribution") or ("int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform")
    if kind in ("normal", "q_normal"):
        drawn: float = source.gauss(spec.get("mu", 0), spec.get("sigma", 1))
    elif not isinstance(low, int | float) or not isinstance(high, int | float) or low > high:
        raise Invalid(f'parameter "{name}" of the sweep needs "value", "values", or "min" and "max"')
    elif kind == "int_uniform":
        return source.randint(int(low), int(high))
    elif kind in ("uniform", "q_uniform"):
        drawn = source.uniform(low, high)
    elif kind in ("log_uniform", "q_log_uniform"):
        drawn = math.exp(source.uniform(low, high))
    elif kind in ("log_uniform_values", "q_log_uniform_values") and low > 0:
        drawn = math.exp(source.uniform(math.log(low), math.log(high)))
    else:
        raise Invalid(f'distribution "{kind}" of parameter "{name}" is not available here')
    step = spec.get("q", 1)
    return round(drawn / step) * step if kind.startswith("q_") else drawn


# --- agents -------------------------------------------------------------------------------------------------------


def find_agent(db: sqlite3.Connection, agent_id: int) -> Agent | None:
    return select_one(db, Agent, "WHERE id = ?", agent_id)


def list_agents(db: sqlite3.Connection, sweep_id: int) -> list[Agent]:
    return select_all(db, Agent, "WHERE sweep_id = ? ORDER BY id", sweep_id)


def add_agent(db: sqlite3.Connection, sweep: Sweep, host: str) -> Agent:
    created = format_now()
    agent_id = insert(
        db,
        "agents",
        sweep_id=sweep.id,
        host=host[:MAX_NAME_CHARS],
        created_at=created,
        heartbeat_at=created,
    )
    if sweep.state == "PENDING":
        edit(db, sweep, state="RUNNING")
    return get(db, Agent, agent_id)


def choose_command(db: sqlite3.Connection, agent: Agent, running: set[str]) -> dict[str, Any] | None:
    """Return what an agent with these running runs does next: run a point, stop a run, exit, or nothing."""
    update(db, "agents", agent.id, heartbeat_at=format_now())
    sweep = get_sweep(db, agent.sweep_id)
    if running:
        stop = sweep.state == "CANCELED" and agent.run_name in running
        return {"type": "stop", "run_id": agent.run_name} if stop else None
    if sweep.state in ("FINISHED", "CANCELED", "STOPPED"):
        return {"type": "exit"}
    if sweep.state == "PAUSED":
        return None
    lost = agent.run_name is not None and runs.find(db, sweep.project_id, agent.run_name) is None
    point = agent.point if lost and agent.point is not None else sweep.points
    values = compute_values(sweep, point)
    if values is None or _is_target_reached(db, sweep):
        edit(db, sweep, state="FINISHED")
        return {"type": "exit"}
    run_name = str(agent.run_name) if lost else _make_name()
    if not lost:
        update(db, "sweeps", sweep.id, points=point + 1)
        update(db, "agents", agent.id, run_name=run_name, point=point, total_runs=agent.total_runs + 1)
    return _build_run_command(run_name, parse(sweep.config).get("program"), values)


def _build_run_command(run_name: str, program: Any, values: dict[str, Any]) -> dict[str, Any]:
    """
    Build the command for a point. Without a program, the agent uses its own command; a null would cause an endless
    error.
    """
    arguments = {name: {"value": value} for name, value in values.items()}
    return {"type": "run", "run_id": run_name, "program": str(program or ""), "args": arguments, "logs": []}


def _is_target_reached(db: sqlite3.Connection, sweep: Sweep) -> bool:
    metric = parse(sweep.config).get("metric")
    best = find_best_loss(db, sweep)
    if best is None or not isinstance(metric, dict) or not isinstance(metric.get("target"), int | float):
        return False
    return bool(best >= metric["target"] if metric.get("goal") == "maximize" else best <= metric["target"])


def find_best_loss(db: sqlite3.Connection, sweep: Sweep) -> float | None:
    """Return the best value of the sweep's metric among its runs."""
    metric = parse(sweep.config).get("metric")
    if not isinstance(metric, dict):
        return None
    summaries = (json.loads(run.summary).get(metric.get("name")) for run in list_runs(db, sweep))
    values = [value for value in summaries if isinstance(value, int | float) and math.isfinite(value)]
    best = max if metric.get("goal") == "maximize" else min
    return best(values, default=None)
