"""Sweeps: points are drawn from their numbers, and none is lost or given twice.

pytest tests/server/store/test_sweeps.py
"""

import json
import sqlite3

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store import runs, sweeps
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import Project
from modelgate_server.store.sweeps import Sweep

GRID = {"method": "grid", "parameters": {"a": {"values": [1, 2]}, "b": {"parameters": {"c": {"values": ["x", "y"]}}}}}
RANDOM = {
    "method": "random",
    "run_cap": 3,
    "parameters": {"lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1}},
}


def create(db: sqlite3.Connection, project: Project, config: object) -> Sweep:
    return sweeps.create(db, project, json.dumps(config), display_name=None, description=None)


def test_a_grid_is_walked_once_from_end_to_end(db: sqlite3.Connection, project: Project) -> None:
    found = create(db, project, GRID)
    assert sweeps.count_expected_points(GRID) == 4
    assert [sweeps.compute_values(found, point) for point in range(5)] == [
        {"a": 1, "b": {"c": "x"}},
        {"a": 1, "b": {"c": "y"}},
        {"a": 2, "b": {"c": "x"}},
        {"a": 2, "b": {"c": "y"}},
        None,
    ]


def test_a_random_point_is_drawn_again_the_same(db: sqlite3.Connection, project: Project) -> None:
    found = create(db, project, RANDOM)
    drawn = [sweeps.compute_values(found, point) for point in range(4)]
    assert drawn == [sweeps.compute_values(found, point) for point in range(4)]
    assert drawn[3] is None and drawn[0] != drawn[1]
    assert all(values is None or 1e-5 <= values["lr"] <= 1 for values in drawn)


def test_an_agent_gets_each_point_once_and_then_an_end(db: sqlite3.Connection, project: Project, user: User) -> None:
    found = create(db, project, GRID)
    agent_id = sweeps.add_agent(db, found, "host").id

    def ask(running: set[str]) -> "dict[str, object] | None":
        agent = sweeps.find_agent(db, agent_id)
        assert agent is not None
        return sweeps.choose_command(db, agent, running)

    given = []
    for _ in range(4):
        command = ask(set())
        assert command is not None and command["type"] == "run"
        assert ask({str(command["run_id"])}) is None
        runs.create(db, project, user, str(command["run_id"]), {"sweep_name": found.name})
        given.append(command["args"])
    assert given == [
        {name: {"value": v} for name, v in (sweeps.compute_values(found, n) or {}).items()} for n in range(4)
    ]
    assert ask(set()) == {"type": "exit"}
    assert sweeps.get_sweep(db, found.id).state == "FINISHED"
    assert len(sweeps.list_runs(db, found)) == 4


def test_a_point_whose_delivery_was_lost_is_given_again(db: sqlite3.Connection, project: Project) -> None:
    agent = sweeps.add_agent(db, create(db, project, GRID), "host")
    first = sweeps.choose_command(db, agent, set())
    asked_again = sweeps.find_agent(db, agent.id)
    assert asked_again is not None
    assert sweeps.choose_command(db, asked_again, set()) == first


def test_a_cancelled_sweep_stops_its_runs(db: sqlite3.Connection, project: Project) -> None:
    found = create(db, project, GRID)
    agent = sweeps.add_agent(db, found, "host")
    command = sweeps.choose_command(db, agent, set())
    assert command is not None
    sweeps.edit(db, found, state="CANCELED")
    agent = sweeps.list_agents(db, found.id)[0]
    assert sweeps.choose_command(db, agent, {command["run_id"]}) == {"type": "stop", "run_id": command["run_id"]}
    assert sweeps.choose_command(db, agent, set()) == {"type": "exit"}


@pytest.mark.parametrize(
    "config",
    [
        "not: [closed",
        "[]",
        {"method": "grid"},
        {"method": "bayes", "parameters": {"a": {"values": [1]}}},
        {"method": "grid", "parameters": {"a": {"min": 0.1, "max": 0.2}}},
        {"method": "grid", "parameters": {f"p{n}": {"values": list(range(100))} for n in range(5)}},
        {"method": "random", "parameters": {"a": 1}},
        {"method": "random", "parameters": {"a": {"distribution": "unheard_of", "min": 0, "max": 1}}},
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(
    db: sqlite3.Connection, project: Project, config: object
) -> None:
    with pytest.raises(Invalid):
        sweeps.create(
            db, project, config if isinstance(config, str) else json.dumps(config), display_name=None, description=None
        )
