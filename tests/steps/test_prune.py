"""
What prune deletes and what it never deletes: random histories on the real server, read with the real SDK.

    pytest tests/steps/test_prune.py
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
import wandb

from modelgate.errors import StepError
from modelgate.promotion import retention
from tests.server.wire import Upload, Wire
from tests.serving import Server

OWN_SERVER = True

LATER = datetime.now(UTC) + timedelta(days=1)
STEPS = ("build", "train", "link", "evaluate", "promote", "name", "unname", "unlink", "watch")


@dataclass
class Version:
    """A version that this test made. run: the run that logged it; uses: the runs that used it."""

    id: str
    name: str
    run: str
    aliases: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    linked: bool = False


class History:
    """A use case's project, written with the bare protocol: what the steps would log, without the content."""

    def __init__(self, server: Server, project: str, seed: int) -> None:
        self.wire = Wire.connect(server)
        self.project = project
        self.chance = random.Random(seed)
        self.datasets: list[Version] = []
        self.models: list[Version] = []
        self.named: set[str] = set()
        self.records: list[Version] = []
        self.running: set[str] = set()
        self._runs = 0
        self._bytes = 0

    @property
    def deletable(self) -> list[Version]:
        return [*self.datasets, *self.models]

    def any(self, versions: list[Version]) -> Version | None:
        return self.chance.choice(versions) if versions else None

    def run(self, *, state: str = "finished") -> str:
        self._runs += 1
        name = f"r{self._runs}"
        self.wire.done("upsertBucket", "inserted", modelName=self.project, name=name, state=state)
        return name

    def log(self, kind: str, run: str, name: str, content: str = "") -> Version:
        self._bytes += 1
        file = {"evaluation": "evidence.json", "promotion": "entry.json"}.get(kind, "file")
        upload = Upload(
            self.wire, self.project, {file: (content or f"{self._bytes}").encode("latin-1")}, f"glyphs_{name}"
        )
        aliases = [{"alias": "latest"}, {"alias": f"inputs-{self._bytes:012x}"}]
        artifact = upload.create(artifactTypeName=kind, runName=run, aliases=aliases)
        upload.put_files(artifact)
        manifest = json.dumps(upload.manifest(artifact)).encode()
        assert requests.put(upload.manifest_url(artifact, manifest), data=manifest, timeout=60).status_code == 200
        upload.commit(artifact)
        artifact_fields = self.wire.data("query A($id: ID!) { artifact(id: $id) { versionIndex } }", id=artifact)[
            "artifact"
        ]
        return Version(artifact, f"local/{self.project}/glyphs_{name}:v{artifact_fields['versionIndex']}", run)

    def use(self, version: Version, run: str) -> None:
        run_fields = {"entityName": "local", "projectName": self.project, "runName": run}
        self.wire.done("useArtifact", "artifact { id }", artifactID=version.id, **run_fields)
        version.uses.add(run)

    def step(self, name: str) -> None:
        dataset, model = self.any(self.datasets), self.any(self.models)
        match name:
            case "build":
                self.datasets.append(self.log("dataset", self.run(), "dataset"))
            case "train" if dataset:
                run = self.run()
                self.use(dataset, run)
                self.models.append(self.log("model", run, "model"))
            case "link" if model:
                self._link(model)
            case "evaluate" if model and dataset:
                run = self.run()
                self.use(dataset, run)
                self._record("evaluation", run, {"model": {"name": model.name}, "dataset": {"name": dataset.name}})
            case "promote" if model and dataset:
                self._record(
                    "promotion", self.run(), {"model": {"name": model.name}, "dataset": {"name": dataset.name}}
                )
            case "name" | "unname" if version := self.any(self.deletable):
                self._name(version, removed=name == "unname")
            case "unlink" if linked := self.any([version for version in self.models if version.linked]):
                self._unlink(linked)
            case "watch" if version := self.any(self.deletable):
                run = self.run(state=self.chance.choice(["running", "finished"]))
                self.running |= {run} if run_is_running(self.wire, self.project, run) else set()
                self.use(version, run)

    def _record(self, kind: str, run: str, content: dict[str, Any]) -> None:
        names = {"evaluation": "evaluation", "promotion": "promotions"}
        self.records.append(self.log(kind, run, names[kind], json.dumps(content | {"number": len(self.records)})))
        self.named |= {part["name"] for part in content.values()}

    def _link(self, version: Version) -> None:
        registry = {"entityName": "local-org", "projectName": "wandb-registry-model"}
        fields = {"artifactID": version.id, "artifactPortfolioName": self.project, **registry}
        self.wire.done("linkArtifact", "versionIndex", **fields)
        version.linked = True

    def _unlink(self, version: Version) -> None:
        query = """query C($name: String!) { project(entityName: "local-org", name: "wandb-registry-model") {
          artifactCollection(name: $name) { id } } }"""
        portfolio = self.wire.data(query, name=self.project)["project"]["artifactCollection"]["id"]
        self.wire.done("unlinkArtifact", "success", artifactID=version.id, artifactPortfolioID=portfolio)
        version.linked = False

    def _name(self, version: Version, *, removed: bool) -> None:
        collection = version.name.split("/")[2].split(":")[0]
        alias = {"entityName": "local", "projectName": self.project, "artifactCollectionName": collection}
        mutation = "deleteAliases" if removed else "addAliases"
        self.wire.done(mutation, "success", artifactID=version.id, aliases=[alias | {"alias": "best"}])
        for other in self.deletable:
            if other.name.split(":")[0] == version.name.split(":")[0] and not removed:
                other.aliases.discard("best")
        (version.aliases.discard if removed else version.aliases.add)("best")

    def kept(self) -> set[str]:
        """Return what must stay, by the rules of docs/how-to/prune.md."""
        newest = {version[-1].id for version in (self.datasets, self.models) if version}
        ids = {
            version.id
            for version in self.deletable
            if version.id in newest
            or version.aliases
            or version.linked
            or version.name in self.named
            or version.uses & self.running
        }
        while True:
            makers = {
                version.run
                for version in [*self.deletable, *self.records]
                if version.id in ids or version in self.records
            }
            grown = ids | {version.id for version in self.deletable if version.uses & makers}
            if grown == ids:
                return ids
            ids = grown


def run_is_running(wire: Wire, project: str, run: str) -> bool:
    query = "query R($project: String, $run: String!) { project(name: $project) { run(name: $run) { state } } }"
    return bool(wire.data(query, project=project, run=run)["project"]["run"]["state"] == "running")


def list_stored(api: wandb.Api, history: History) -> set[str | None]:
    """Return the ids of what is left of a history."""
    ids = set()
    for kind, name in (
        ("dataset", "dataset"),
        ("model", "model"),
        ("evaluation", "evaluation"),
        ("promotion", "promotions"),
    ):
        collection = f"local/{history.project}/glyphs_{name}"
        if api.artifact_collection_exists(collection, kind):
            ids |= {version.id for version in api.artifact_collection(kind, collection).artifacts()}
    return ids


def prune_random_histories(server: Server, seeds: Iterator[int]) -> None:
    api = wandb.Api()
    deleted = 0
    for seed in seeds:
        history = History(server, f"history-{seed}", seed)
        for name in ["build", "train", *history.chance.choices(STEPS, k=history.chance.randint(3, 14))]:
            history.step(name)
        plan = retention.read(api, f"local/{history.project}", "glyphs", LATER)
        for version in plan.versions:
            retention.delete(api, version)
        left = list_stored(api, history)
        assert left == history.kept() | {record.id for record in history.records}, f"seed {seed}"
        assert not retention.read(api, f"local/{history.project}", "glyphs", LATER).versions, f"seed {seed}"
        deleted += len(plan.versions)
    assert deleted


def test_what_an_alias_the_ledger_or_evidence_names_stays_and_nothing_else(
    server: Server, wandb_env: dict[str, str]
) -> None:
    prune_random_histories(server, iter(range(6)))


@pytest.mark.prove
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(1000, 1500, 100))
def test_what_is_named_stays_in_500_histories(server: Server, wandb_env: dict[str, str], first: int) -> None:
    """A hundred from each first seed."""
    prune_random_histories(server, iter(range(first, first + 100)))


@pytest.fixture
def history(server: Server, wandb_env: dict[str, str], collection: str) -> History:
    """Two datasets, and two models of the first."""
    empty = History(server, collection, 0)
    for name in ("build", "train", "train", "build"):
        empty.step(name)
    return empty


def test_nothing_goes_before_it_was_shown(history: History, step: Callable[..., Any]) -> None:
    shown = step("prune", "--older-than", 0)
    (version,) = shown["versions"]
    assert (version["name"], shown["deleted"]) == (history.models[0].name, [])
    assert shown["kept"] == {"an alias names it": 2, "something that stays was made with it": 1}
    assert len(list_stored(wandb.Api(), history)) == 4
    done = step("prune", "--older-than", 0, "--delete", shown["plan"])
    assert done["deleted"] == [history.models[0].name]
    assert list_stored(wandb.Api(), history) == {item.id for item in [*history.datasets, history.models[1]]}


def test_what_is_linked_or_in_use_stays(history: History) -> None:
    def deletable() -> list[str]:
        return [version.name for version in retention.read(api, f"local/{history.project}", "glyphs", LATER).versions]

    api, loose = wandb.Api(), history.models[0]
    history._link(loose)
    assert deletable() == []
    history._unlink(loose)
    assert deletable() == [loose.name]
    history.use(loose, history.run(state="running"))
    assert deletable() == []


def test_what_is_young_stays(history: History, step: Callable[..., Any]) -> None:
    assert step("prune")["versions"] == []
    assert step("prune")["kept"]["it is recent"] == 2


def test_another_list_than_the_one_that_was_shown_is_not_deleted(history: History, step: Callable[..., Any]) -> None:
    shown = step("prune", "--older-than", 0)
    history.step("train")
    with pytest.raises(StepError) as refused:
        step("prune", "--older-than", 0, "--delete", shown["plan"])
    assert refused.value.name == "plan_changed"
    assert len(list_stored(wandb.Api(), history)) == 5


def test_a_version_that_was_named_in_the_last_moment_stays(history: History) -> None:
    api = wandb.Api()
    (version,) = retention.read(api, f"local/{history.project}", "glyphs", LATER).versions
    history._name(history.models[0], removed=False)
    with pytest.raises(wandb.errors.CommError, match="best"):
        retention.delete(api, version)
    assert history.models[0].id in list_stored(api, history)


@pytest.mark.parametrize("content", ["no JSON", '{"version": "é"}'], ids=["text", "no UTF-8"])
def test_a_record_that_cannot_be_read_stops_it(history: History, step: Callable[..., Any], content: str) -> None:
    history.log("evaluation", history.run(), "evaluation", content)
    with pytest.raises(StepError) as refused:
        step("prune", "--older-than", 0)
    assert refused.value.name == "record_unreadable"
