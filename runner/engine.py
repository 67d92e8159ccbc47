"""
Find the container engine of this machine: whether there is one, whether you may use it, and whether this kind works.

This asks the `docker` command, because only it knows which engine you chose (`docker context`).
"""

from __future__ import annotations

import json
import os
import subprocess

from runner.errors import EngineUnusable

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
