"""What must not be had by asking in another way: each is an attack that once worked.

pytest tests/server/test_access.py
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from modelgate_server.api.operations import SCHEMA
from modelgate_server.store import accounts, projects, protection, registry
from modelgate_server.store.db import Database
from tests.server.wire import UPSERT_BUCKET, Upload, Wire, md5_base64
from tests.serving import Server, serving

ORGANIZATION, TEAM, REGISTRY = "local-org", "crew", "wandb-registry-shared"
NAMES = ("ann", "bob", "eve", "vic", "rex")


@dataclass(frozen=True)
class People:
    """ann is admin of the team, bob a member, vic a viewer, rex a restricted viewer of the registry, eve a stranger."""

    server: Server
    wires: dict[str, Wire]

    def __getitem__(self, name: str) -> Wire:
        return self.wires[name]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with serving(tmp_path_factory.mktemp("access") / "server") as server:
        with Database(server.data / "server.db").write() as db:
            organization = accounts.find_organization(db, ORGANIZATION)
            assert organization
            team = accounts.create_team(db, TEAM, organization.id)
            for name in NAMES:
                user = accounts.create_user(db, name)
                accounts.add_key(db, user.id, f"local-{name:x<40}")
                role = {"ann": "admin", "bob": "member", "vic": "viewer"}.get(name)
                if role:
                    accounts.set_organization_member(db, organization.id, user.id, role)
                    accounts.set_team_member(db, team.id, user.id, role)
        wires = {name: Wire(server.url, f"local-{name:x<40}") for name in NAMES}
        wires["ann"].done("upsertModel", "inserted", entityName=ORGANIZATION, name=REGISTRY, access="PRIVATE")
        with Database(server.data / "server.db").write() as db:
            owner, rex = accounts.find_entity(db, ORGANIZATION), accounts.find_user(db, "rex")
            assert owner and rex
            home = projects.find(db, owner.id, REGISTRY)
            assert home
            registry.set_member(db, home, rex.id, "restricted_viewer")
            protection.protect(db, home, "production")
        yield People(server, wires)


def version(wire: Wire, entity: str, project: str, contents: dict[str, bytes], name: str = "data") -> str:
    """A committed version of these files; returns its id."""
    wire.data(UPSERT_BUCKET, entity=entity, project=project, name="run-1")
    upload = Upload(wire, project, contents, name)
    artifact = upload.create(entityName=entity, enableDigestDeduplication=False)
    upload.put_files(artifact)
    upload.put_manifest(artifact)
    answer = upload.commit(artifact)
    assert answer.status_code == 200, answer.text
    return artifact


# --- the default entity ---------------------------------------------------------------------------------------------


def test_a_viewer_does_not_write_to_the_team_that_is_their_default(people: People) -> None:
    people["vic"].done("updateUser", "user { id }", defaultEntity=TEAM)
    for project in ("new-by-vic", "p"):
        answer = people["vic"].graphql(UPSERT_BUCKET, project=project, name="mine")
        assert answer.status_code == 403, answer.text
    for query in ("project(name: $p) { id }", "model(name: $p) { id }"):
        found = people["ann"].data(
            f"query($p: String) {{ {query.replace('name: $p', f'name: $p, entityName: {json.dumps(TEAM)}')} }}",
            p="new-by-vic",
        )
        assert list(found.values()) == [None]
    people["vic"].done("updateUser", "user { id }", defaultEntity="vic")


def test_who_was_removed_from_a_team_has_their_own_entity_as_default_again(people: People) -> None:
    people["bob"].done("updateUser", "user { id }", defaultEntity=TEAM)
    people["bob"].data(UPSERT_BUCKET, project="of-the-team", name="before")
    (bob,) = [
        one["id"]
        for one in people["ann"].data('{ entity(name: "crew") { members { id username } } }')["entity"]["members"]
        if one["username"] == "bob"
    ]
    people["ann"].done("deleteInvite", "success", entityName=TEAM, id=bob)
    made = people["bob"].data(UPSERT_BUCKET, project="of-the-team", name="after")["upsertBucket"]["bucket"]
    assert made["project"]["entity"]["name"] == "bob"
    assert people["bob"].data("{ viewer { entity } }") == {"viewer": {"entity": "bob"}}
    people["ann"].done("createInvite", "invite { id }", entityName=TEAM, username="bob")


# --- manifests and blobs --------------------------------------------------------------------------------------------

SECRET = {"secret.txt": b"the bytes that only the team may have"}
MD5 = hashlib.md5(SECRET["secret.txt"]).hexdigest()  # noqa: S324


@pytest.fixture(scope="module")
def linked(people: People) -> str:
    """A version of the team, linked into the registry."""
    artifact = version(people["ann"], TEAM, "secret", SECRET)
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactPortfolioName": "port"}
    people["ann"].done("linkArtifact", "versionIndex", artifactID=artifact, aliases=[{"alias": "good"}], **where)
    return artifact


def test_a_restricted_viewer_gets_no_manifest_and_no_digest_of_one(people: People, linked: str) -> None:
    query = "query($id: ID!) { artifact(id: $id) { versionIndex %s } }"
    assert people["rex"].data(query % "commitHash", id=linked)["artifact"] == {"versionIndex": 0, "commitHash": None}
    answer = people["rex"].graphql(query % "currentManifest { file { directUrl } }", id=linked)
    assert answer.status_code == 403 and MD5 not in answer.text and "directUrl" not in answer.text
    assert people["vic"].data(query % "commitHash", id=linked)["artifact"]["commitHash"]


def test_who_knows_only_the_md5_of_a_file_makes_no_version_with_it(people: People, linked: str) -> None:
    for name in ("eve", "rex"):
        wire = people[name]
        upload = Upload(wire, "thief", SECRET)
        wire.start_run("thief")
        artifact = upload.create(entityName=name)
        urls = upload.upload_urls(artifact)
        assert urls["secret.txt"] is not None, "who may not have the bytes is told that they are here"
        upload.put_manifest(artifact)
        answer = upload.commit(artifact)
        assert answer.status_code == 400 and "has not arrived" in answer.text
        # With the bytes, and so not by their MD5 alone, anybody may.
        upload.put_files(artifact)
        assert upload.commit(artifact).status_code == 200


def test_bytes_that_came_for_one_version_do_not_count_for_another(people: People) -> None:
    """Who announces a file first, and never sends it, is not its owner when somebody else does."""
    contents = {"later.txt": b"not uploaded by eve"}
    thief = Upload(people["eve"], "first", contents)
    people["eve"].start_run("first")
    draft = thief.create(entityName="eve")
    assert thief.upload_urls(draft)["later.txt"]
    version(people["ann"], "ann", "later", contents)
    thief.put_manifest(draft)
    assert thief.commit(draft).status_code == 400
    assert thief.upload_urls(draft)["later.txt"], "eve is told that somebody else has the same file"


def test_who_may_read_a_file_need_not_send_it_again(people: People) -> None:
    contents = {"shared.txt": b"of the team, for the team"}
    version(people["ann"], TEAM, "once", contents)
    upload = Upload(people["bob"], "twice", contents)
    people["bob"].start_run("twice")
    artifact = upload.create(entityName="bob")
    assert upload.upload_urls(artifact) == {"shared.txt": None}
    upload.put_manifest(artifact)
    assert upload.commit(artifact).status_code == 200


def test_a_draft_of_a_version_that_one_may_read_needs_no_upload_at_all(people: People) -> None:
    """`Artifact.new_draft()`: the manifest names files that the SDK does not announce again."""
    contents = {"a.txt": b"draft", "b.txt": b"of a draft"}
    version(people["ann"], TEAM, "drafts", contents)
    for name, status in (("vic", 200), ("eve", 400)):
        upload = Upload(people[name], "drafts", contents)
        people[name].start_run("drafts")
        artifact = upload.create(entityName=name)
        upload.put_manifest(artifact)
        assert upload.commit(artifact).status_code == status


def test_an_upload_counts_after_the_server_was_killed(tmp_path: Any) -> None:
    with serving(tmp_path / "server") as server:
        upload = Upload(Wire.of(server), "killed", {"a.txt": b"a", "b.txt": b"b"})
        artifact = upload.create()
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        server.kill()
        with serving(tmp_path / "server", port=server.port):
            assert upload.commit(artifact).status_code == 200
        assert not list((tmp_path / "server" / "blobs" / "arrived").iterdir())


# --- "not yours" and "not there" ------------------------------------------------------------------------------------


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
    "userId": (),  # of a user, whom everybody may find by name
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


@pytest.mark.parametrize("case", id_cases(), ids=lambda one: f"{one.operation}-{one.field}")
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


# --- protected aliases ----------------------------------------------------------------------------------------------

LOOK_ALIKES = [
    "production", "Production", "PRODUCTION", " production", "production ", "pro duction", "production\u200b",
    "produ\u00adction", "\ufeffproduction", "\u0440roduction", "pr\u043educti\u043en", "produc\u03c4ion",
    "\u0440r\u043edu\u0441t\u0456\u043en", "".join(chr(ord(one) + 0xFEE0) for one in "production"),
    "".join(chr(ord(one) - ord("a") + 0x1D41A) for one in "production"), "pr\u00f6duction", "produ\u0301ction",
    "pr0ducti0n", "product1on", "product\u0131on", "prod\u1d1cction", "production\u2060", "pro\u2028duction",
    "production.", "pro-duction", "pro_duction",
]  # fmt: skip


@pytest.mark.parametrize("alias", LOOK_ALIKES, ids=ascii)
def test_what_looks_like_a_protected_alias_needs_the_same_right(people: People, linked: str, alias: str) -> None:
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactCollectionName": "port", "alias": alias}
    answer = people["bob"].mutation("addAliases", "success", artifactID=linked, aliases=[where])
    assert answer.status_code == 403, answer.text
    assert "is protected in" in answer.json()["errors"][0]["message"]
    assert people["ann"].mutation("addAliases", "success", artifactID=linked, aliases=[where]).status_code == 200
    assert people["bob"].mutation("deleteAliases", "success", artifactID=linked, aliases=[where]).status_code == 403
    people["ann"].done("deleteAliases", "success", artifactID=linked, aliases=[where])


FREE = ["products", "producer", "pre-production", "production-2", "производство", "本番", "prod"]


@pytest.mark.parametrize("alias", FREE)
def test_what_does_not_look_like_one_is_free(people: People, linked: str, alias: str) -> None:
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactCollectionName": "port", "alias": alias}
    answer = people["bob"].mutation("addAliases", "success", artifactID=linked, aliases=[where])
    assert answer.status_code == 200, answer.text


# --- pages and API hide the same things -----------------------------------------------------------------------------

CANARY = "canary"


@pytest.fixture(scope="module")
def guarded(people: People) -> None:
    """Everything of ann's has a canary in its name; one version is in the registry, under a name without one."""
    ann, project = people["ann"], f"{CANARY}-project"
    fields = {"entityName": TEAM, "modelName": project, "name": f"{CANARY}-run", "displayName": f"{CANARY}-shown"}
    fields |= {"jobType": f"{CANARY}-job", "notes": f"{CANARY}-notes", "groupName": f"{CANARY}-group"}
    fields |= {"config": json.dumps({f"{CANARY}-key": {"value": f"{CANARY}-value"}})}
    ann.done("upsertBucket", "inserted", **fields)
    other = version(ann, TEAM, project, {f"{CANARY}.txt": b"x"}, f"{CANARY}-collection")
    shown = version(ann, TEAM, project, {f"{CANARY}-file.txt": b"y"}, "shown")
    at = {"entityName": TEAM, "projectName": project}
    where = {**at, "artifactCollectionName": "shown", "alias": f"{CANARY}-alias"}
    ann.done("addAliases", "success", artifactID=shown, aliases=[where])
    for artifact in (other, shown):
        ann.done("useArtifact", "artifact { id }", artifactID=artifact, runName=f"{CANARY}-run", **at)
    there = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactPortfolioName": "open"}
    ann.done("linkArtifact", "versionIndex", artifactID=shown, **there)
    ann.done("createTeam", "entity { id }", teamName=f"{CANARY}-team")
    ann.done("upsertModel", "inserted", entityName=ORGANIZATION, name=f"wandb-registry-{CANARY}", access="RESTRICTED")


def links_in(text: str) -> set[str]:
    return {html.unescape(one) for one in re.findall(r'(?:href|src|action)="(/[^"#]*)', text)}


def crawled(wire: Wire) -> dict[str, str]:
    """Every page that leads to every other, from the first and from those that somebody may guess."""
    session = requests.Session()
    assert session.post(f"{wire.url}/login", data={"key": wire.key}, timeout=60, allow_redirects=False).ok
    path = f"{ORGANIZATION}%2F{REGISTRY}%2Fopen"
    waiting = {"/", f"/{TEAM}", f"/{ORGANIZATION}", "/orgs/local-org/registry/shared", "/_internal/status"}
    waiting |= {f"/orgs/local-org/registry/shared?selectionPath={path}&view=membership&version=v0"}
    seen: dict[str, str] = {}
    while waiting - seen.keys():
        one = min(waiting - seen.keys())
        seen[one] = session.get(wire.url + one, timeout=60, headers={"Accept": "text/html"}).text
        waiting |= {link for link in links_in(seen[one]) if not link.startswith(("/logout", "/-/"))}
    return seen


@pytest.mark.usefixtures("guarded")
def test_no_page_shows_what_the_api_hides(people: People) -> None:
    """rex is a restricted viewer of the registry and nothing else."""
    with Database(people.server.data / "server.db").write() as db:
        owner, eve = accounts.find_entity(db, ORGANIZATION), accounts.find_user(db, "eve")
        home = projects.find(db, owner.id, REGISTRY) if owner else None
        assert home and eve
        registry.set_member(db, home, eve.id, "viewer")
    try:
        for name in ("rex", "eve"):
            pages = crawled(people[name])
            shown = [path for path, text in pages.items() if "open:v0" in text]
            assert shown, "the version itself was not reached"
            told = [path for path, text in pages.items() if CANARY in text]
            # A viewer of the registry may have the version's files, and so knows what they are called.
            allowed = f"{CANARY}-file.txt"
            told = [path for path in told if name == "rex" or CANARY in pages[path].replace(allowed, "")]
            assert not told, (name, told, [pages[one][max(0, pages[one].find(CANARY) - 200) :][:300] for one in told])
    finally:
        with Database(people.server.data / "server.db").write() as db:
            registry.remove_member(db, home, eve.id)


EVERYTHING = """query($e: String!, $p: String!) {
  viewer { teams { edges { node { name } } } organizations { name orgEntity { projects { edges { node { name } } } } } }
  entity(name: "local-org") { name members { username } projects { edges { node { name } } }
    artifactCollections { edges { node { name } } } }
  team: entity(name: "crew") { members { username } organization { name } projects { edges { node { name } } } }
  models(entityName: "crew") { edges { node { name } } }
  project(entityName: $e, name: $p) { name
    artifactCollections { edges { node { name
      artifacts { edges { node { createdBy { ... on Run { name displayName } } metadata commitHash
        usedBy { edges { node { name displayName } } } aliases { alias } artifactMemberships { edges { node { id } } }
        artifactSequence { project { name } aliases { edges { node { alias } } }
          artifacts { edges { node { digest } } } }
        artifactType { artifactCollections { edges { node { name } } } } } } } } } } } }"""


@pytest.mark.usefixtures("guarded")
def test_the_api_says_no_more_than_the_pages(people: People) -> None:
    answer = people["rex"].graphql(EVERYTHING, e=ORGANIZATION, p=REGISTRY)
    assert answer.status_code == 200, answer.text
    assert '"open"' in answer.text and CANARY not in answer.text
