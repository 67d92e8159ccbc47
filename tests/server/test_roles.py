"""Who may do what: every role against every kind of action, in a team's project and in a registry.

pytest tests/server/test_roles.py
"""

import base64
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from modelgate_server.store import accounts, projects, protection, registry
from modelgate_server.store.db import Database
from tests.server.wire import UPSERT_BUCKET, Upload, Wire
from tests.serving import Server, serving

TEAM, ORGANIZATION = "crew", "local-org"
ROLES = ("admin", "member", "viewer", "restricted_viewer", "stranger")
ALL, READERS, WRITERS, ADMIN = ROLES[:4], ROLES[:3], ROLES[:2], ROLES[:1]


@dataclass(frozen=True)
class Thing:
    """A version of a collection of its own, in a team's project, linked into a registry of its own."""

    project: str
    registry: str
    collection: str
    registry_id: str
    project_id: str
    run: str
    artifact: str
    sequence: str
    portfolio: str
    md5: str

    def source(self, **more: Any) -> dict[str, Any]:
        return {"entityName": TEAM, "projectName": self.project, **more}

    def alias(self, home: str, alias: str) -> dict[str, Any]:
        entity, project = (TEAM, self.project) if home == "team" else (ORGANIZATION, self.registry)
        where = {"entityName": entity, "projectName": project, "artifactCollectionName": self.collection}
        return {"artifactID": self.artifact, "aliases": [where | {"alias": alias}]}


@dataclass
class Crew:
    """Someone of each role, the same in the organization, in its team and so in its registries."""

    server: Server
    wires: dict[str, Wire]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def thing(self) -> Thing:
        number, boss = next(self.numbers), self.wires["admin"]
        project, home, name = f"p-{number}", f"wandb-registry-r-{number}", f"c-{number}"
        upload = Upload(boss, project, {"a.txt": name.encode()}, name)
        artifact = upload.create(entityName=TEAM)
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        assert upload.commit(artifact).status_code == 200
        boss.done("upsertModel", "inserted", entityName=ORGANIZATION, name=home, access="PRIVATE")
        where = {"entityName": ORGANIZATION, "projectName": home, "artifactPortfolioName": name}
        boss.done("linkArtifact", "versionIndex", artifactID=artifact, aliases=[{"alias": "good"}], **where)
        with Database(self.server.data / "server.db").write() as db:
            found = projects.find_by_path(db, f"{ORGANIZATION}/{home}")
            restricted = accounts.find_user(db, "restricted_viewer")
            assert found and restricted
            registry.set_member(db, found, restricted.id, "restricted_viewer")
            protection.protect(db, found, "production")
        query = """query($e: String!, $p: String!, $c: String!, $o: String!, $r: String!) {
          team: project(entityName: $e, name: $p) { id artifactCollection(name: $c) { id } run(name: "run-1") { id } }
          registry: project(entityName: $o, name: $r) { id artifactCollection(name: $c) { id } } }"""
        seen = boss.data(query, e=TEAM, p=project, c=name, o=ORGANIZATION, r=home)
        ids = [seen["registry"]["id"], seen["team"]["id"], seen["team"]["run"]["id"], artifact]
        ids += [seen[home]["artifactCollection"]["id"] for home in ("team", "registry")]
        return Thing(project, home, name, *ids, md5=next(iter(upload.manifest()["contents"].values()))["digest"])


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    with serving(tmp_path_factory.mktemp("roles") / "server") as server:
        keys = {role: f"local-{role:x<40}" for role in ROLES}
        with Database(server.data / "server.db").write() as db:
            organization = accounts.find_organization(db, ORGANIZATION)
            assert organization
            team = accounts.create_team(db, TEAM, organization.id)
            for role, key in keys.items():
                user = accounts.create_user(db, role)
                accounts.add_key(db, user.id, key)
                if role in READERS:
                    accounts.set_organization_member(db, organization.id, user.id, role)
                    accounts.set_team_member(db, team.id, user.id, role)
        wires = {role: Wire(server.url, key) for role, key in keys.items()}
        wires["admin"].done("updateUser", "user { id }", defaultEntity=TEAM)
        for role in ROLES[1:]:
            wires[role].start_run("own")
        yield Crew(server, wires)


def ask(wire: Wire, name: str, selection: str, /, **fields: Any) -> requests.Response:
    return wire.mutation(name, selection, **fields)


def read(wire: Wire, entity: str, project: str, selection: str, **values: str) -> requests.Response:
    query = (
        f"query Try($e: String!, $p: String!, $c: String!) {{ project(entityName: $e, name: $p) {{ {selection} }} }}"
    )
    return wire.graphql(query, e=entity, p=project, **{"c": "", **values})


FILES = (
    'artifactCollection(name: $c) { artifactMembership(aliasName: "v0") { files { edges { node { directUrl } } } } }'
)
MANIFEST = (
    'artifactCollection(name: $c) { artifactMembership(aliasName: "v0") { artifact { currentManifest { id } } } }'
)
# As releases of the SDK before 0.28 ask.
FILES_OF_A_VERSION = FILES.replace("files {", "artifact { files {").replace("} } } } }", "} } } } } }")
Action = Callable[[Wire, Thing], requests.Response]


def entry(wire: Wire, entity: str, project: str, thing: Thing) -> requests.Response:
    where = f"{entity}/{project}/{thing.collection}/x/{base64.b64decode(thing.md5).hex()}/a.txt"
    return requests.get(f"{wire.url}/artifactsV2/default/{where}", auth=("api", wire.key), timeout=60)


IN_A_TEAM: dict[str, tuple[tuple[str, ...], Action]] = {
    "see a project": (
        READERS,
        lambda w, t: read(w, TEAM, t.project, "artifactCollection(name: $c) { id }", c=t.collection),
    ),
    "list files": (READERS, lambda w, t: read(w, TEAM, t.project, FILES, c=t.collection)),
    "list the files of a version": (
        READERS,
        lambda w, t: read(w, TEAM, t.project, FILES_OF_A_VERSION, c=t.collection),
    ),
    "read a manifest": (READERS, lambda w, t: read(w, TEAM, t.project, MANIFEST, c=t.collection)),
    "download a file": (READERS, lambda w, t: entry(w, TEAM, t.project, t)),
    "start a run": (WRITERS, lambda w, t: w.graphql(UPSERT_BUCKET, entity=TEAM, project=t.project, name="mine")),
    "make a project": (WRITERS, lambda w, t: w.graphql(UPSERT_BUCKET, entity=TEAM, project=f"{t.project}-x", name="m")),
    "edit a run": (WRITERS, lambda w, t: w.graphql(UPSERT_BUCKET, id=t.run, config="{}")),
    "log history": (
        WRITERS,
        lambda w, t: requests.post(
            f"{w.url}/files/{TEAM}/{t.project}/run-1/file_stream", json={}, auth=("api", w.key), timeout=60
        ),
    ),
    "announce a run's file": (
        WRITERS,
        lambda w, t: ask(w, "createRunFiles", "runID", files=["a"], **t.source(runName="run-1")),
    ),
    "stop a run": (WRITERS, lambda w, t: ask(w, "stopRun", "success", id=t.run)),
    "delete a run": (WRITERS, lambda w, t: delete_run(w, t)),
    "start a sweep": (
        WRITERS,
        lambda w, t: ask(
            w, "upsertSweep", "sweep { id }", config="method: random\nparameters: {a: {value: 1}}", **t.source()
        ),
    ),
    "log a version": (
        WRITERS,
        lambda w, t: ask(
            w,
            "createArtifact",
            "artifact { id }",
            artifactTypeName="dataset",
            artifactCollectionName="n",
            digest="0",
            **t.source(),
        ),
    ),
    "describe a version": (
        WRITERS,
        lambda w, t: ask(w, "updateArtifact", "artifact { id }", artifactID=t.artifact, description="d"),
    ),
    "add an alias": (WRITERS, lambda w, t: ask(w, "addAliases", "success", **t.alias("team", "best"))),
    "remove an alias": (WRITERS, lambda w, t: ask(w, "deleteAliases", "success", **t.alias("team", "latest"))),
    "rename a collection": (
        WRITERS,
        lambda w, t: ask(
            w, "updateArtifactSequence", "artifactCollection { id }", artifactSequenceID=t.sequence, name="o"
        ),
    ),
    "move a collection": (
        WRITERS,
        lambda w, t: ask(
            w,
            "moveArtifactSequence",
            "artifactCollection { id }",
            artifactSequenceID=t.sequence,
            destinationArtifactTypeName="model",
        ),
    ),
    "delete a version": (
        WRITERS,
        lambda w, t: ask(w, "deleteArtifact", "artifact { id }", artifactID=t.artifact, deleteAliases=True),
    ),
    "delete a collection": (
        WRITERS,
        lambda w, t: ask(w, "deleteArtifactSequence", "artifactCollection { state }", artifactSequenceID=t.sequence),
    ),
    "rename a project": (
        ADMIN,
        lambda w, t: ask(
            w, "renameProject", "inserted", entityName=TEAM, oldProjectName=t.project, newProjectName=f"{t.project}-o"
        ),
    ),
    "delete a project": (ADMIN, lambda w, t: ask(w, "deleteModel", "success", id=t.project_id)),
    "invite to the team": (
        ADMIN,
        lambda w, t: ask(w, "createInvite", "invite { id }", entityName=TEAM, username="local"),
    ),
}


def delete_run(wire: Wire, thing: Thing) -> requests.Response:
    """To a stranger a run is as one that was deleted before: done, and nothing has happened."""
    answer = ask(wire, "deleteRun", "clientMutationId", id=thing.run)
    boss = Wire(wire.url, f"local-{'admin':x<40}")
    query = 'query($e: String, $p: String) { project(entityName: $e, name: $p) { run(name: "run-1") { id } } }'
    if boss.data(query, e=TEAM, p=thing.project)["project"]["run"]:
        assert answer.status_code == 403 or answer.json() == {"data": {"deleteRun": {"clientMutationId": None}}}
        answer.status_code = 404
    return answer


def myself(wire: Wire) -> str:
    return str(wire.data("{ viewer { id } }")["viewer"]["id"])


OWN = {"entityName": "", "projectName": "own", "runName": "run-1"}
IN_A_REGISTRY: dict[str, tuple[tuple[str, ...], Action]] = {
    "see a version": (
        ALL,
        lambda w, t: read(w, ORGANIZATION, t.registry, "artifactCollection(name: $c) { id }", c=t.collection),
    ),
    "list files": (READERS, lambda w, t: read(w, ORGANIZATION, t.registry, FILES, c=t.collection)),
    "list the files of a version": (
        READERS,
        lambda w, t: read(w, ORGANIZATION, t.registry, FILES_OF_A_VERSION, c=t.collection),
    ),
    "download a file": (READERS, lambda w, t: entry(w, ORGANIZATION, t.registry, t)),
    "use a version": (
        READERS,
        lambda w, t: ask(
            w,
            "useArtifact",
            "artifact { id }",
            artifactID=t.artifact,
            **(t.source(runName="run-1") if w.key.startswith("local-admin") else OWN),
        ),
    ),
    "link a version": (
        WRITERS,
        lambda w, t: ask(
            w,
            "linkArtifact",
            "versionIndex",
            artifactID=t.artifact,
            entityName=ORGANIZATION,
            projectName=t.registry,
            artifactPortfolioName="another",
        ),
    ),
    "unlink a version": (
        WRITERS,
        lambda w, t: ask(w, "unlinkArtifact", "success", artifactID=t.artifact, artifactPortfolioID=t.portfolio),
    ),
    "add an alias": (WRITERS, lambda w, t: ask(w, "addAliases", "success", **t.alias("registry", "best"))),
    "remove an alias": (WRITERS, lambda w, t: ask(w, "deleteAliases", "success", **t.alias("registry", "good"))),
    "set a protected alias": (ADMIN, lambda w, t: ask(w, "addAliases", "success", **t.alias("registry", "production"))),
    "tag a collection": (
        WRITERS,
        lambda w, t: ask(
            w,
            "createArtifactCollectionTagAssignments",
            "tags { id }",
            entityName=ORGANIZATION,
            projectName=t.registry,
            artifactCollectionName=t.collection,
            tags=[{"tagName": "x"}],
        ),
    ),
    "rename a collection": (
        WRITERS,
        lambda w, t: ask(
            w, "updateArtifactPortfolio", "artifactCollection { id }", artifactPortfolioID=t.portfolio, name="o"
        ),
    ),
    "delete a collection": (
        WRITERS,
        lambda w, t: ask(w, "deleteArtifactPortfolio", "artifactCollection { state }", artifactPortfolioID=t.portfolio),
    ),
    "make a registry": (
        WRITERS,
        lambda w, t: ask(
            w, "upsertModel", "inserted", entityName=ORGANIZATION, name=f"{t.registry}-{w.key[6:12].strip('_')}"
        ),
    ),
    "edit a registry": (
        ADMIN,
        lambda w, t: ask(w, "upsertModel", "inserted", entityName=ORGANIZATION, name=t.registry, description="d"),
    ),
    "rename a registry": (
        ADMIN,
        lambda w, t: ask(
            w,
            "renameProject",
            "inserted",
            entityName=ORGANIZATION,
            oldProjectName=t.registry,
            newProjectName=f"{t.registry}-o",
        ),
    ),
    "add a member": (
        ADMIN,
        lambda w, t: ask(w, "createProjectMembers", "success", projectId=t.registry_id, userIds=[myself(w)]),
    ),
    "set a role": (
        ADMIN,
        lambda w, t: ask(
            w, "updateProjectMember", "success", projectId=t.registry_id, userId=myself(w), userProjectRole="admin"
        ),
    ),
    "delete a registry": (ADMIN, lambda w, t: ask(w, "deleteModel", "success", id=t.registry_id)),
}


def allowed(answer: requests.Response) -> bool:
    """Done, or seen; refused is a 403, a 404, or nothing where something was asked for."""
    assert answer.status_code in (200, 403, 404), answer.text
    if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
        return all(value is not None for value in answer.json().get("data", {}).values())
    return answer.status_code == 200


def who_may(crew: Crew, do: Action) -> set[str]:
    """The weakest first: what is refused must have changed nothing, or the next could not do it."""
    able, thing = set(), crew.thing()
    for role in reversed(ROLES):
        if allowed(do(crew.wires[role], thing)):
            able.add(role)
            thing = crew.thing() if role != "admin" else thing
    return able


@pytest.mark.parametrize("action", IN_A_TEAM)
def test_in_a_team_each_role_does_what_it_may_and_no_more(crew: Crew, action: str) -> None:
    expected, do = IN_A_TEAM[action]
    assert who_may(crew, do) == set(expected)


@pytest.mark.parametrize("action", IN_A_REGISTRY)
def test_in_a_registry_each_role_does_what_it_may_and_no_more(crew: Crew, action: str) -> None:
    expected, do = IN_A_REGISTRY[action]
    assert who_may(crew, do) == set(expected)


# --- what a linked version leads to ---------------------------------------------------------------------------------

SECRETS = """query($e: String!, $p: String!, $c: String!) { project(entityName: $e, name: $p) {
  artifactCollection(name: $c) { artifactMembership(aliasName: "v0") { artifact {
    createdBy { ... on Run { name } } usedBy { edges { node { name } } } aliases { alias artifactCollection { name } }
    artifactSequence {
      name project { name } aliases { edges { node { alias } } } latestArtifact { id }
      artifactMembership(aliasName: "v0") { id }
      artifacts { edges { node { currentManifest { file { directUrl } } } } } }
    artifactType { artifactCollections { edges { node { name } } } artifactCollection(name: $c) { id }
      artifactSequence(name: $c) { id } artifact(name: $c) { id } } } } } } }"""


def test_who_only_sees_the_registry_learns_of_the_source_nothing_but_its_name(crew: Crew) -> None:
    thing = crew.thing()
    with Database(crew.server.data / "server.db").write() as db:
        found, user = projects.find_by_path(db, f"{ORGANIZATION}/{thing.registry}"), accounts.find_user(db, "stranger")
        assert found and user
        registry.set_member(db, found, user.id, "viewer")
    answer = crew.wires["stranger"].data(SECRETS, e=ORGANIZATION, p=thing.registry, c=thing.collection)
    assert answer["project"]["artifactCollection"]["artifactMembership"]["artifact"] == {
        "createdBy": None,
        "aliases": [
            {"alias": "latest", "artifactCollection": {"name": thing.collection}},
            {"alias": "good", "artifactCollection": {"name": thing.collection}},
        ],
        "usedBy": {"edges": []},
        "artifactSequence": {
            "name": thing.collection,
            "project": None,
            "aliases": {"edges": []},
            "latestArtifact": None,
            "artifactMembership": None,
            "artifacts": {"edges": []},
        },
        "artifactType": {
            "artifactCollections": {"edges": []},
            "artifactCollection": None,
            "artifactSequence": None,
            "artifact": None,
        },
    }


def test_a_run_shows_only_those_inputs_that_one_may_see(crew: Crew) -> None:
    boss, thing = crew.wires["admin"], crew.thing()
    mine = Upload(boss, "private", {"a.txt": b"secret"}, "own")
    boss.graphql(UPSERT_BUCKET, entity="admin", project="private", name="run-1")
    private = mine.create(entityName="admin")
    mine.put_files(private)
    mine.put_manifest(private)
    assert mine.commit(private).status_code == 200
    for artifact in (private, thing.artifact):
        boss.done("useArtifact", "artifact { id }", artifactID=artifact, **thing.source(runName="run-1"))
    query = 'run(name: "run-1") { inputArtifacts { edges { node { id } } } bucket: name @skip(if: true) }'
    query = f"query($e: String!, $p: String!) {{ project(entityName: $e, name: $p) {{ {query} }} }}"

    def inputs(role: str) -> set[str]:
        found = crew.wires[role].data(query, e=TEAM, p=thing.project)["project"]["run"]["inputArtifacts"]["edges"]
        return {edge["node"]["id"] for edge in found}

    assert inputs("admin") == {private, thing.artifact}
    assert inputs("viewer") == {thing.artifact}


def test_a_stranger_does_not_learn_who_is_in_which_team(crew: Crew) -> None:
    query = """{
      entity(name: "crew") { organization { name } members { username } }
      users(query: "member") { edges { node { teams { edges { node { name } } } organizations { name } } } } }"""
    seen = crew.wires["stranger"].data(query)
    assert seen["entity"] == {"organization": None, "members": []}
    assert seen["users"]["edges"] == [{"node": {"teams": {"edges": []}, "organizations": []}}]
    seen = crew.wires["viewer"].data(query)
    assert seen["users"]["edges"][0]["node"] == {
        "teams": {"edges": [{"node": {"name": "crew"}}]},
        "organizations": [{"name": "local-org"}],
    }


def test_who_may_only_look_makes_no_team(crew: Crew) -> None:
    assert crew.wires["viewer"].mutation("createTeam", "entity { id }", teamName="mine").status_code == 403
    assert crew.wires["member"].mutation("createTeam", "entity { id }", teamName="theirs").status_code == 200


def test_the_client_id_of_anothers_version_gives_nothing_away(crew: Crew) -> None:
    draft = {
        "entityName": TEAM,
        "projectName": "p",
        "artifactTypeName": "t",
        "artifactCollectionName": "c",
        "digest": "0",
    }
    theirs = crew.wires["admin"].done("createArtifact", "artifact { id }", clientID="mine", **draft)["artifact"]["id"]
    mine = draft | {"entityName": "stranger"}
    made = crew.wires["stranger"].done("createArtifact", "artifact { id }", clientID="mine", **mine)["artifact"]["id"]
    assert made != theirs
    query = '{ clientIDMapping(clientID: "mine") { serverID } }'
    assert crew.wires["admin"].data(query) == {"clientIDMapping": {"serverID": theirs}}
    assert crew.wires["stranger"].data(query) == {"clientIDMapping": None}


def test_a_key_is_kept_as_a_hash_only(crew: Crew) -> None:
    for path in crew.server.data.glob("server.db*"):
        assert b"local-viewerxxxx" not in path.read_bytes()
    assert crew.wires["viewer"].data("{ viewer { apiKeys { edges { node { name } } } } }") == {
        "viewer": {"apiKeys": {"edges": [{"node": {"name": "local-view"}}]}}
    }
