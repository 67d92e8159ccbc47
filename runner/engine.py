"""
Find the container engine of this machine: whether there is one, whether you may use it, and whether this kind works.
Then use it with the docker SDK.

This asks the `docker` command, because only it knows which engine you chose (`docker context`).

Everything that the runner creates has the label `modelgate.folder` with the path of its `.modelgate/`. So a query finds
what a killed runner left behind, and the next command removes it. Before the first container is created,
`.modelgate/engine` records that there may be one.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from runner.errors import EngineUnusable
from runner.folder import Folder

LABEL, ROLE = "modelgate.folder", "modelgate.role"
# The SDK's default of 60 s is too short for an engine that builds on a slow disk.
ANSWER_S = 300
WITHOUT = "start it, or run without containers: make run"


def ask(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the `docker` command with these arguments."""
    try:
        return subprocess.run(["docker", *args], capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineUnusable(
            f"the `docker` command is not installed ({error.strerror})",
            "install Docker Engine (https://docs.docker.com/engine/install/), or run without containers: make run",
        ) from error


def require() -> str:
    """Return the address of an engine that works; raise EngineUnusable, which says what is wrong with it."""
    answer = ask("info", "--format", "{{json .SecurityOptions}}")
    address = _find_address()
    if answer.returncode != 0 or not answer.stdout.startswith("["):
        raise _build_unreachable(address, answer.stderr.strip())
    if not address.startswith(("unix://", "npipe://")):
        raise EngineUnusable(
            f"the Docker engine at {address} is reached over a network, so it cannot see your folders",
            "choose an engine on this machine (docker context use default), or run without containers: make run",
        )
    if any("rootless" in option for option in json.loads(answer.stdout)):
        raise EngineUnusable(
            f"the Docker engine at {address} is rootless: its containers cannot write into your folder as you",
            "choose an engine that runs as root (docker context use default), or run without containers: make run",
        )
    return address


def _build_unreachable(address: str, answer: str) -> EngineUnusable:
    if "permission denied" in answer.lower():
        return EngineUnusable(
            f"you are not permitted to use the Docker engine at {address}",
            "ask to be added to the group `docker` (this is as powerful as root), or run without containers: make run",
        )
    lines = [line for line in answer.splitlines() if not line.startswith("template:")]  # docker's own, about --format
    reason = lines[-1] if lines else "there was no answer"
    return EngineUnusable(f"no Docker engine answers at {address}: {reason}", WITHOUT)


def _find_address() -> str:
    """Return where the `docker` command looks for its engine."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    return ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").stdout.strip()


# --- what a folder has in it -----------------------------------------------------------------------------------------


class Engine:
    """The containers and the network of one folder in the engine at `address`."""

    def __init__(self, folder: Folder, address: str) -> None:
        self._folder = folder
        self.client = _connect(address)
        self._address = address
        self._beginning = threading.Lock()
        self.labels = {LABEL: str(folder.path)}
        self.name = get_resource_name(folder)

    def list_containers(self, role: str | None = None) -> list[Any]:
        """Return the containers of this folder, or those of one role."""
        labels = [f"{name}={value}" for name, value in self.labels.items()] + ([f"{ROLE}={role}"] if role else [])
        with self._translate_errors():
            containers: list[Any] = self.client.containers.list(
                all=True, filters={"label": labels}, ignore_removed=True
            )
        return containers

    def remove(self, role: str) -> bool:
        """Stop and remove the containers of a role; return whether there were any."""
        containers = self.list_containers(role)
        with self._translate_errors():
            for container in containers:
                ignore_gone(container.remove, force=True)
        return bool(containers)

    def begin(self) -> None:
        """
        Record that something may be there, and create the network if it is missing. Called before each container:
        another runner of the folder, which has ended in the meantime, may have removed both.
        """
        with self._beginning, self._translate_errors():  # the threads of the server and of the steps share one network
            self._folder.engine_file.write_text(self._address + "\n")
            if not self._list_networks():
                self.client.networks.create(self.name, labels=self.labels)

    def finish(self) -> None:
        """
        Remove the network and the record, unless a container is still there or the engine is gone.

        Only for the holder of `server.lock`: then no one else can start a server in that network.
        """
        try:
            if self.list_containers():
                return
            with self._translate_errors():
                for network in self._list_networks():
                    ignore_gone(network.remove)
        except EngineUnusable:
            return
        self._folder.engine_file.unlink(missing_ok=True)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn an error of the engine into EngineUnusable, with the engine's own message."""
        try:
            yield
        except list_errors() as error:
            raise EngineUnusable(
                f"the Docker engine at {self._address} refused a request: {error}",
                "fix this problem, or run without containers: make run",
            ) from error

    def _list_networks(self) -> list[Any]:
        networks: list[Any] = self.client.networks.list(filters={"label": [f"{LABEL}={self.labels[LABEL]}"]})
        return networks


def get_resource_name(folder: Folder) -> str:
    """Return the name of everything that belongs to a folder in an engine. The whole machine shares these names."""
    return f"modelgate-{hashlib.sha256(str(folder.path).encode()).hexdigest()[:8]}"


def connect_engine(folder: Folder) -> Engine:
    """Return the engine of this machine; raise EngineUnusable."""
    return Engine(folder, require())


def find_noted_engine(folder: Folder) -> Engine | None:
    """Return the engine in which an earlier runner may have left something, if any; raise EngineUnusable."""
    try:
        return Engine(folder, folder.engine_file.read_text().strip())
    except FileNotFoundError:
        return None


# --- the SDK ---------------------------------------------------------------------------------------------------------


def _connect(address: str) -> Any:
    try:
        from docker.client import DockerClient
        from docker.errors import DockerException
    except ImportError as error:  # without the SDK, `docker` is this project's folder
        raise EngineUnusable("the docker SDK is not installed in this environment", "make setup") from error
    try:
        return DockerClient(base_url=address, version="auto", timeout=ANSWER_S)
    except DockerException as error:
        raise EngineUnusable(f"no Docker engine answers at {address}: {error}", WITHOUT) from error


def list_errors() -> tuple[type[Exception], ...]:
    """Return the errors that the SDK raises: its own, and those of its HTTP libraries."""
    from docker.errors import DockerException
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    return DockerException, RequestException, HTTPError


def ignore_gone(call: Callable[..., Any], **options: Any) -> None:
    """Do it, and accept that someone else has removed the container, or is removing it."""
    from docker.errors import APIError

    try:
        call(**options)
    except APIError as error:
        if error.status_code not in (404, 409):
            raise
