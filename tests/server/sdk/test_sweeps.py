"""Sweeps through the SDK.

pytest tests/server/sdk/test_sweeps.py
"""

import pytest
import wandb


@pytest.mark.covers(
    "UpsertSweep", "CreateAgent", "Heartbeat", "GetSweep", "GetSweeps", "GetSweepAgent", "GetSweepAgents"
)
def test_an_agent_runs_every_point_of_a_grid(
    wandb_env: dict[str, str], project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wandb.agents.pyagent import Agent

    monkeypatch.setattr(Agent, "HEARTBEAT_SLEEP_SECONDS", 0.1)
    config = {"method": "grid", "metric": {"name": "loss"}, "parameters": {"x": {"values": [3, 1]}, "y": {"value": 5}}}
    sweep = wandb.sweep(config, project=project)

    def train() -> None:
        with wandb.init() as run:
            run.log({"loss": run.config.x * run.config.y})

    wandb.agent(sweep, train, project=project, count=2)
    found = wandb.Api().sweep(f"local/{project}/{sweep}")
    assert sorted(run.config["x"] for run in found.runs) == [1, 3]
    assert found.best_run().config == {"x": 1, "y": 5}
    assert found.expected_run_count == 2
    (agent,) = found.agents()
    assert found.agent(agent.name).id == agent.id
    assert [one.id for one in wandb.Api().project(project, "local").sweeps()] == [sweep]
