"""
Provide two fixtures for tests of code that uses W&B; docs/how-to/service.md shows how to use them.

    wandb_server   a server for this session: `.url` and `.api_key`. It creates every entity that the code names.
    wandb_env      the SDK in this test talks only to that server.

pytest loads this in every session, so it imports nothing slow. With pytest-xdist, each worker has its own server.
"""

import os
import secrets
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

# A start takes about a second; the rest is for cold disks and busy machines.
START_S = 120
STOP_S = 30


@dataclass(frozen=True)
class WandbServer:
    """A running server. `api_key` is the key of its user `local`."""

    url: str
    api_key: str = field(repr=False)


@pytest.fixture(scope="session")
def wandb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    """Start a W&B-compatible server for this session, on any free port. Its data is removed at the end."""
    folder = tmp_path_factory.mktemp("wandb_server")
    key = f"local-{secrets.token_hex(20)}"
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            # -P: a module in the tests' own folder must not replace one of the server's.
            [sys.executable, "-P", "-m", "modelgate_server.throwaway", str(folder / "data")],
            env={**os.environ, "MODELGATE_SERVER_KEY": key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        url = process.stdout.readline().strip() if ready else ""
        if not url:
            pytest.fail(f"the W&B server did not start:\n{(folder / 'server.log').read_text()}", pytrace=False)
        yield WandbServer(url, key)
    finally:
        process.stdin.close()  # which ends it
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        shutil.rmtree(folder / "data", ignore_errors=True)


@pytest.fixture
def wandb_env(wandb_server: WandbServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """
    Replace the W&B variables in this test: the outer ones are removed, and the SDK writes into a folder of the test.

    Return the variables, for child processes that do not inherit the environment.
    """
    folder = tmp_path_factory.mktemp("wandb")
    variables = {
        "WANDB_BASE_URL": wandb_server.url,
        "WANDB_API_KEY": wandb_server.api_key,
        "WANDB_ERROR_REPORTING": "false",  # no reports of crashes to W&B
        "WANDB_DIR": str(folder),
        **{f"WANDB_{kind}_DIR": str(folder / kind.lower()) for kind in ("ARTIFACT", "CACHE", "CONFIG", "DATA")},
    }
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            environment.delenv(name)
        for name, value in variables.items():
            environment.setenv(name, value)
        _forget()
        yield variables
        _forget()


def _forget() -> None:
    """Make the SDK read its variables again, which it does only once per process."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
