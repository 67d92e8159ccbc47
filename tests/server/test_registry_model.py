"""
The rules of versions and aliases, against a model of a page: two clients log, link, alias, unlink, rename and delete at
random, and after every step the server shows what the model holds.

pytest tests/server/test_registry_model.py            the same examples each time; many new ones with -m prove
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from modelgate_server.store import accounts, projects, protection
from modelgate_server.store.db import Database
from tests.server.wire import Upload, Wire
from tests.serving import Server, serving

TEAM, ORGANIZATION, PROTECTED = "pair", "local-org", "production"
NUMBERS = itertools.count()
ALIASES = st.sampled_from(["best", "candidate", PROTECTED, "latest", "v0", "v1"])
GIVEN = st.lists(st.sampled_from(["best", "candidate", PROTECTED, "latest"]), max_size=2)
NAMES = st.sampled_from(["a", "b", "c"])
CLIENTS = st.sampled_from(["admin", "member"])


@dataclass
class Shelf:
    """A collection: which artifact has which number, and which number each alias names."""

    kind: str
    id: str = ""
    versions: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    next: int = 0

    def put(self, artifact: str) -> int:
        """A version's number; a new one takes the next, and `latest`."""
        for number, there in self.versions.items():
            if there == artifact:
                return number
        self.versions[self.next] = artifact
        self.aliases["latest"] = self.next
        self.next += 1
        return self.next - 1

    def take(self, artifact: str) -> None:
        """Without a version, whose number no one gets again; `latest` goes to the newest that is left."""
        number = next((number for number, there in self.versions.items() if there == artifact), None)
        if number is None:
            return
        del self.versions[number]
        was_latest = self.aliases.get("latest") == number
        self.aliases = {alias: at for alias, at in self.aliases.items() if at != number}
        if was_latest and self.versions:
            self.aliases["latest"] = max(self.versions)

    def held(self, artifact: str) -> set[str]:
        return {alias for alias, number in self.aliases.items() if self.versions[number] == artifact}


@dataclass
class World:
    """A team's project and a registry of its organization, for one example."""

    wires: dict[str, Wire]
    project: str
    registry: str

    def home(self, kind: str) -> dict[str, str]:
        if kind == "sequence":
            return {"entityName": TEAM, "projectName": self.project}
        return {"entityName": ORGANIZATION, "projectName": self.registry}

    def log(self, client: str, name: str, content: str, aliases: list[str]) -> str:
        """The version's id; the server says when it has the same content already."""
        upload = Upload(self.wires[client], self.project, {"a.txt": content.encode()}, name)
        artifact = upload.create(entityName=TEAM, aliases=[{"alias": alias} for alias in aliases])
        query = "query($id: ID!) { artifact(id: $id) { state } }"
        if self.wires[client].data(query, id=artifact)["artifact"]["state"] == "PENDING":
            upload.put_files(artifact)
            upload.put_manifest(artifact)
            answer = upload.commit(artifact)
            assert answer.status_code == 200, answer.text
        return artifact

    def shelves(self, client: str) -> dict[tuple[str, str], tuple[str, dict[int, str], dict[str, int]]]:
        """All that there is, as a client sees it: id, versions and aliases by kind and name of the collection."""
        found = {}
        for kind in ("sequence", "portfolio"):
            home = self.home(kind)
            answer = self.wires[client].data(EVERYTHING, e=home["entityName"], p=home["projectName"])["project"]
            for edge in answer["artifactCollections"]["edges"] if answer else []:
                node = edge["node"]
                versions = {int(one["version"][1:]): one["node"]["id"] for one in node["artifacts"]["edges"]}
                nodes = [one["node"] for one in node["artifacts"]["edges"]]
                places = [place["node"] for one in nodes for place in one["artifactMemberships"]["edges"]]
                aliases = {
                    alias["alias"]: place["versionIndex"]
                    for place in places
                    if place["artifactCollection"]["id"] == node["id"]
                    for alias in place["aliases"]
                }
                listed = sorted(one["node"]["alias"] for one in node["aliases"]["edges"])
                assert listed == sorted(aliases), "the collection and its versions disagree about the aliases"
                found[kind, node["name"]] = (node["id"], versions, aliases)
        return found

    def resolve(self, client: str, kind: str, reference: str) -> str | None:
        query = """query($e: String!, $p: String!, $n: String!) { project(entityName: $e, name: $p) {
          artifactCollectionMembership(name: $n) { artifact { id } } } }"""
        home = self.home(kind)
        found = self.wires[client].data(query, e=home["entityName"], p=home["projectName"], n=reference)["project"]
        there = found and found["artifactCollectionMembership"]
        return there["artifact"]["id"] if there else None


EVERYTHING = """query($e: String!, $p: String!) { project(entityName: $e, name: $p) {
  artifactCollections(first: 100) { edges { node { id name
    aliases(first: 100) { edges { node { alias } } }
    artifacts(first: 100) { edges { version node { id artifactMemberships { edges { node {
      versionIndex aliases { alias } artifactCollection { id } } } } } } } } } } } }"""


class Registry(RuleBasedStateMachine):
    """Each rule does one thing on the server and in the model, and says what the server must refuse."""

    wires: ClassVar[dict[str, Wire]]
    data: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        number = next(NUMBERS)
        self.world = World(self.wires, f"model-{number}", f"wandb-registry-model-{number}")
        self.wires["admin"].done("upsertModel", "inserted", entityName=ORGANIZATION, name=self.world.registry)
        with Database(self.data / "server.db").write() as db:
            home = projects.find_by_path(db, f"{ORGANIZATION}/{self.world.registry}")
            assert home
            protection.protect(db, home, PROTECTED)
        self.shelves: dict[tuple[str, str], Shelf] = {}
        self.contents: dict[str, tuple[str, str]] = {}  # artifact -> id of its sequence, content

    # --- the model's rules -------------------------------------------------------------------------------------

    def guarded(self, client: str, shelf: Shelf, aliases: set[str]) -> bool:
        """A member must not touch the protected alias, in the registry."""
        return client != "admin" and shelf.kind == "portfolio" and PROTECTED in aliases

    def pick(self, data: st.DataObject, kinds: tuple[str, ...] = ("sequence", "portfolio"), full: bool = True) -> Shelf:
        shelves = [one for one in self.shelves.values() if one.kind in kinds and (one.versions or not full)]
        return shelves[data.draw(st.integers(0, len(shelves) - 1))]

    def version(self, data: st.DataObject, shelf: Shelf) -> str:
        """By its number: the order of the ids as texts is another one in each run of an example."""
        return shelf.versions[data.draw(st.sampled_from(sorted(shelf.versions)))]

    def there(self, *kinds: str) -> bool:
        return any(one.kind in kinds and one.versions for one in self.shelves.values())

    def name_of(self, shelf: Shelf) -> str:
        return next(name for (_, name), one in self.shelves.items() if one is shelf)

    def expect(self, client: str, refused: int | None, name: str, selection: str, /, **fields: Any) -> None:
        answer = self.wires[client].mutation(name, selection, **fields)
        assert answer.status_code == (refused or 200), (refused, answer.text)

    # --- what clients do ---------------------------------------------------------------------------------------

    @rule(client=CLIENTS, name=NAMES, content=st.sampled_from("123"), aliases=GIVEN)
    def log(self, client: str, name: str, content: str, aliases: list[str]) -> None:
        artifact = self.world.log(client, name, f"{self.world.project} {content}", aliases)
        shelf = self.shelves.setdefault(("sequence", name), Shelf("sequence"))
        shelf.id = self.world.shelves(client)["sequence", name][0]
        same = [one for one in shelf.versions.values() if self.contents[one] == (shelf.id, content)]
        assert same in ([], [artifact]), "the same content became another version"
        self.contents[artifact] = shelf.id, content
        number = shelf.put(artifact)
        shelf.aliases |= dict.fromkeys(aliases, number)

    @precondition(lambda self: self.there("sequence"))
    @rule(data=st.data(), client=CLIENTS, name=NAMES, aliases=GIVEN)
    def link(self, data: st.DataObject, client: str, name: str, aliases: list[str]) -> None:
        artifact = self.version(data, self.pick(data))
        shelf = self.shelves.get(("portfolio", name), Shelf("portfolio"))
        held = shelf.held(artifact) if artifact in shelf.versions.values() else set()
        refused = 403 if self.guarded(client, shelf, set(aliases) - held) else None
        where = self.world.home("portfolio") | {"artifactPortfolioName": name}
        given = [{"alias": alias} for alias in aliases]
        self.expect(client, refused, "linkArtifact", "versionIndex", artifactID=artifact, aliases=given, **where)
        if not refused:
            shelf.aliases |= dict.fromkeys(aliases, shelf.put(artifact))
            self.shelves["portfolio", name] = shelf
            shelf.id = self.world.shelves(client)["portfolio", name][0]

    @precondition(lambda self: self.there("sequence", "portfolio"))
    @rule(data=st.data(), client=CLIENTS, alias=ALIASES)
    def add_alias(self, data: st.DataObject, client: str, alias: str) -> None:
        shelf = self.pick(data)
        number = data.draw(st.sampled_from(sorted(shelf.versions)))
        refused = None
        if alias.startswith("v"):
            refused = None if alias == f"v{number}" else 400
        elif shelf.aliases.get(alias) != number and self.guarded(client, shelf, {alias}):
            refused = 403
        self.change("addAliases", client, refused, shelf, number, alias)
        if not refused and not alias.startswith("v"):
            shelf.aliases[alias] = number

    @precondition(lambda self: self.there("sequence", "portfolio"))
    @rule(data=st.data(), client=CLIENTS, alias=ALIASES)
    def remove_alias(self, data: st.DataObject, client: str, alias: str) -> None:
        shelf = self.pick(data)
        number = data.draw(st.sampled_from(sorted(shelf.versions)))
        held = shelf.aliases.get(alias) == number
        refused = 403 if held and self.guarded(client, shelf, {alias}) else None
        self.change("deleteAliases", client, refused, shelf, number, alias)
        if held and not refused:
            del shelf.aliases[alias]

    def change(self, name: str, client: str, refused: int | None, shelf: Shelf, number: int, alias: str) -> None:
        where = self.world.home(shelf.kind) | {"artifactCollectionName": self.name_of(shelf), "alias": alias}
        self.expect(client, refused, name, "success", artifactID=shelf.versions[number], aliases=[where])

    @precondition(lambda self: self.there("portfolio"))
    @rule(data=st.data(), client=CLIENTS)
    def unlink(self, data: st.DataObject, client: str) -> None:
        shelf = self.pick(data, ("portfolio",))
        artifact = self.version(data, shelf)
        refused = 403 if self.guarded(client, shelf, shelf.held(artifact)) else None
        self.expect(client, refused, "unlinkArtifact", "success", artifactID=artifact, artifactPortfolioID=shelf.id)
        if not refused:
            shelf.take(artifact)

    @precondition(lambda self: self.there("sequence"))
    @rule(data=st.data(), client=CLIENTS, with_aliases=st.booleans())
    def delete_version(self, data: st.DataObject, client: str, with_aliases: bool) -> None:
        artifact = self.version(data, self.pick(data, ("sequence",)))
        holders = [one for one in self.shelves.values() if artifact in one.versions.values()]
        held = set().union(*(one.held(artifact) for one in holders)) - {"latest"}
        refused = 400 if held and not with_aliases else None
        if refused is None and any(self.guarded(client, one, one.held(artifact)) for one in holders):
            refused = 403
        self.expect(
            client, refused, "deleteArtifact", "artifact { id }", artifactID=artifact, deleteAliases=with_aliases
        )
        if not refused:
            for one in holders:
                one.take(artifact)

    @precondition(lambda self: bool(self.shelves))
    @rule(data=st.data(), client=CLIENTS, name=NAMES)
    def rename(self, data: st.DataObject, client: str, name: str) -> None:
        shelf = self.pick(data, full=False)
        old, taken = self.name_of(shelf), (shelf.kind, name) in self.shelves
        guarded = old != name and self.guarded(client, shelf, set(shelf.aliases))
        refused = 403 if guarded else 400 if taken and old != name else None
        kind = shelf.kind.capitalize()
        ids = {f"artifact{kind}ID": shelf.id, "name": name}
        self.expect(client, refused, f"updateArtifact{kind}", "artifactCollection { id }", **ids)
        if not refused:
            self.shelves[shelf.kind, name] = self.shelves.pop((shelf.kind, old))

    @precondition(lambda self: bool(self.shelves))
    @rule(data=st.data(), client=CLIENTS)
    def delete_collection(self, data: st.DataObject, client: str) -> None:
        shelf = self.pick(data, full=False)
        lost = list(shelf.versions.values()) if shelf.kind == "sequence" else []
        guarded = self.guarded(client, shelf, set(shelf.aliases))
        guarded = guarded or any(
            self.guarded(client, one, one.held(version)) for one in self.shelves.values() for version in lost
        )
        kind = shelf.kind.capitalize()
        self.expect(
            client, 403 if guarded else None, f"deleteArtifact{kind}", "artifactCollection { state }",
            **{f"artifact{kind}ID": shelf.id},
        )  # fmt: skip
        if not guarded:
            del self.shelves[shelf.kind, self.name_of(shelf)]
            for one, version in itertools.product(self.shelves.values(), lost):
                one.take(version)

    @invariant()
    def the_server_shows_what_the_model_holds(self) -> None:
        expected = {key: (one.id, one.versions, one.aliases) for key, one in self.shelves.items()}
        for client in ("admin", "member"):
            assert self.world.shelves(client) == expected
        for (kind, name), one in self.shelves.items():
            for alias in ("latest", PROTECTED):
                number = one.aliases.get(alias)
                holder = None if number is None else one.versions[number]
                assert self.world.resolve("member", kind, f"{name}:{alias}") == holder
            assert self.world.resolve("member", kind, f"{name}:v{one.next}") is None


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an admin and a member of a team and of its organization."""
    with serving(tmp_path_factory.mktemp("model") / "server") as server:
        keys = {role: f"local-{role:x<40}" for role in ("admin", "member")}
        with Database(server.data / "server.db").write() as db:
            organization = accounts.find_organization(db, ORGANIZATION)
            assert organization
            team = accounts.create_team(db, TEAM, organization.id)
            for role, key in keys.items():
                user = accounts.create_user(db, role)
                accounts.add_key(db, user.id, key)
                accounts.set_organization_member(db, organization.id, user.id, role)
                accounts.set_team_member(db, team.id, user.id, role)
        Registry.wires = {role: Wire(server.url, key) for role, key in keys.items()}
        Registry.data = server.data
        for wire in Registry.wires.values():
            wire.done("updateUser", "user { id }", defaultEntity=TEAM)
        yield server


COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@pytest.mark.usefixtures("pair")
def test_two_clients_keep_every_rule_of_aliases() -> None:
    few = settings(COMMON, derandomize=True, max_examples=5, stateful_step_count=20, phases=[Phase.generate])
    run_state_machine_as_test(Registry, settings=few)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("pair")
def test_two_clients_keep_every_rule_of_aliases_for_long() -> None:
    run_state_machine_as_test(
        Registry, settings=settings(COMMON, max_examples=150, stateful_step_count=40, database=None)
    )
