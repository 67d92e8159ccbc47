"""
Two promotions at once: the ledger lets one win, the other says that it lost, the alias is never on two versions.

    pytest tests/steps/test_race.py              two races
    pytest tests/steps/test_race.py -m prove     fifty
"""

from __future__ import annotations

from concurrent.futures import wait

import pytest
import wandb

from tests.steps.racing import racers
from tests.steps.workspace import Workspace

ROUNDS = 10


def holders(workspace):
    """Return the numbers of the versions that are `production`, from one query of all of them."""
    versions = wandb.Api().artifact_collection("model", workspace.registry).artifacts(per_page=100)
    return [int(version.version[1:]) for version in versions if "production" in version.aliases]


def race(workspace, racing, number, production):
    """Let two candidates race to replace production; return the version that won."""
    first, second = workspace.evidence(number, production), workspace.evidence(number + 1, production)
    running = racing.promote(first, second)
    while wait(running, timeout=0).not_done:
        assert len(holders(workspace)) <= 1
    assert sorted(future.result() for future in running) == ["done", "promotion_lost"]
    won, lost = workspace.entries[-2:]
    assert [(won.void, won.applied), (lost.void, lost.applied)] == [(False, True), (True, False)]
    (holder,) = holders(workspace)
    assert won.content["to"]["name"] == f"{workspace.registry}:v{holder}"
    return holder


def races(workspace, rounds):
    production = None
    with racers() as racing:
        for number in range(rounds):
            production = race(workspace, racing, 2 * number, production)
    assert len(workspace.entries) == 2 * rounds
    assert workspace.findings() == set()


def test_one_of_two_promotions_wins_and_the_other_says_that_it_lost(step, collection):
    races(Workspace(step, collection, rows="rows"), 2)


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(5))
def test_fifty_races(step, collection, number):
    """Run ten races per registry collection, so that one query shows all its versions."""
    races(Workspace(step, collection, rows="rows"), ROUNDS)
