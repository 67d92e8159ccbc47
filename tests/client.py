"""The SDK in this process as a client of one server."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving import Server

if TYPE_CHECKING:
    from wandb.sdk.lib.service.service_process import ServiceProcess

_service: "ServiceProcess | None" = None


def enter(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the SDK's variables and unset its others; what it writes goes to this folder."""
    home = folder / "home"
    home.mkdir()
    own = {
        "HOME": str(home),
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": server.key,
        "WANDB_ARTIFACT_DIR": str(folder / "wandb_artifacts"),  # other tests download versions of the same name
        "WANDB_ERROR_REPORTING": "false",  # no crash reports or telemetry to W&B from a test
        "WANDB_X_SERVICE_WAIT": "120",  # seconds that the SDK's own process gets to start
        **{f"WANDB_{kind}_DIR": str(folder / f"wandb_{kind.lower()}") for kind in ("CACHE", "DATA", "CONFIG")},
        "WANDB_DIR": str(folder / "wandb_runs"),
    }
    (folder / "wandb_runs").mkdir()  # if it is missing, the SDK warns and writes to /tmp
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)


def share_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let the SDK use one service for all tests of this worker, as the runner does for all steps. A new one for each test
    takes 0.1 s of CPU and 0.2 s of waiting.
    """
    global _service
    if _service is None:
        from wandb.sdk.lib.service import service_process
        from wandb.sdk.wandb_settings import Settings

        _service = service_process.start(Settings())  # it ends with this process
    monkeypatch.setenv("WANDB_SERVICE", _service.token.env_value)


def leave() -> None:
    """End the SDK's own service, if there is one, and let it forget its settings and the artifacts of this server."""
    if "wandb" in sys.modules:
        _close_finalizer()
        sys.modules["wandb"].teardown()
    # The SDK caches artifacts by id, and the next server gives the same ids to others.
    cache = sys.modules.get("wandb.sdk.artifacts.artifact_instance_cache")
    if cache is not None:
        cache.artifact_instance_cache.clear()
        cache.artifact_instance_cache_by_client_id.clear()


def _close_finalizer() -> None:
    """
    End a thread that the SDK leaves behind if the service is not its own. It would fail at its next request, and while
    Python 3.11 formats that error, an `ast.parse` in another thread fails as well.
    """
    setup = sys.modules["wandb.sdk.wandb_setup"]._singleton
    if setup and setup._connection:
        setup._connection._finalizer.close()
