"""Serve sweeps and their agents."""

import json
from typing import Any

from ariadne import MutationType, ObjectType

from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, make_single_page, paginate
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import filters, projects, sweeps
from modelgate_server.store.documents import parse_object
from modelgate_server.store.filters import Order
from modelgate_server.store.projects import Project
from modelgate_server.store.sweeps import Agent, Sweep

mutation = MutationType()
project = ObjectType("Project")
sweep = ObjectType("Sweep")
agent = ObjectType("Agent")
TYPES = (mutation, project, sweep, agent)

# Features of W&B's sweeps that this server does not have. It refuses them instead of ignoring them.
NOT_HERE = {
    "controller": "a sweep with its own controller",
    "scheduler": "a sweep with a scheduler",
    "launch_scheduler": "a sweep with a launch scheduler",
    "template_variable_values": "a sweep with template variables",
    "prior_runs_filters": "a sweep that continues from earlier runs",
}
FILTERS = {
    "name": "name",
    "state": "state",
    "description": "description",
    "displayName": "display_name",
    "display_name": "display_name",
    "createdAt": "created_at",
    "created_at": "created_at",
}


@mutation.field("upsertSweep")
def upsert_sweep(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    for name, what in NOT_HERE.items():
        if input.get(name):
            raise Invalid(f"this server does not support {what}")
    if input.get("id"):
        sweep = sweeps.find_by_id(call.db, decode_id("Sweep", input["id"]))
        sweep = projects.require_writable_item(call.db, call.user, sweep, f'sweep "{input["id"][:80]}" not found')
        names = ("state", "config", "display_name", "description")
        changed = sweeps.edit(call.db, sweep, **{name: input.get(name) for name in names})
        return {"sweep": changed, "config_validation_warnings": sweeps.list_warnings(sweeps.parse(changed.config))}
    if not input.get("config"):
        raise Invalid("a sweep needs a configuration")
    home = projects.ensure(call.db, call.user, input.get("entity_name"), input.get("project_name") or "uncategorized")
    made = sweeps.create(
        call.db,
        home,
        input["config"],
        display_name=input.get("display_name"),
        description=input.get("description"),
    )
    return {"sweep": made, "config_validation_warnings": sweeps.list_warnings(sweeps.parse(made.config))}


@mutation.field("createAgent")
def create_agent(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Agent]:
    call = info.context
    home = projects.require_writable(
        call.db, call.user, input.get("entity_name"), input.get("project_name") or "uncategorized"
    )
    sweep = sweeps.find(call.db, home.id, input["sweep"])
    if sweep is None:
        raise NotFound(f'sweep "{input["sweep"][:80]}" not found in project "{home.name}"')
    return {"agent": sweeps.add_agent(call.db, sweep, input["host"])}


@mutation.field("agentHeartbeat")
def agent_heartbeat(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Return the commands for the agent. A 404 tells it that its sweep is gone."""
    call = info.context
    agent = sweeps.find_agent(call.db, decode_id("Agent", input["id"]))
    its_sweep = sweeps.get_sweep(call.db, agent.sweep_id) if agent else None
    projects.require_writable_item(call.db, call.user, its_sweep, gone := "the agent's sweep was deleted")
    if agent is None:
        raise NotFound(gone)
    states = parse_object(input.get("run_state"), "the state of the agent's runs")
    command = sweeps.choose_command(call.db, agent, {name for name, state in states.items() if state})
    return {"agent": agent, "commands": json.dumps([command] if command else [])}


@project.field("sweep")
def project_sweep(project: Project, info: Info, sweep_name: str) -> Sweep | None:
    return sweeps.find(info.context.db, project.id, sweep_name)


@project.field("totalSweeps")
def project_total_sweeps(project: Project, info: Info) -> int:
    return len(sweeps.list_by_project(info.context.db, project.id))


@project.field("sweeps")
def project_sweeps(
    project: Project, info: Info, after: str | None = None, first: int | None = None, filters: str | None = None
) -> dict[str, Any]:
    newest_first = Order[Sweep](lambda row: [row.id], backwards=True)
    return paginate(_select_sweeps(info.context, project, filters), after, first, newest_first)


def _select_sweeps(call: Call, project: Project, condition: str | None) -> list[Sweep]:
    def read_field(sweep: Sweep, name: str) -> Any:
        if name not in FILTERS:
            raise Invalid(f'sweeps cannot be filtered by "{name}"')
        return getattr(sweep, FILTERS[name])

    condition_object = parse_object(condition, "the filter for sweeps")
    return filters.select(sweeps.list_by_project(call.db, project.id), condition_object, read_field)


@sweep.field("id")
def sweep_id(sweep: Sweep, info: Info) -> str:
    return encode_id("Sweep", sweep.id)


@sweep.field("project")
def sweep_project(sweep: Sweep, info: Info) -> Project:
    return projects.get_project(info.context.db, sweep.project_id)


@sweep.field("method")
def sweep_method(sweep: Sweep, info: Info) -> str:
    return str(sweeps.parse(sweep.config)["method"])


@sweep.field("heartbeatAt")
def sweep_heartbeat_at(sweep: Sweep, info: Info) -> str:
    return sweep.updated_at


@sweep.field("controller")
@sweep.field("scheduler")
def sweep_controller(sweep: Sweep, info: Info) -> None:
    """Return None: only this server assigns the points of a sweep."""


@sweep.field("earlyStopJobRunning")
def sweep_early_stop(sweep: Sweep, info: Info) -> bool:
    return False


@sweep.field("bestLoss")
def sweep_best_loss(sweep: Sweep, info: Info) -> float | None:
    return sweeps.find_best_loss(info.context.db, sweep)


@sweep.field("runCount")
def sweep_run_count(sweep: Sweep, info: Info) -> int:
    return len(sweeps.list_runs(info.context.db, sweep))


@sweep.field("runCountExpected")
def sweep_run_count_expected(sweep: Sweep, info: Info) -> int | None:
    return sweeps.count_expected_points(sweeps.parse(sweep.config))


@sweep.field("runs")
def sweep_runs(sweep: Sweep, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    return paginate(sweeps.list_runs(info.context.db, sweep), after, first, Order(lambda row: [row.id]))


@sweep.field("agent")
def sweep_agent(sweep: Sweep, info: Info, agent_name: str) -> Agent | None:
    return next(
        (agent for agent in sweeps.list_agents(info.context.db, sweep.id) if _get_name(agent) == agent_name), None
    )


@sweep.field("agents")
def sweep_agents(sweep: Sweep, info: Info) -> dict[str, Any]:
    return make_single_page(sweeps.list_agents(info.context.db, sweep.id))


def _get_name(agent: Agent) -> str:
    return str(agent.id)


@agent.field("id")
def agent_id(agent: Agent, info: Info) -> str:
    return encode_id("Agent", agent.id)


@agent.field("name")
def agent_name(agent: Agent, info: Info) -> str:
    return _get_name(agent)


@agent.field("state")
def agent_state(agent: Agent, info: Info) -> str:
    return "RUNNING" if sweeps.get_sweep(info.context.db, agent.sweep_id).state == "RUNNING" else "STOPPED"
