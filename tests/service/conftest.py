"""One embedded server per file, with a table use case whose versions can be promoted and served."""

from __future__ import annotations

import http.client
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import usecases
from modelgate import config, new
from tests import client
from tests.own import ROOT
from tests.serving import Server, free_port, serving, until

USE_CASE = "tabular"
PROGRAM = """
import sys, usecases
from pathlib import Path
from modelgate import config
config.FOLDER = Path(sys.argv.pop(1))
usecases.__path__ = [str(config.FOLDER)]
from modelgate.cli import run_guarded
from serving import __main__, app
app.BODY_TIMEOUT_S = 1.0
app.MAX_BODY_BYTES = 2 ** 20
sys.exit(run_guarded(__main__.main))
"""


@dataclass
class Service:
    """A started service: a separate process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    data: Path

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send one request; return status and JSON. A body that is not bytes is sent as JSON."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET" if body is None else "POST", path, content, headers)
            answer = connection.getresponse()
            received = answer.read()
            kind = answer.getheader("content-type", "")
            return answer.status, json.loads(received) if kind == "application/json" else received
        finally:
            connection.close()

    def infer(self, body: Any, **headers: str) -> tuple[int, Any]:
        return self.ask(f"/v2/models/{USE_CASE}/infer", body, **headers)

    @property
    def ready(self) -> dict[str, Any]:
        return dict(self.ask("/v2/health/ready")[1])

    def is_up(self) -> bool:
        try:
            return self.ask("/v2/health/live")[0] == 200
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return False

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@dataclass
class Project:
    """A table use case in a separate project. versions: the promoted versions, by their hyperparameter C."""

    folder: Path
    server: Server
    versions: dict[float, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def step(self, name: str, *flags: object) -> dict[str, Any]:
        """Call a step and return its result."""
        out = self.folder / f"{next(self._numbers)}-{name}"
        importlib.import_module(f"steps.{name}").main(["--use-case", USE_CASE, "--out", str(out), *map(str, flags)])
        return dict(json.loads((out / "result.json").read_text()))

    def linked(self, C: float) -> str:
        """Train and link a version, without promoting it."""
        model = self.step("train", "--dataset", self.step("build")["dataset"], "--C", C)["model"]
        return str(self.step("link", "--model", model)["version"])

    def promote(self, C: float) -> str:
        """Train, evaluate and promote; or roll back to a version that was promoted before."""
        known = self.versions.get(C)
        flags = ["--policy", "rollback"] if known else []
        version = known or self.linked(C)
        judged = self.step("evaluate", "--version", version, "--dataset", self.step("build")["dataset"], *flags)
        self.step("promote", "--evidence", judged["evidence"], "--approver", "ada", "--reason", "a test")
        self.versions[C] = version
        return version

    @contextmanager
    def serving(self, data: Path, port: int | None = None, **environment: str) -> Iterator[Service]:
        """Run the service as a process until the block ends."""
        port = port or free_port()
        log = self.folder / f"{next(self._numbers)}-service.log"
        flags = ["--use-case", USE_CASE, "--port", str(port), "--data", str(data), "--poll", "0.2"]
        command = [sys.executable, "-c", PROGRAM, str(config.FOLDER), *flags]
        with log.open("wb") as sink:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=sink, stderr=sink)
        service = Service(process, port, log, data)
        try:
            until(service.is_up, "the service")
            yield service
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def project(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        client.enter(server, folder, patch)
        patch.setattr(config, "FOLDER", folder / "usecases")
        patch.setattr(usecases, "__path__", [str(folder / "usecases")])
        patch.setenv("WANDB_PROJECT", "served")
        (folder / "usecases").mkdir()
        new.write(USE_CASE, "tabular-classification", "sklearn")
        yield Project(folder, server)
        client.leave()
        for name in [name for name in sys.modules if name.startswith(f"usecases.{USE_CASE}")]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def service(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service of a promoted version."""
    project.promote(1.0)
    with project.serving(tmp_path_factory.mktemp("kept")) as running:
        until(lambda: running.ready["ready"], "the first version")
        yield running
