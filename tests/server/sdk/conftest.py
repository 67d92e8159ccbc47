"""Through the real, unmodified SDK only."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import client
from tests.server.wire import Wire
from tests.serving import Server

StartRun = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def wandb_env(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_client: None
) -> Iterator[dict[str, str]]:
    """As elsewhere, except that the SDK's own process continues: all these tests have the same server."""
    client.enter(server, tmp_path, monkeypatch)
    monkeypatch.setenv("WANDB_X_SAVE_REQUIREMENTS", "false")  # listing the installed packages is most of a run's cost
    yield dict(os.environ)


@pytest.fixture(scope="module")
def one_client() -> Iterator[None]:
    yield
    client.leave()


@pytest.fixture
def start_run(wandb_env: dict[str, str], project: str) -> StartRun:
    """`with start_run(**options) as run`: a run of this test's own project."""

    @contextmanager
    def start(**options: Any) -> Iterator[Any]:
        import wandb

        with wandb.init(project=project, **options) as run:
            yield run

    return start


@pytest.fixture
def api(wandb_env: dict[str, str], project: str) -> Any:
    import wandb

    return wandb.Api(overrides={"project": project}, timeout=60)


@pytest.fixture(autouse=True)
def seen_by_the_server(request: pytest.FixtureRequest, server: Server) -> Iterator[None]:
    """`@pytest.mark.covers("AddAliases")` is a claim about the wire: the server must have answered it meanwhile."""
    claimed = {name for marker in request.node.iter_markers("covers") for name in marker.args}
    before = Wire.connect(server).answered() if claimed else {}
    yield
    if claimed:
        after = Wire.connect(server).answered()
        unseen = {name for name in claimed if after.get(name, 0) == before.get(name, 0)}
        assert not unseen, f"the server did not see {sorted(unseen)}"
