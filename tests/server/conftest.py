"""One server for the whole session; tests keep apart by project. What kills or breaks a server starts its own."""

import re
from collections.abc import Iterator

import pytest

from tests.server.wire import Wire
from tests.serving import Server, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("shared") / "server") as running:
        yield running


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire.connect(server)


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project that no other test writes to."""
    return re.sub(r"\W+", "-", request.node.name.removeprefix("test_"))[:100]
