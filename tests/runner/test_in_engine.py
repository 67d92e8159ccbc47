"""
The runner's containers in a real engine, one by one; the loop in containers is in tests/e2e.

    pytest tests/runner/test_in_engine.py
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import executors
from runner.containers import Container, Mount
from runner.engine import LABEL, ROLE, Engine, connect_engine
from runner.environment import Variables
from runner.folder import Folder
from runner.images import Image
from runner.pipeline import BUILD, LINK, Step
from runner.processes import Stop
from runner.server_container import ServerContainer
from runner.step_containers import StepContainers, StepImages
from tests.engine import references
from tests.serving import free_port, until


@pytest.fixture
def images() -> dict[str, Image]:
    return {name: Image(name, reference, name, (), {}) for name, reference in references().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    runner_folder = Folder(tmp_path / ".modelgate")
    runner_folder.make()
    return runner_folder


@pytest.fixture
def engine(folder: Folder, images: dict[str, Image]) -> Iterator[Engine]:
    connected = connect_engine(folder)
    yield connected
    connected.remove("step")
    connected.remove("server")
    connected.finish()


def steps(engine: Engine, images: dict[str, Image], folder: Folder, *expected: Step) -> StepContainers:
    nothing = Variables({})
    made_of = StepImages(engine.name, images, nothing, (nothing, []), engine.name, folder.out)
    return StepContainers(engine, made_of, stop=Stop(), expected=expected)


def test_a_step_and_a_server_find_their_network_though_another_runner_cleared_it_away(
    engine: Engine, images: dict[str, Image], folder: Folder
) -> None:
    engine.begin()
    engine.finish()
    assert not folder.engine_file.exists()
    with steps(engine, images, folder) as execute:
        assert execute(LINK, ["--help"]).code == 0
    engine.finish()
    server = ServerContainer(engine, images["server"], folder, port=free_port(), key="local-" + "0" * 40)
    assert server.read_code() is None
    assert folder.engine_file.exists()
    server.end()
    engine.finish()
    assert not folder.engine_file.exists()


def test_a_step_that_is_expected_starts_before_its_turn_and_is_gone_afterwards(
    engine: Engine, images: dict[str, Image], folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    with steps(engine, images, folder, BUILD, LINK) as execute:
        until(lambda: len(engine.list_containers("step")) == 2, "both containers")
        refused = execute(BUILD, ["--use-case=nothing"])
        assert refused.code == 2 and "error" in json.loads(refused.stdout)
        assert execute(LINK, ["--help"]).code == 0
        assert "usage: python -m steps.link" in capfd.readouterr().err
    assert not engine.list_containers("step")


def test_a_step_whose_turn_does_not_come_ends_with_its_runner(
    engine: Engine, images: dict[str, Image], folder: Folder
) -> None:
    waiting = steps(engine, images, folder)._start(LINK)
    assert waiting.ending.read_code() is None
    with socket.socket(fileno=os.dup(waiting.stdin.fileno())) as connection:
        connection.shutdown(socket.SHUT_RDWR)  # the system does the same when the runner is killed
    until(lambda: waiting.ending.read_code() is not None, "its end")
    assert waiting.ending.read_code() == 0 and not waiting.container.logs(stderr=False)


def test_nothing_is_cleared_away_while_somebody_else_owns_the_server(engine: Engine, folder: Folder) -> None:
    engine.begin()
    owner = folder.try_lock("server.lock")
    assert owner is not None
    executors._finish(folder, engine)
    assert folder.engine_file.exists() and engine._list_networks()
    os.close(owner)
    executors._finish(folder, engine)
    assert not folder.engine_file.exists() and not engine._list_networks()


def test_the_last_words_of_a_server_that_ended_are_there_at_once_and_once(
    engine: Engine, images: dict[str, Image], folder: Folder
) -> None:
    ends = images["link"]  # a step without flags says what is missing, and ends with exit code 2
    server = ServerContainer(engine, ends, folder, port=free_port(), key="local-" + "0" * 40)
    assert until(server.read_code, "its end") == 2
    output = folder.server_log.read_text()
    assert "error: " in output
    assert server.read_code() == 2
    server.end()
    assert folder.server_log.read_text() == output
    assert not engine.list_containers()


def test_the_proxies_of_dockers_own_configuration_are_not_those_of_a_container(
    images: dict[str, Image], folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = connect_engine(folder)._address
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": "http://proxy:1"}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    this_engine = Engine(folder, address)
    this_engine.begin()
    try:
        wanted = steps(this_engine, images, folder)._steps.build_container(LINK, [])
        (folder.out / "link").mkdir(parents=True)
        created = wanted.create(this_engine.client, this_engine.labels)
        assert not [word for word in created.attrs["Config"]["Env"] if "proxy" in word.lower()]
    finally:
        this_engine.remove("step")
        this_engine.finish()


def facts(container: dict[str, Any]) -> dict[str, Any]:
    """Return what the engine knows about a container, except who made it, when, and that docker's `--rm` removes it."""
    config, host = dict(container["Config"]), dict(container["HostConfig"])
    for own in ("Hostname", "Labels", "AttachStdin", "AttachStdout", "AttachStderr"):
        config.pop(own)
    for own in ("AutoRemove", "ConsoleSize", "ContainerIDFile"):
        host.pop(own, None)
    config["Env"] = sorted(config["Env"])
    host["RestartPolicy"] = {**host["RestartPolicy"], "Name": host["RestartPolicy"]["Name"] or "no"}
    # The two clients have several values for "nothing".
    return {"config": config, "host": {name: value or None for name, value in host.items()}}


def test_the_line_that_is_printed_makes_the_container_that_runs(
    engine: Engine, images: dict[str, Image], folder: Folder, tmp_path: Path
) -> None:
    """The container has each kind of flag, and a folder whose name a shell could misread."""
    (folder.path / "key").write_text("local-secret\n")
    odd = tmp_path / "a folder, of 'odd' names: $HOME"
    odd.mkdir()
    variables = Variables({"KEY": "local-secret", "PLAIN": "two words"}, {"KEY": folder.path / "key"})
    mounts = [Mount(odd, "/out", writable=True), Mount(odd, "/rows")]
    wanted = Container(
        f"{engine.name}-link",
        "step",
        images["link"].reference,
        ("--help", "--out=/out"),
        variables,
        mounts,
        engine.name,
        free_port(),
    )
    engine.begin()
    ours = engine.client.api.inspect_container(wanted.create(engine.client, engine.labels).id)
    engine.remove("step")
    printed = wanted.format_command()
    assert printed.startswith("docker run --rm --read-only") and "local-secret" not in printed
    line = printed.replace("docker run --rm", f"docker create --label={LABEL}={folder.path} --label={ROLE}=step", 1)
    done = subprocess.run(["sh", "-c", line], env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs = engine.client.api.inspect_container(done.stdout.strip())
    engine.remove("step")
    assert facts(ours) == facts(theirs)
    assert facts(ours)["host"]["ReadonlyRootfs"] and facts(ours)["host"]["CapDrop"] == ["ALL"]
