"""What is not yours is answered as what is not there. Each test is an attack that once worked.

pytest tests/server/access/test_not_yours.py
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from modelgate_server.api.graphql_api import SCHEMA
from tests.server.access.people import MD5, ORGANIZATION, TEAM, People, version
from tests.server.wire import UPSERT_BUCKET, Upload, Wire, md5_base64


@dataclass(frozen=True)
class Case:
    """An argument of an operation that takes an id, and the kinds of thing whose id it may be."""

    operation: str
    field: str
    kinds: tuple[str, ...]


KINDS = {
    "artifactID": ("artifact", "draft"),
    "baseArtifactID": ("artifact",),
    "artifactManifestID": ("manifest",),
    "artifactSequenceID": ("sequence",),
    "artifactPortfolioID": ("portfolio",),
    "projectId": ("project", "registry"),
    "userId": (),  # of a user, whom everyone may find by name
    "userIds": (),
    "teamId": ("team",),
    "teamIds": ("team",),
    "files": ("file",),
    "clientID": ("client",),
    "runName": (),  # names in a project that is named too
}
BY_OPERATION = {
    "stopRun": ("run",),
    "deleteRun": ("run",),
    "updateRunState": ("run",),
    "upsertBucket": ("run",),
    "upsertSweep": ("sweep",),
    "agentHeartbeat": ("agent",),
    "deleteModel": ("project", "registry"),
    "artifact": ("artifact", "draft"),
    "artifactCollection": ("sequence", "portfolio"),
    "deleteInvite": (),
    "upsertModel": (),  # nothing reads it: a project is named
}
ABSENT = {
    "artifact": "Artifact", "draft": "Artifact", "manifest": "ArtifactManifest", "sequence": "ArtifactCollection",
    "portfolio": "ArtifactCollection", "project": "Project", "registry": "Project", "team": "Entity", "file": "File",
    "run": "Run", "sweep": "Sweep", "agent": "Agent", "client": "",
}  # fmt: skip


def id_cases() -> list[Case]:
    """Every argument of every operation in the schema that takes an id. One that this file does not know fails."""
    found = []
    for root in (SCHEMA.query_type, SCHEMA.mutation_type):
        assert root
        for operation, field in root.fields.items():
            given = field.args["input"].type.of_type.fields if root is SCHEMA.mutation_type else field.args
            for name, argument in given.items():
                if "ID" not in str(argument.type) and name not in ("id", "clientID"):
                    continue
                kinds = BY_OPERATION[operation] if name == "id" else KINDS.get(name)
                if kinds is None:
                    assert name in IGNORED, f"{operation}({name}) is an id that no test knows"
                    kinds = ()
                if operation == "createRunFiles" or (operation == "createArtifact" and name == "clientID"):
                    continue
                found.append(Case(operation, name, kinds))
    return [case for case in found if case.kinds]


IGNORED = {"cloudRegionID", "uploadID", "sequenceClientID", "distributedID", "artifactFiles"}


@pytest.fixture(scope="module")
def things(people: People, linked: str) -> dict[str, str]:
    """The ids of things of ann's, which eve may not see."""
    ann = people["ann"]
    contents = {"a.txt": b"mine"}
    artifact = version(ann, "ann", "hidden", contents)
    upload = Upload(ann, "hidden", {"b.txt": b"b"}, "data")
    draft = upload.create(entityName="ann", clientID="client-of-ann")
    data = json.dumps(upload.manifest()).encode()
    fields = {"artifactID": draft, "name": "wandb_manifest.json", "digest": md5_base64(data), "type": "FULL"}
    fields |= {"entityName": "ann", "projectName": "hidden", "runName": "run-1"}
    manifest = ann.done("createArtifactManifest", "artifactManifest { id }", **fields)["artifactManifest"]["id"]
    at = {"entityName": "ann", "projectName": "hidden"}
    config = "method: grid\nparameters: {a: {values: [1, 2]}}"
    sweep = ann.done("upsertSweep", "sweep { id name }", config=config, **at)["sweep"]
    agent = ann.done("createAgent", "agent { id }", host="h", sweep=sweep["name"], **at)["agent"]
    made = ann.done("createRunFiles", "files { uploadUrl }", files=["x.txt"], runName="run-1", **at)
    assert requests.put(made["files"][0]["uploadUrl"], data=b"x", timeout=60).status_code == 200
    found = ann.data(
        """query { project(entityName: "ann", name: "hidden") {
             id artifactCollection(name: "data") { id }
             run(name: "run-1") { id files { edges { node { id } } } } }
           registry: project(entityName: "local-org", name: "wandb-registry-shared") {
             id artifactCollection(name: "port") { id } }
           entity(name: "crew") { id } }"""
    )
    return {
        "artifact": artifact, "draft": draft, "manifest": manifest, "sweep": sweep["id"], "agent": agent["id"],
        "project": found["project"]["id"], "sequence": found["project"]["artifactCollection"]["id"],
        "run": found["project"]["run"]["id"], "file": found["project"]["run"]["files"]["edges"][0]["node"]["id"],
        "registry": found["registry"]["id"], "portfolio": found["registry"]["artifactCollection"]["id"],
        "team": found["entity"]["id"], "client": "client-of-ann",
    }  # fmt: skip


def selection(kind: Any) -> str:
    """The ids that an answer has."""
    named = getattr(kind, "of_type", kind)
    while hasattr(named, "of_type"):
        named = named.of_type
    if not hasattr(named, "fields"):
        return "" if not hasattr(named, "types") else "{ __typename }"
    return "{ __typename }"


def filled(kind: Any, known: dict[str, Any]) -> Any:
    """A value for each field of an input that must be there, eve's own where it names something."""
    while hasattr(kind, "of_type") and "List" not in type(kind).__name__:
        kind = kind.of_type
    if "List" in type(kind).__name__:
        return [filled(kind.of_type, known)]
    if hasattr(kind, "fields"):
        return {
            name: known[name] if name in known else filled(one.type, known)
            for name, one in kind.fields.items()
            if name in known or "NonNull" in type(one.type).__name__
        }
    if hasattr(kind, "values"):
        return next(iter(kind.values))
    return {"Int": 1, "Float": 1.0, "Boolean": True, "JSONString": "{}"}.get(kind.name, "x")


def ask(people: People, case: Case, text: str, own: dict[str, str]) -> requests.Response:
    """The operation by eve, with this id and otherwise what is her own."""
    root = SCHEMA.query_type if case.operation in SCHEMA.query_type.fields else SCHEMA.mutation_type
    field = root.fields[case.operation]
    known: dict[str, Any] = {"entityName": "eve", "projectName": "eves", "runName": "run-1", "state": "failed"}
    known |= {"project_name": "eves", "aliases": [], "artifactPortfolioName": "port", "description": "d"}
    known |= {name: value for name, value in own.items() if name != case.field}
    listed = case.field in ("files", "teamIds", "userIds")
    known[case.field] = [text] if listed else text
    select = selection(field.type)
    if root is SCHEMA.query_type:
        (name,) = field.args
        return people["eve"].graphql(f"query Try($x: ID!) {{ {case.operation}({name}: $x) {select} }}", x=text)
    given = filled(field.args["input"].type, known)
    if case.operation == "linkArtifact" and case.field == "clientID":
        given.pop("artifactID", None)
    if case.operation in ("addAliases", "deleteAliases"):
        where = {"entityName": "eve", "projectName": "eves", "artifactCollectionName": "data", "alias": "a"}
        given["aliases"] = [where]
    if case.operation == "createArtifactFiles":
        given["artifactFiles"] = [{"artifactID": text, "name": "a", "md5": md5_base64(b"a")}]
    return people["eve"].mutation(case.operation, select.strip("{ }"), **given)


@pytest.mark.parametrize("case", id_cases(), ids=lambda case: f"{case.operation}-{case.field}")
def test_not_yours_is_answered_byte_for_byte_as_not_there(people: People, things: dict[str, str], case: Case) -> None:
    mine = version(people["eve"], "eve", "eves", {"e.txt": b"eve"})
    own = {"artifactID": mine}
    own |= {"artifactPortfolioID": things["portfolio"]} if case.field == "artifactID" else {}
    if case.operation in ("createProjectMembers", "updateProjectTeamMember", "deleteProjectMembers"):
        own["projectId"] = people["eve"].data('{ project(entityName: "eve", name: "eves") { id } }')["project"]["id"]
    for kind in case.kinds:
        label = ABSENT[kind]
        absent = base64.b64encode(f"{label}:987654".encode()).decode() if label else "client-of-nobody"
        theirs = ask(people, case, things[kind], own)
        nobodys = ask(people, case, absent, own)
        assert theirs.status_code == nobodys.status_code, (theirs.text, nobodys.text)
        assert theirs.text.replace(things[kind], "ID") == nobodys.text.replace(absent, "ID")


NAMED = {
    "a project": lambda w, n: w.graphql('query($n: String) { project(entityName: $n, name: "hidden") { id } }', n=n),
    "a run": lambda w, n: w.graphql(UPSERT_BUCKET, entity=n, project="hidden", name="run-1"),
    "a new project": lambda w, n: w.graphql(UPSERT_BUCKET, entity=n, project="nothing", name="run-1"),
    "a registry": lambda w, n: w.graphql(UPSERT_BUCKET, entity="local-org", project=f"wandb-registry-{n}", name="r"),
    "a rename": lambda w, n: w.mutation(
        "renameProject", "inserted", entityName=n, oldProjectName="hidden", newProjectName="taken"
    ),
    "a collection": lambda w, n: w.mutation(
        "createArtifactCollectionTagAssignments",
        "tags { id }",
        entityName=n,
        projectName="hidden",
        artifactCollectionName="data",
        tags=[{"tagName": "x"}],
    ),
    "a team's people": lambda w, n: w.mutation("createInvite", "invite { id }", entityName=n, username="eve"),
    "who is in a team": lambda w, n: w.mutation("deleteInvite", "success", entityName=n, id="x"),
    "an agent": lambda w, n: w.mutation(
        "createAgent", "agent { id }", entityName=n, projectName="hidden", host="h", sweep="s"
    ),
    "a stream": lambda w, n: requests.post(
        f"{w.url}/files/{n}/hidden/run-1/file_stream", json={}, auth=("api", w.key), timeout=60
    ),
    "a file": lambda w, n: requests.get(
        f"{w.url}/artifactsV2/default/{n}/hidden/data/x/{MD5}/a.txt", auth=("api", w.key), timeout=60
    ),
    "a page": lambda w, n: page(w, f"/{n}"),
    "a project's page": lambda w, n: page(w, f"/{n}/hidden"),
    "a run's page": lambda w, n: page(w, f"/{n}/hidden/runs/run-1"),
    "a version's page": lambda w, n: page(w, f"/{n}/hidden/artifacts/dataset/data/v0"),
    "an organization's page": lambda w, n: page(w, f"/orgs/{n}/registry/shared"),
    "an old registry's page": lambda w, n: page(w, f"/{n}/registry/model"),
}


def page(wire: Wire, path: str) -> requests.Response:
    session = requests.Session()
    assert session.post(f"{wire.url}/login", data={"key": wire.key}, timeout=60, allow_redirects=False).ok
    return session.get(wire.url + path, timeout=60)


@pytest.mark.parametrize("what", NAMED)
def test_by_name_too_not_yours_is_not_there(people: People, things: dict[str, str], what: str) -> None:
    real = {"a registry": "shared", "an organization's page": ORGANIZATION}.get(what, "ann")
    reals = [real, TEAM] if real == "ann" else [real]
    absent = NAMED[what](people["eve"], "nobody-here")
    for one in reals:
        theirs = NAMED[what](people["eve"], one)
        assert theirs.status_code == absent.status_code, (theirs.text, absent.text)
        assert plain(theirs.text, one) == plain(absent.text, "nobody-here")


def plain(text: str, name: str) -> str:
    return re.sub(r'name="csrf" value="\w+"', "", text).replace(name, "NAME")


def test_the_client_id_of_anothers_version_is_as_good_as_any(people: People, things: dict[str, str]) -> None:
    fields = {"entityName": "eve", "projectName": "clients", "artifactTypeName": "t", "digest": "0" * 32}
    fields |= {"artifactCollectionName": "c"}
    answers = [
        people["eve"].mutation("createArtifact", "artifact { state }", clientID=one, **fields)
        for one in ("client-of-ann", "client-of-nobody-else")
    ]
    assert [one.status_code for one in answers] == [200, 200] and answers[0].text == answers[1].text
    mapped = people["ann"].data('{ clientIDMapping(clientID: "client-of-ann") { serverID } }')["clientIDMapping"]
    assert mapped == {"serverID": things["draft"]}
