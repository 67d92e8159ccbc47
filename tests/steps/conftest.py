"""
One server for all tests of a worker, with one dataset and the models that were trained on it; each test works in a W&B
project and a registry collection of its own.

A file that changes accounts or what tests share, protects aliases or damages what is stored says `OWN_SERVER = True`.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelgate import frameworks
from tests import client
from tests.serving import Server, serving
from tests.steps.github import (
    COMMITS,
    FILES,
    ITS_WORKFLOW,
    MERGE,
    OTHER,
    PULLS,
    REPOSITORY,
    REVIEWS,
    RUN,
    THIS_COMMIT,
    THIS_RUN,
    TOKEN,
    GitHub,
    commit,
    file,
    git_commit,
    may_write,
    pull,
    workflow_run,
)
from tests.steps.keys import TEAM, admin, member
from tests.steps.kinds import use_case  # noqa: F401  # a fixture
from tests.steps.people import people  # noqa: F401  # a fixture
from tests.steps.published import whole  # noqa: F401  # a fixture
from tests.steps.seeding import HISTORY, QUICK_RUNS, seeded  # noqa: F401  # a fixture
from tests.steps.workspace import Workspace

_numbers = itertools.count()
COLLECTED = ("link", "evaluate", "promote", "audit", "predict")  # the steps that have the flag --collection


@dataclass(frozen=True)
class Answer:
    """How a step ended: its exit code, its JSON, its report if it wrote one, and the folder of its files."""

    exit: int
    result: dict[str, Any]
    report: str | None
    out: Path

    @classmethod
    def read(cls, code: int, out: Path) -> Answer:
        report = out / "report.md"
        text = report.read_text(encoding="utf-8") if report.exists() else None
        return cls(code, json.loads((out / "result.json").read_text(encoding="utf-8")), text, out)

    def __getitem__(self, key: str) -> Any:
        return self.result[key]


@pytest.fixture(scope="module")
def training_key(server: Server) -> str:
    """The key of a person who may do everything in the team and the registry except set the protected alias."""
    admin(server, "add-team", TEAM, "--organization", "local-org", "--admin", "local")
    admin(server, "protect-alias", "local-org/wandb-registry-model", "production")
    return member(server, "trainer", "member")


@contextmanager
def serve_copy(data: Path, folder: Path) -> Iterator[Server]:
    """Serve a copy of a data folder. It shares the blobs: the server replaces them, but never writes into one."""
    shutil.copytree(data, folder / "server", ignore=shutil.ignore_patterns("blobs"))
    shutil.copytree(data / "blobs", folder / "server" / "blobs", copy_function=os.link)
    with serving(folder / "server") as running:
        yield running


@pytest.fixture(scope="session")
def shared_server(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:  # noqa: F811
    with serve_copy(seeded / "server", tmp_path_factory.mktemp("shared")) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest,
    seeded: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    if getattr(request.module, "OWN_SERVER", False):
        with serve_copy(seeded / "server", tmp_path_factory.mktemp("own")) as running:
            yield running
    else:
        yield request.getfixturevalue("shared_server")


@pytest.fixture
def collection(request: pytest.FixtureRequest) -> str:
    """The test's own registry collection, even if its name is shortened or the test runs again."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:90]
    return f"{name}-{next(_numbers)}"


@pytest.fixture
def step(
    wandb_env: dict[str, str], tmp_path: Path, collection: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Call a step's main() with the glyphs: `step("build", "--rows", 100)`; a refusal raises its StepError."""
    client.share_service(monkeypatch)
    monkeypatch.setenv("WANDB_PROJECT", collection)
    for variable, value in QUICK_RUNS.items():
        monkeypatch.setenv(variable, value)
    numbers = itertools.count()

    def call(name: str, *flags: object) -> Answer:
        out = tmp_path / f"{next(numbers)}-{name}"
        own = ["--use-case", "glyphs", "--out", str(out)]
        own += ["--collection", collection] if name in COLLECTED else []
        return Answer.read(importlib.import_module(f"steps.{name}").main([*own, *map(str, flags)]), out)

    return call


@pytest.fixture(scope="session")
def results_by_server() -> dict[str, dict[str, Answer]]:
    return {}


@pytest.fixture
def shared_results(
    server: Server,
    seeded: Path,  # noqa: F811
    results_by_server: dict[str, dict[str, Answer]],
) -> dict[str, Answer]:
    """The results that tests share on this server, by name: each is made once."""
    if server.url not in results_by_server:
        codes = json.loads((seeded / "codes.json").read_text(encoding="utf-8"))
        results_by_server[server.url] = {name: Answer.read(code, seeded / name) for name, code in codes.items()}
    return results_by_server[server.url]


@pytest.fixture
def dataset(step: Callable[..., Answer], shared_results: dict[str, Answer]) -> Answer:
    """The glyphs as a dataset version of the shared project, in which nothing else is done."""
    return shared_results["dataset"]


@pytest.fixture(scope="session")
def keras_format() -> None:
    """
    Import Keras, with the settings of the steps.

    Each step runs the garbage collector, which would visit all of TensorFlow: 0.5 s of CPU.
    """
    frameworks.load_format("keras").start(seed=0, threads=1)
    gc.freeze()


@pytest.fixture
def model(keras_format: None, shared_results: dict[str, Answer]) -> Callable[[int], Answer]:
    """A good model by its seed: `model(0)`, as a version of the shared project."""
    return lambda seed: shared_results[f"model-{seed}"]


@pytest.fixture
def first(step: Callable[..., Answer], shared_results: dict[str, Answer]) -> Answer:
    """The evaluation of `model(0)` as v0 of `history`, before anything was in production."""
    return shared_results["evaluation-0"]


@pytest.fixture
def second(step: Callable[..., Answer], shared_results: dict[str, Answer]) -> Answer:
    """The evaluation of `model(1)` as v1 of `history`, while v0 was in production."""
    return shared_results["evaluation-1"]


@pytest.fixture
def history(step: Callable[..., Answer], keras_format: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """
    Call a step in the shared project and collection `history`: v1 is in production, and v0 was before.

    Several tests judge versions there; one that promotes needs a server of its own.
    """
    monkeypatch.setenv("WANDB_PROJECT", HISTORY)
    return lambda name, *flags: step(name, *flags, "--collection", HISTORY)


@pytest.fixture
def evaluated(step: Callable[..., Answer], model: Callable[[int], Answer], dataset: Answer) -> Callable[..., Answer]:
    """Train, link and evaluate: `evaluated(seed)`."""

    def judged(seed: int, *flags: object) -> Answer:
        version = step("link", "--model", model(seed)["model"])["version"]
        return step("evaluate", "--version", version, "--dataset", dataset["dataset"], *flags)

    return judged


@pytest.fixture
def workspace(step: Callable[..., Answer], collection: str) -> Workspace:
    """Promotions without training, in the test's own project and collection, about rows that the tests share."""
    return Workspace(step, collection, rows="rows")


@pytest.fixture
def own_rows(workspace: Workspace) -> None:
    """The rows of the workspace are the test's own, which it may delete."""
    workspace.rows = workspace.collection


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Run as on GitHub: attempt 2 of run 4711, which ada started by merging her own pull request 7."""
    fake = GitHub()
    fake.answers |= {RUN: [], THIS_RUN: workflow_run(), THIS_COMMIT: git_commit(OTHER)}
    fake.answers |= {ITS_WORKFLOW: {"total_count": 1, "workflow_runs": [workflow_run()]}}
    fake.answers |= {PULLS: [pull()], COMMITS: [commit()], FILES: [file()], REVIEWS: [], **may_write("bob")}
    variables = {
        "ACTIONS": "true",
        "API_URL": fake.url,
        "SERVER_URL": "https://github.com",
        "REF": "refs/heads/main",
        "REPOSITORY": REPOSITORY,
        "RUN_ID": "4711",
        "RUN_ATTEMPT": "2",
        "SHA": MERGE,
        "ACTOR": "ada",
        "TRIGGERING_ACTOR": "ada",
        "TOKEN": TOKEN,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    yield fake
    fake.close()
