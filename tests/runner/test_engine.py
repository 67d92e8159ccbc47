"""
Without a usable engine, the runner says what is wrong and how to do without.

    pytest tests/runner/test_engine.py
"""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from runner import engine, images
from runner.errors import BuildFailed, EngineUnusable
from runner.processes import Stop
from tests import own
from tests.engine import references, to_the_engine
from tests.serving import until

from .conftest import Checkout

ROOT = Path(__file__).parents[2]
HOW_TO_RUN_WITHOUT = "make run"
UNWELL = "input/output error of the engine's disk"


@pytest.fixture
def command() -> str:
    """The folder of the `docker` command; its engine is not needed."""
    docker = shutil.which("docker")
    if docker is None:
        if os.environ.get("CI"):
            pytest.fail("there is no docker command")
        pytest.skip("there is no docker command here")
    return str(Path(docker).parent)


class _Handler(BaseHTTPRequestHandler):
    """An engine that answers `docker info` and can do nothing with containers."""

    options: tuple[str, ...] = ()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        status, body = 200, b"OK"
        if self.path.endswith("/info"):
            body = json.dumps({"SecurityOptions": list(self.options), "ServerVersion": "20.10.24"}).encode()
        elif self.path.endswith("/version"):
            body = json.dumps({"ApiVersion": "1.41"}).encode()
        elif "/containers/" in self.path:
            status, body = 500, json.dumps({"message": UNWELL}).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def engine_that_says(folder: Path, *options: str) -> Iterator[str]:
    """The address of a fake engine of a kind that is not available here."""
    path = folder / "engine.sock"
    handler = type("Info", (_Handler,), {"options": options})
    with socketserver.ThreadingUnixStreamServer(str(path), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{path}"
        server.shutdown()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a socket's path may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mg") as folder:
        yield Path(folder)


def make_real(checkout: Checkout) -> None:
    """Make the sources of the images real, with the use case `letters`."""
    checkout.be_real()
    own.letters(checkout.root)


def run(checkout: Checkout, **env: str) -> tuple[int, str]:
    make_real(checkout)
    return checkout.runner("run", "--docker", **env)


def test_no_docker_command(checkout: Checkout) -> None:
    code, output = run(checkout, PATH="/nowhere")
    assert code == 3, output
    assert "error: the `docker` command is not installed" in output
    assert HOW_TO_RUN_WITHOUT in output.splitlines()[-1]
    assert checkout.calls() == []


def test_no_engine_answers(checkout: Checkout, command: str) -> None:
    code, output = run(checkout, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert code == 3
    assert "error: no Docker engine answers at unix:///nowhere/docker.sock" in output
    assert HOW_TO_RUN_WITHOUT in output.splitlines()[-1]
    assert "Traceback" not in output and checkout.calls() == []
    assert "plan" not in output
    assert "plan" not in checkout.runner("rollback", "--docker", DOCKER_HOST="unix:///nowhere/docker.sock")[1]


def test_what_docker_says_about_its_own_format_is_not_the_reason(monkeypatch):
    output = "Cannot connect to the Docker daemon.\ntemplate: :1:7: executing at <.SecurityOptions>: nil pointer\n"
    monkeypatch.setattr(engine, "ask", lambda *args: subprocess.CompletedProcess(args, 1, "", output))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with pytest.raises(EngineUnusable, match=r"unix:///nowhere: Cannot connect to the Docker daemon\.$"):
        engine.require()


def test_a_base_image_that_cannot_be_pulled_is_named_by_its_variable():
    references()  # there is an engine
    wanted = images.wanted(ROOT, None, base="localhost:9/nothing:1")
    with pytest.raises(BuildFailed) as refused:
        images.prepare(ROOT, [wanted[images.SERVER]], Stop())
    assert refused.value.hint == "name a base image that Docker can pull; now BASE_IMAGE=localhost:9/nothing:1"


def test_a_rootless_engine(checkout: Checkout, command: str, short: Path) -> None:
    with engine_that_says(short, "name=seccomp,profile=default", "name=rootless") as address:
        code, output = run(checkout, DOCKER_HOST=address)
    assert code == 3
    assert f"error: the Docker engine at {address} is rootless" in output
    assert HOW_TO_RUN_WITHOUT in output.splitlines()[-1]


def test_an_engine_of_another_machine(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        with pytest.raises(EngineUnusable, match="reached over a network, so it cannot see your folders"):
            engine.require()
        server.shutdown()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who is not permitted")
def test_an_engine_that_is_not_permitted(command: str, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short.chmod(0o755)
    with engine_that_says(short) as address:
        Path(address.removeprefix("unix://")).chmod(0o660)
        monkeypatch.setenv("DOCKER_HOST", address)
        assert engine.require() == address
        as_nobody = short / "docker"
        as_nobody.write_text(
            f'#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups {command}/docker "$@"\n'
        )
        as_nobody.chmod(0o755)
        monkeypatch.setenv("PATH", f"{short}:{os.environ['PATH']}")
        with pytest.raises(EngineUnusable, match="you are not permitted to use the Docker engine") as refused:
            engine.require()
    assert HOW_TO_RUN_WITHOUT in refused.value.hint


def test_a_run_without_containers_goes_on_where_the_engine_is_gone(checkout: Checkout) -> None:
    checkout.folder.mkdir(mode=0o700)
    (checkout.folder / "engine").write_text("unix:///nowhere/docker.sock\n")
    code, output = checkout.runner("run", "--use-case", "glyphs")
    assert code == 0, output
    assert "containers of an earlier runner may still exist; the next command looks for them again" in output
    assert (checkout.folder / "engine").exists()
    code, output = checkout.runner("clean", "--yes")
    assert code == 3
    assert checkout.folder.exists()  # nothing is removed while something may still use it


def test_what_the_engine_fails_to_do_is_said_in_its_own_words(checkout: Checkout, short: Path) -> None:
    checkout.folder.mkdir(mode=0o700)
    with engine_that_says(short) as address:
        (checkout.folder / "engine").write_text(f"{address}\n")
        code, output = checkout.runner("run", "--use-case", "glyphs")
        assert code == 0, output
        assert "the next command looks for them again" in output and UNWELL in output
        code, output = checkout.runner("clean", "--yes")
    assert code == 3
    assert f"error: the Docker engine at {address} refused a request" in output and UNWELL in output
    assert HOW_TO_RUN_WITHOUT in output.splitlines()[-1]
    assert checkout.folder.exists()


def test_an_unknown_kind_of_runner_is_refused(checkout: Checkout) -> None:
    code, output = checkout.runner("run", RUNNER="podman")
    assert code == 2
    assert "RUNNER='podman' is neither `processes` nor `docker`" in output


def test_containers_do_not_talk_to_a_server_that_is_a_process(checkout: Checkout) -> None:
    references()  # skips without an engine
    make_real(checkout)
    checkout.start("serve")
    until(lambda: (checkout.folder / "server" / "server.db").exists(), "the server")
    code, output = checkout.runner("run", "--docker", **to_the_engine())
    assert code == 2, output
    assert "runs as a process, for an open `serve`, so containers cannot reach it" in output
    assert "make serve RUNNER=docker" in output
    assert not (checkout.folder / "engine").exists()
