"""The environment and the two fixtures that all tests share; a folder's conftest may widen the scope of `server`."""

import gc
import os
import signal
from collections.abc import Iterator, MutableMapping
from pathlib import Path

import pytest

from runner import prepared
from tests import client, own
from tests.serving import Server, serving

gc.disable()  # until the tests are collected: almost everything that is made before is kept
own.install()
# pydantic looks for the source of each of the SDK's models among all modules. A worker has thousands of them.
prepared.leave_out_descriptions()
# The collector's first threshold is 700 objects. At that, it took a tenth of the CPU of all tests.
NEW_OBJECTS = 20_000
LONGEST = ("test_act.py", "test_act_order.py", "test_browser.py", "test_evaluate.py", "test_promote.py")


def leave_the_runner(environ: MutableMapping[str, str]) -> None:
    """
    Remove the variables that a hosted runner exports: a test that runs as on GitHub sets them itself.

    `CI` stays. It decides whether a test that cannot run is skipped or fails.
    """
    for name in [name for name in environ if name.startswith(("GITHUB_", "RUNNER_", "ACTIONS_"))]:
        del environ[name]


leave_the_runner(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker waits for another at the end; `make test` keeps this order."""
    items.sort(key=lambda item: (item.path.name not in LONGEST, "e2e" not in item.path.parts))


def pytest_collection_finish() -> None:
    """Let the garbage collector visit what tests make, but not the modules and the tests themselves."""
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def signals_as_on_a_terminal() -> None:
    """
    Handle signals as on a terminal: background jobs ignore SIGINT, under nohup also SIGHUP, and children inherit that.
    The SDK, too, interrupts a run that was stopped from elsewhere as Ctrl-C would.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The embedded server as a separate process: `.url .key .data .pid`."""
    with serving(tmp_path / "server") as running:
        yield running


@pytest.fixture
def wandb_env(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of a client of `server`, for child processes; this process has it already."""
    client.enter(server, tmp_path, monkeypatch)
    yield dict(os.environ)
    client.leave()  # the SDK reads its settings once per process: the next test has another server
