"""
`kill -9` anywhere in the loop, then the same command: it completes, and nothing is there twice.

    pytest tests/e2e/test_kills.py -m prove        between ledger entry and alias, and at twenty moments drawn at random

tests/steps/test_cut_off.py has the first of these moments without a loop around it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests import own
from tests.e2e.conftest import DEADLINE_S
from tests.e2e.facts import facts

LOOP = ("run",)


@pytest.fixture
def clone(clone):
    """A clone with a table, which trains in no time: the kill hits the loop, not the training."""
    own.cells(clone.path)
    clone.env["CELLS_EVERY"] = "7"
    return clone


def kill_at(clone, seconds: float, victim: str, *arguments: str) -> None:
    """Run the loop; after this many seconds kill the step, the server or the runner, if it still runs."""
    process = clone.start(*arguments, APPROVE="ada")
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    pid = process.pid if victim == "runner" else clone.pid(f"{victim}.pid")
    if process.poll() is None and pid:
        with contextlib.suppress(ProcessLookupError):  # it may end between the query and the kill
            os.kill(pid, signal.SIGKILL)
    process.wait(DEADLINE_S)


def duration(clone) -> float:
    """The seconds of one undisturbed loop here."""
    began = time.monotonic()
    code, output = clone.run(*LOOP, "--C", "100", APPROVE="ada")
    assert code == 0, output
    return time.monotonic() - began


def kills(clone, moments: int, seed: int) -> None:
    """Draw each moment from the whole length of the loop; each gets a separate loop with a new training."""
    drawn = random.Random(seed)
    whole = duration(clone)
    for number in range(1, moments + 1):
        victim = drawn.choice(("step", "step", "server", "runner"))
        loop = (*LOOP, "--C", str(number))
        kill_at(clone, drawn.uniform(0, whole), victim, *loop)
        code, output = clone.run(*loop, APPROVE="ada")
        assert code == 0, f"after kill {number} of {victim}:\n{output}"
    state = clone.ask(facts("cells-dev", "cells"))
    del state["runs"]  # a killed run stays
    promoted = moments + 1
    assert state == {
        "production": f"v{moments}",
        "datasets": 1,
        "models": promoted,
        "versions": promoted,
        "entries": promoted,
    }


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_twenty_moments(clone, seed):
    """Five for each seed."""
    kills(clone, 5, seed)


@pytest.mark.prove
def test_between_ledger_entry_and_alias(clone):
    code, output = clone.run(*LOOP)  # no one approves: it stops there
    assert code == 0, output
    program = (
        "import os, signal, sys; from steps import promote; "
        "promote.move_alias = lambda *_: os.kill(os.getpid(), signal.SIGKILL); promote.main(sys.argv[1:])"
    )
    evidence = "local/model-registry-dev/cells_evaluation:v0"
    command = [sys.executable, "-c", program, "--use-case", "cells", "--evidence", evidence, "--approver", "ada"]
    with clone.open() as client:
        killed = subprocess.run(command, cwd=clone.path, env=client, timeout=DEADLINE_S)
    assert killed.returncode == -signal.SIGKILL
    is_production = "api.artifact_exists('local-org/wandb-registry-model/cells-dev:production')"
    entries = "len(api.artifacts('promotion', 'local/model-registry-dev/cells_promotions'))"
    assert clone.ask(f"[{is_production}, {entries}]") == [False, 1]

    code, output = clone.run(*LOOP, APPROVE="bob")
    assert code == 0, output
    state = clone.ask(facts("cells-dev", "cells"))
    assert (state["production"], state["entries"], state["versions"]) == ("v0", 2, 1)
    assert "approved by bob" in output  # ada's entry was skipped
