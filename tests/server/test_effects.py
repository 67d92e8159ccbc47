"""
What a client stores takes effect, or is said to be ignored, or is refused.

    pytest tests/server/test_effects.py

Each mutation is tried on two copies of the same server, once with a field of its input and once without it, or with two
different values of it. If everything that can be read afterwards is the same, the field has no effect.
"""

import json
import logging
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    execute_sync,
    get_named_type,
    is_leaf_type,
    is_required_input_field,
)

from modelgate_server import admin
from modelgate_server.api.bounds import Deadline
from modelgate_server.api.graphql_api import SCHEMA, prepare
from modelgate_server.api.shapes import Addresses, Call
from modelgate_server.process import open_services
from modelgate_server.settings import Settings
from modelgate_server.store import accounts
from modelgate_server.store.db import Database
from tests.server.conformance.protocol import marked, refused_inputs
from tests.server.everything import ENTRIES, PROJECT, SWEEP, seed, selection, with_ids
from tests.server.wire import Upload, Wire, md5_base64
from tests.serving import serving

REGISTRY = {"entityName": "local-org", "projectName": "wandb-registry-model"}
HOME = {"entityName": "local", "projectName": PROJECT}
RUN = HOME | {"runName": "r1"}
MD5 = md5_base64(b"b")
VERSION = HOME | {"artifactTypeName": "model", "artifactCollectionName": "data", "digest": "0" * 32}
SWEEP_TEXT = SWEEP.replace("\\n", "\n")
SAME = VERSION | {"digest": "DIGEST", "enableDigestDeduplication": True}
EDITED_REGISTRY = {"entityName": "local-org", "name": "wandb-registry-model"}
# A mutation's input without the fields that may be left out; what is in capitals is the id of what was seeded.
INPUTS: dict[str, dict[str, Any]] = {
    "upsertBucket": {"modelName": PROJECT, "name": "r1"},
    "deleteRun": {"id": "RUN"},
    "stopRun": {"id": "RUN"},
    "updateRunState": {"id": "RUN_1", "state": "failed"},
    "rewindRun": {"projectName": PROJECT, "runName": "r1", "metricName": "_step", "metricValue": 1},
    "notifyScriptableRunAlert": RUN | {"title": "title", "text": "text"},
    "upsertSweep": {"projectName": PROJECT, "config": SWEEP_TEXT},
    "createAgent": {"projectName": PROJECT, "host": "h", "sweep": "SWEEP"},
    "agentHeartbeat": {"id": "AGENT_ID"},
    "createRunFiles": RUN | {"files": ["new.txt"]},
    "markRunFilesUploaded": RUN | {"files": ["f.txt"]},
    "deleteFiles": {"files": ["FILE"]},
    "upsertModel": {"name": PROJECT},
    "renameProject": {"entityName": "local", "oldProjectName": PROJECT, "newProjectName": "new"},
    "deleteModel": {"id": "PROJECT"},
    "createProjectMembers": {"projectId": "REGISTRY"},
    "deleteProjectMembers": {"projectId": "REGISTRY"},
    "updateProjectMember": {"projectId": "REGISTRY", "userId": "USER", "userProjectRole": "viewer"},
    "updateProjectTeamMember": {"projectId": "REGISTRY", "teamId": "TEAM", "teamProjectRole": "viewer"},
    "updateUser": {},
    "createTeam": {"teamName": "team2"},
    "createInvite": {"entityName": "fields-team", "username": "bob"},
    "deleteInvite": {"entityName": "fields-team", "id": "MEMBER"},
    "createArtifact": VERSION,
    "createArtifactManifest": RUN | {"artifactID": "PENDING", "name": "wandb_manifest.json", "digest": MD5},
    "updateArtifactManifest": {"artifactManifestID": "MANIFEST"},
    "createArtifactFiles": {"artifactFiles": [{"artifactID": "PENDING", "name": "b.txt", "md5": MD5}]},
    "commitArtifact": {"artifactID": "READY"},
    "useArtifact": RUN | {"artifactID": "UNUSED"},
    "updateArtifact": {"artifactID": "ARTIFACT"},
    "deleteArtifact": {"artifactID": "UNUSED"},
    "addAliases": {"artifactID": "ARTIFACT", "aliases": [HOME | {"artifactCollectionName": "data", "alias": "new"}]},
    "deleteAliases": {
        "artifactID": "ARTIFACT",
        "aliases": [HOME | {"artifactCollectionName": "data", "alias": "best"}],
    },
    "linkArtifact": REGISTRY | {"artifactID": "ARTIFACT", "artifactPortfolioName": "fields"},
    "unlinkArtifact": {"artifactID": "ARTIFACT", "artifactPortfolioID": "PORTFOLIO"},
    "updateArtifactSequence": {"artifactSequenceID": "COLLECTION"},
    "updateArtifactPortfolio": {"artifactPortfolioID": "PORTFOLIO"},
    "moveArtifactSequence": {"artifactSequenceID": "COLLECTION", "destinationArtifactTypeName": "dataset"},
    "deleteArtifactSequence": {"artifactSequenceID": "COLLECTION"},
    "deleteArtifactPortfolio": {"artifactPortfolioID": "PORTFOLIO"},
    "createArtifactCollectionTagAssignments": HOME | {"artifactCollectionName": "data", "tags": [{"tagName": "new"}]},
    "deleteArtifactCollectionTagAssignments": HOME | {"artifactCollectionName": "data", "tags": [{"tagName": "t"}]},
}
# A value that the server takes, where the one made from the field's type is not valid.
VALUES: dict[str, Any] = {
    "UpsertBucketInput.id": "RUN",
    "UpsertBucketInput.entityName": "fields-team",
    "UpsertBucketInput.state": "finished",
    "UpdateRunStateInput.state": "pending",
    "RunAlertInput.severity": "ERROR",
    "RunAlertInput.waitDuration": 3_600_000,
    "UpsertSweepInput.id": "SWEEP_ID",
    "UpsertSweepInput.config": SWEEP_TEXT.replace("[1]", "[1, 2]"),
    "UpsertSweepInput.entityName": "fields-team",
    "UpsertSweepInput.state": "PAUSED",
    "UpsertModelInput.entityName": "fields-team",
    "UpsertModelInput.access": "RESTRICTED",
    "UpsertModelInput.allowAllArtifactTypesInRegistry": True,
    "CreateProjectMembersInput.userIds": ["USER"],
    "CreateProjectMembersInput.teamIds": ["OTHER_TEAM"],
    "DeleteProjectMembersInput.userIds": ["CAROL"],
    "DeleteProjectMembersInput.teamIds": ["TEAM"],
    "UpdateProjectMemberInput.userProjectRole": "admin",
    "UpdateProjectTeamMemberInput.teamProjectRole": "admin",
    "UpdateUserInput.defaultEntity": "fields-team",
    "CreateTeamInput.teamAdminUserName": "bob",
    "CreateInviteInput.email": "bob@localhost",
    "CreateInviteInput.username": "bob",
    "DeleteInviteInput.id": "MEMBER",
    "DeleteInviteInput.entityName": "fields-team",
    "CreateArtifactInput.runName": "run-1",
    "CreateArtifactInput.distributedID": "d1",
    "CreateArtifactInput.storageRegion": "minio-local",
    "CreateArtifactManifestInput.baseArtifactID": "ARTIFACT",
    "UpdateArtifactManifestInput.baseArtifactID": "ARTIFACT",
    "CreateArtifactFileSpecInput.artifactManifestID": "MANIFEST",
    "UpdateArtifactInput.tagsToDelete": [{"tagName": "t"}],
    "LinkArtifactInput.artifactID": "ARTIFACT",
    "LinkArtifactInput.clientID": "c1",
    "LinkArtifactInput.artifactPortfolioID": "PORTFOLIO",
    "LinkArtifactInput.entityName": "local-org",
}
# The input in which a field has its effect, where the mutation has another one without it.
INSTEAD: dict[str, dict[str, Any]] = {
    "UpsertBucketInput.id": {"modelName": PROJECT},
    "UpsertSweepInput.state": {"id": "SWEEP_ID"},
    "UpsertModelInput.access": EDITED_REGISTRY,
    "UpsertModelInput.allowAllArtifactTypesInRegistry": EDITED_REGISTRY,
    "UpsertModelInput.artifactTypes": EDITED_REGISTRY,
    "CreateInviteInput.email": {"entityName": "fields-team"},
    "CreateArtifactInput.artifactCollectionNames": {key: VERSION[key] for key in VERSION if "Collection" not in key},
    "CreateArtifactInput.aliases": SAME,
    "CreateArtifactInput.enableDigestDeduplication": VERSION | {"digest": "DIGEST"},
    "LinkArtifactInput.clientID": REGISTRY | {"artifactPortfolioName": "fields"},
}
OTHER_BYTES = "test_refusals.py::test_a_manifest_with_other_bytes_than_announced_is_refused"
INCREMENTAL = "sdk/test_artifacts.py::test_an_incremental_version_builds_on_the_last"
# What has its effect only when the client continues, and the test that looks at it.
LATER = {
    "CreateArtifactManifestInput.digest": OTHER_BYTES,
    "CreateArtifactManifestInput.type": "store/test_artifacts.py::test_patches_of_several_writers_become_one_version",
    "CreateArtifactManifestInput.baseArtifactID": INCREMENTAL,
    "UpdateArtifactManifestInput.digest": OTHER_BYTES,
    "UpdateArtifactManifestInput.baseArtifactID": INCREMENTAL,
}


@dataclass(frozen=True)
class Template:
    """A stopped server's folder with one of everything in it."""

    folder: Path
    ids: dict[str, str]


@dataclass(frozen=True)
class Try:
    """An input of a mutation, and the place of one of its fields."""

    mutation: str
    place: str
    required: bool
    without: dict[str, Any]
    with_it: dict[str, Any]


# --- the server that is copied --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder = tmp_path_factory.mktemp("template") / "server"
    with serving(folder) as server:
        for name in ("bob", "carol"):
            admin.main(["--data", str(folder), "add-user", name])
        wire = Wire.connect(server)
        ids = seed(wire)
        ids |= more(wire, ids)
    return Template(folder, ids)


def more(wire: Wire, ids: dict[str, str]) -> dict[str, str]:
    """What only mutations need: versions that are under way, people to add and to remove, the ids of all."""
    wire.done("addAliases", "success", **filled(INPUTS["deleteAliases"], ids))
    wire.done("notifyScriptableRunAlert", "success", **INPUTS["notifyScriptableRunAlert"])
    people = {
        name: wire.data("query U($name: String) { users(query: $name) { edges { node { id } } } }", name=name)
        for name in ("bob", "carol")
    }
    bob, carol = (found["users"]["edges"][0]["node"]["id"] for found in people.values())
    member = wire.done("createInvite", "invite { id }", entityName="fields-team", username="carol")["invite"]["id"]
    wire.done("createTeam", "entity { id }", teamName="other-team")
    asked = """{
      project(name: "fields") {
        id
        first: run(name: "run-1") { id }
        run(name: "r1") { id files { edges { node { id } } } }
        sweep(sweepName: "SWEEP") { id agents { edges { node { id } } } }
      }
      registry: project(entityName: "local-org", name: "wandb-registry-model") {
        id artifactCollection(name: "fields") { id }
      }
      entity(name: "fields-team") { id }
      other: entity(name: "other-team") { id }
    }"""
    found = wire.data(with_ids(asked, ids))
    home, registry = found["project"], found["registry"]
    wire.done("createProjectMembers", "success", projectId=registry["id"], userIds=[carol])
    wire.done("updateProjectMember", "success", projectId=registry["id"], userId=carol, userProjectRole="viewer")
    return versions(wire) | {
        "PROJECT": home["id"],
        "RUN": home["run"]["id"],
        "RUN_1": home["first"]["id"],
        "DIGEST": Upload(wire, PROJECT, {"a.txt": b"a"}).digest(),
        "OTHER_TEAM": found["other"]["id"],
        "FILE": home["run"]["files"]["edges"][0]["node"]["id"],
        "SWEEP_ID": home["sweep"]["id"],
        "AGENT_ID": home["sweep"]["agents"]["edges"][0]["node"]["id"],
        "REGISTRY": registry["id"],
        "PORTFOLIO": registry["artifactCollection"]["id"],
        "USER": bob,
        "CAROL": carol,
        "TEAM": found["entity"]["id"],
        "MEMBER": member,
    }


def versions(wire: Wire) -> dict[str, str]:
    """A version that nothing uses, one that only lacks its commit, and one that several write."""
    unused = Upload(wire, PROJECT, {"u.txt": b"u"}, "unused")
    made = unused.create(artifactTypeName="model", aliases=[{"alias": "best"}])
    unused.put_files(made)
    unused.put_manifest(made)
    assert unused.commit(made).status_code == 200
    ready = Upload(wire, PROJECT, {"r.txt": b"r"}, "ready")
    waiting = ready.create()
    ready.put_files(waiting)
    ready.put_manifest(waiting)
    pending = Upload(wire, PROJECT, {"b.txt": b"b"}, "data").create(
        artifactTypeName="model", distributedID="d1", digest="1" * 32
    )
    manifest = wire.done(
        "createArtifactManifest",
        "artifactManifest { id }",
        **RUN | {"artifactID": pending, "name": "wandb_manifest.json", "digest": MD5, "type": "INCREMENTAL"},
    )["artifactManifest"]["id"]
    return {"UNUSED": made, "READY": waiting, "PENDING": pending, "MANIFEST": manifest}


def filled(value: Any, ids: dict[str, str]) -> Any:
    """An input with the placeholders replaced by ids."""
    if isinstance(value, dict):
        return {key: filled(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    return ids.get(value, value) if isinstance(value, str) else value


@dataclass(frozen=True)
class OneTransaction:
    """Replaces the database: what is written to it is seen at once, and undone in the end."""

    db: sqlite3.Connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        yield self.db

    read = write

    def latest(self) -> sqlite3.Connection:
        return self.db


class World:
    """The template's folder, in this process. Each mutation is looked at and undone."""

    def __init__(self, template: Template) -> None:
        self._ids = template.ids
        self._services = open_services(Settings(template.folder), None)
        self._log = Lines()
        self._seen: dict[str, Seen] = {}

    @contextmanager
    def open(self) -> Iterator[None]:
        logger = logging.getLogger("server")
        logger.addHandler(self._log)
        try:
            yield
        finally:
            logger.removeHandler(self._log)
            self._services.database.close()

    def has_effect(self, attempt: "Try") -> bool:
        """Whether the answers differ, or else what can be read afterwards."""
        return any(
            self.seen(attempt.mutation, attempt.without, queries)
            != self.seen(attempt.mutation, attempt.with_it, queries)
            for queries in ([], QUERIES)
        )

    def seen(self, mutation: str, given: dict[str, Any], queries: list[str]) -> "Seen":
        """What the mutation answers and logs, and what these queries answer after it."""
        key = f"{mutation} {json.dumps(given)} {len(queries)}"
        if key not in self._seen:
            with self._services.database.write() as db:
                db.execute("SAVEPOINT before")
                self._seen[key] = self._looked(db, mutation, given, queries)
                db.execute("ROLLBACK TO before")
        return self._seen[key]

    def _looked(self, db: sqlite3.Connection, mutation: str, given: dict[str, Any], queries: list[str]) -> "Seen":
        field = SCHEMA.mutation_type.fields[mutation]
        selected = whole(get_named_type(field.type))
        document = f"mutation T($input: {field.args['input'].type}) {{ {mutation}(input: $input) {{ {selected} }} }}"
        self._log.lines.clear()
        status, answer = self._asked(db, document, input=filled(given, self._ids))
        after = [self._asked(db, with_ids(query, self._ids))[1] for query in queries]
        return Seen(status, answer, [*self._log.lines, *after])

    def _asked(self, db: sqlite3.Connection, query: str, **variables: Any) -> tuple[int, str]:
        user = accounts.find_user(db, "local")
        assert user is not None
        call = Call(
            db=db,
            blobs=self._services.blobs,
            user=user,
            addresses=Addresses("http://127.0.0.1", b"secret"),
            database=cast(Database, OneTransaction(db)),
            deadline=Deadline(),
            lanes=self._services.lanes,
        )
        prepared = prepare(query)
        assert not prepared.errors, prepared.errors
        result = execute_sync(SCHEMA, prepared.document, variable_values=variables, context_value=call)
        causes = [error.original_error or error for error in result.errors or []]
        status = next((getattr(cause, "status", 500) for cause in causes), 200)
        return status, without_chance(json.dumps(result.data) + "".join(map(str, causes)))


@dataclass(frozen=True)
class Seen:
    status: int
    answer: str
    after: list[str]


def whole(kind: GraphQLObjectType) -> str:
    """Everything of a type, and of the objects in it."""
    parts = ["__typename"]
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        inside = selection(inner) if isinstance(inner, GraphQLObjectType) else "__typename"
        parts.append(name if is_leaf_type(inner) else f"{name} {{ {inside} }}")
    return " ".join(parts)


READ = [
    *ENTRIES,
    ("Entity", 'entity(name: "other") { %s }'),
    ("Project", 'project(name: "other") { %s }'),
    ("ClientIDMapping", 'clientIDMapping(clientID: "other") { %s }'),
    ("Run", 'project(name: "fields") { run(name: "run-1") { %s } }'),
]
QUERIES = ["{ " + entry % selection(SCHEMA.type_map[name]) + " }" for name, entry in READ]


def without_chance(text: str) -> str:
    """Without what is different each time: the time, and the signatures of addresses."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\?[\w=&%.-]+", "", text)


# --- what is tried --------------------------------------------------------------------------------------------------


def tries() -> Iterator[Try]:
    """One for each field of each input, and of the inputs inside it."""
    for mutation, field in SCHEMA.mutation_type.fields.items():
        kind = get_named_type(field.args["input"].type)
        yield from _of_type(mutation, kind, INPUTS[mutation], [])


def _of_type(mutation: str, kind: GraphQLInputObjectType, base: dict[str, Any], path: list[Any]) -> Iterator[Try]:
    for name, field in kind.fields.items():
        place = f"{kind.name}.{name}"
        before = INSTEAD.get(place, base)
        start = _at(before, path)
        value = VALUES[place] if place in VALUES else _made(field.type)
        required = is_required_input_field(field)
        without = {key: inner for key, inner in start.items() if required or key != name}
        yield Try(mutation, place, required, _with(before, path, without), _with(before, path, start | {name: value}))
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            nested = _with(before, path, start | {name: start.get(name) or value})
            yield from _of_type(mutation, inner, nested, [*path, name, 0])


SCALARS = {"Boolean": True, "Int": 7, "Int64": 7, "Float": 2.0, "Duration": 7, "JSONString": '{"other": 1}'}


def _made(kind: Any, text: str = "other") -> Any:
    """A value of a type."""
    inner = get_named_type(kind)
    value: Any = text
    if isinstance(inner, GraphQLInputObjectType):
        value = _least(inner)
    elif isinstance(inner, GraphQLEnumType):
        value = next(iter(inner.values))
    elif inner.name != "String" and inner.name != "ID":
        value = {"Boolean": True, "Int": 7, "Int64": 7, "Float": 2.0, "Duration": 7, "JSONString": '{"other": 1}'}[
            inner.name
        ]
    return [value] if str(kind).lstrip("!").startswith("[") else value


def _least(kind: GraphQLInputObjectType) -> dict[str, Any]:
    """An input with what must be in it."""
    return {name: _made(field.type, "some") for name, field in kind.fields.items() if is_required_input_field(field)}


def _at(value: Any, path: list[Any]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: list[Any], changed: Any) -> Any:
    """A copy of an input in which one place is changed."""
    if not path:
        return changed
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], changed)
    return copy


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass(frozen=True)
class Tried:
    """The places of fields, by what came of them in one mutation or another."""

    effective: set[str]
    without_effect: set[str]
    refused: set[str]


@pytest.fixture(scope="module")
def tried(template: Template) -> Iterator[Tried]:
    found = Tried(set(), set(), set())
    world = World(template)
    with pytest.MonkeyPatch.context() as patch, world.open():
        patch.setattr(secrets, "choice", lambda choices: choices[0])  # the names that the server draws
        for one in tries():
            answer = world.seen(one.mutation, one.with_it, [])
            assert answer.status in (200, 400, 404), f"{one}: {answer}"
            if answer.status == 400 and not one.required:
                found.refused.add(one.place)
            else:
                (found.effective if world.has_effect(one) else found.without_effect).add(one.place)
        yield found


def test_every_field_of_an_input_has_an_effect_or_is_said_to_be_ignored(tried: Tried) -> None:
    ignored = {place for place in marked("ignored") if not place.endswith(")")}
    assert tried.without_effect == ignored | LATER.keys()
    assert not tried.effective & ignored


def test_a_field_that_is_refused_is_listed_as_refused(tried: Tried) -> None:
    assert tried.refused == set(refused_inputs())


@pytest.mark.parametrize("test", sorted(set(LATER.values())))
def test_what_has_its_effect_later_has_a_test_of_it(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (Path(__file__).parent / file).read_text()
