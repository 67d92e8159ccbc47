"""
The loop in containers: the same folder, the same versions and the same digests as without them.

    pytest tests/e2e/test_containers.py                 the loop of a table
    pytest tests/e2e/test_containers.py -m prove        that of images and Keras; kills: four chosen ones, ten moments
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests import own
from tests.e2e.conftest import DEADLINE_S
from tests.e2e.facts import PRODUCTION, facts
from tests.engine import docker, references
from tests.serving import until

LOOP = ("run", "--learning-rate", "0.002")
LOOP_OF_A_TABLE = ("run", "--C", "0.5")
# By use case: its loop, what train says when it begins to fit, and the hyperparameter that the loop sets.
WAYS = {
    "letters": (LOOP, "epoch 01/08", "learning_rate"),
    "cells": (LOOP_OF_A_TABLE, "rows to learn from", "C"),
}


@pytest.fixture
def team():
    """The function that makes the only use case: images and Keras, unless a test asks for another."""
    return own.letters


@pytest.fixture(autouse=True)
def images(team) -> dict[str, str]:
    return references(team)


@pytest.fixture
def clone(clone, team):
    """A clone with the team's use case alone; see test_third_use_case.py."""
    team(clone.path)
    clone.env |= {"LETTERS_LIMIT": "5", "CELLS_EVERY": "7"}
    return clone


@pytest.fixture(autouse=True)
def nothing_is_left(clone):
    yield
    left = containers_of(clone)
    docker("rm", "--force", *left, check=False)
    assert not left
    assert not docker("network", "ls", "--quiet", f"--filter=label=modelgate.folder={clone.path}/.modelgate").split()


def containers_of(clone, role: str = "", *more: str) -> list[str]:
    """Return the containers of a clone, by their labels."""
    wanted = [f"--filter=label=modelgate.folder={clone.path}/.modelgate", *more]
    wanted += [f"--filter=label=modelgate.role={role}"] if role else []
    return docker("ps", "--all", "--quiet", *wanted).split()


def wait_for(clone, role: str, step: str = "", before: Sequence[str] = ()) -> str:
    """Wait for a role's container and return it. before: containers of an earlier runner, which may still run."""
    running = ("--filter=status=running", f"--filter=name={step}")

    def of_this_runner() -> list[str]:
        return [container for container in containers_of(clone, role, *running) if container not in before]

    return str(until(of_this_runner, f"the {role} {step}", DEADLINE_S)[0])


def answers(clone) -> dict[str, Any]:
    """Return the last results of build, train and link."""
    out = clone.path / ".modelgate" / "out"
    return {step: json.loads((out / step / "result.json").read_text()) for step in ("build", "train", "link")}


def zip_headers(*python: str) -> str:
    """How this Python begins a file in a zip: 3.11.4 changed it (python/cpython#103861), and the digests with it."""
    program = (
        "import io, zipfile\nfile = io.BytesIO()\nwith zipfile.ZipFile(file, 'w') as zip:\n"
        "    with zip.open(zipfile.ZipInfo('a'), 'w', force_zip64=True): pass\nprint(file.getvalue().hex())"
    )
    return subprocess.run([*python, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("team", [own.cells, pytest.param(own.letters, marks=pytest.mark.prove)])
def test_containers_reuse_what_processes_made_and_make_the_same_again(clone, images, team):
    use_case = team.__name__
    loop, moment, hyperparameter = WAYS[use_case]
    code, output = clone.run(*loop)
    assert code == 0, output
    assert f"The plan for {use_case}:" in output
    first = answers(clone)

    code, output = clone.run(*loop, "--docker")
    assert code == 0, output
    assert {step: answer["reused"] for step, answer in answers(clone).items()} == dict.fromkeys(first, True)
    assert {step: answer["digest"] for step, answer in answers(clone).items()} == {
        step: answer["digest"] for step, answer in first.items()
    }
    assert "Traceback" not in output
    assert "local-" not in output.replace("local-org", "")  # no printed command has the key in it
    planned, ran = (re.findall(pattern, output, re.MULTILINE) for pattern in (r"^ {7}\+ (.*)", r"^  \+ (.*)"))
    assert len(planned) == 5 and len(ran) == 4  # no one approved
    for before, now in zip(planned, ran, strict=False):
        assert now.startswith("docker run --rm --read-only --cap-drop=ALL")
        # The plan has a name for what an earlier step makes; everything else is the same, word for word.
        assert re.sub(r"=(DATASET|MODEL|VERSION)\b", "=MADE", before) == re.sub(
            r"(--(?:dataset|model|version))=\S+", r"\1=MADE", now
        )

    # Everything again in containers, and the server is killed: train keeps its model and waits for the next server.
    before = len(clone.log)
    process = clone.start(*loop, "--docker", "--no-cache", APPROVE="ada")
    until(lambda: moment in clone.log[before:] or process.poll() is not None, "train", DEADLINE_S)
    assert process.poll() is None, clone.log
    docker("kill", wait_for(clone, "server"))
    assert process.wait(DEADLINE_S) == 0, clone.log
    assert "the embedded server died" in clone.log
    again = answers(clone)
    assert not again["train"]["reused"]
    assert again["train"] | {"run_url": None} == first["train"] | {"run_url": None}
    assert again["link"]["digest"] == first["link"]["digest"]
    assert again["train"]["run_url"].startswith(clone.client()["WANDB_BASE_URL"])
    # Arrays are in a zip, a table is in Parquet.
    same_bytes = use_case == "cells" or zip_headers(sys.executable) == zip_headers(
        "docker", "run", "--rm", "--entrypoint=python", images["build"]
    )
    assert (again["build"]["digest"] == first["build"]["digest"]) == same_bytes
    collection = f"{use_case}-dev"
    version = PRODUCTION.format(collection=collection)
    facts_found, *output = clone.ask(
        f"[{facts(collection, use_case)}, *({version}.metadata[key] for key in ('use_case', {hyperparameter!r}))]"
    )
    assert (facts_found["production"], facts_found["models"], facts_found["versions"], facts_found["entries"]) == (
        "v0",
        1,
        1,
        1,
    )
    assert output == [use_case, float(loop[-1])]


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("team", [own.cells])
def test_whoever_is_killed_the_next_command_of_either_kind_completes(clone):
    runner = clone.start(*LOOP_OF_A_TABLE, "--docker")
    wait_for(clone, "step", "build")
    runner.send_signal(signal.SIGTERM)  # instead of Ctrl-C, which a background job ignores
    assert runner.wait(DEADLINE_S) == 130
    assert not containers_of(clone)

    runner = clone.start(*LOOP_OF_A_TABLE, "--docker")
    wait_for(clone, "step", "build")
    runner.kill()
    runner.wait(DEADLINE_S)
    assert containers_of(clone, "step") and containers_of(clone, "server")  # children of the engine, not of the runner
    left = containers_of(clone)
    address = clone.client()["WANDB_BASE_URL"]

    runner = clone.start(*LOOP_OF_A_TABLE, "--docker")
    docker("kill", wait_for(clone, "step", "train", left))
    assert runner.wait(DEADLINE_S) == 1
    assert "train was ended by signal 9" in clone.log
    assert not containers_of(clone)

    runner = clone.start(*LOOP_OF_A_TABLE, "--docker")
    wait_for(clone, "step", "train")
    runner.kill()
    runner.wait(DEADLINE_S)
    code, output = clone.run(*LOOP_OF_A_TABLE, APPROVE="ada")  # without containers
    assert code == 0, output
    assert clone.log.count("that an earlier runner left behind") == 4  # a step and a server, twice
    assert clone.client()["WANDB_BASE_URL"] == address  # the leftover container did not keep the port
    state = clone.ask(facts("cells-dev", "cells"))
    del state["runs"]  # a killed run stays
    assert state == {"production": "v0", "datasets": 1, "models": 1, "versions": 1, "entries": 1}


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, 10, 2))
def test_ten_moments(clone, first):
    """
    A step's container, the server's or the runner is killed somewhere in the loop; the next command completes it. Two
    of the ten for each.
    """
    drawn = random.Random(11)
    ten = [(drawn.choice(("step", "server", "runner")), drawn.random()) for _ in range(10)]
    began = time.monotonic()
    code, output = clone.run(*LOOP, "--docker", APPROVE="ada")
    assert code == 0, output
    whole = time.monotonic() - began
    for number, (victim, moment) in enumerate(ten[first : first + 2], 1):
        loop = (*LOOP, "--docker", "--seed", str(number))
        runner = clone.start(*loop, APPROVE="ada")
        deadline = time.monotonic() + moment * whole
        while runner.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if victim == "runner":
            runner.send_signal(signal.SIGKILL)
        elif state := containers_of(clone, victim):
            docker("kill", *state, check=False)  # it may end between the query and the kill
        runner.wait(DEADLINE_S)
        code, output = clone.run(*loop, APPROVE="ada")
        assert code == 0, f"after kill {number} of {victim}:\n{output}"
    state = clone.ask(facts("letters-dev", "letters"))
    del state["runs"]
    assert state == {"production": "v2", "datasets": 1, "models": 3, "versions": 3, "entries": 3}
