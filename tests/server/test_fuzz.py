"""
Every route and every field of the GraphQL schema with hostile values: each is answered, with a status on which the SDK
does not try again; nothing fails inside, no file appears where none belongs, and the server is well afterwards.

pytest tests/server/test_fuzz.py            a few of each, always the same; many with -m prove
"""

import base64
import hashlib
import http.client
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from modelgate_server.api import shapes
from modelgate_server.api.graphql_api import SCHEMA
from modelgate_server.api.handling import Services
from modelgate_server.app import ROUTES
from modelgate_server.settings import Settings
from modelgate_server.web import pages
from tests.server.fuzzing import TEXTS, Dice
from tests.server.wire import Upload, Wire
from tests.serving import Server, healthy, serving

STREAMS = ("wandb-history.jsonl", "wandb-events.jsonl", "output.log", "wandb-summary.json")
LINES = ['{"_step": 0, "a": 1, "\\ud800": NaN}', '{"_step": 1, "a": {"b": Infinity}}', '{"a":' * 150 + "1" + "}" * 150]
# What the SDK never tries again, and what a browser is told.
ALLOWED = {200, 206, 303, 307, 400, 401, 403, 404, 405, 413, 416}
OPERATIONS = [("query", name) for name in SCHEMA.query_type.fields]  # type: ignore[union-attr]
OPERATIONS += [("mutation", name) for name in SCHEMA.mutation_type.fields]  # type: ignore[union-attr]
NOBODY = Services(Settings(Path()), None, None, b"")  # of the pages only the addresses are read
WHERE = [route.path for route in ROUTES + pages.build_routes(NOBODY)]
METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")
# Of a data folder: nothing else may ever are there.
PLACES = re.compile(
    r"server\.db(-wal|-shm)?|lock|secret|api_key|blobs(/incoming|/arrived(/[0-9]+)?|/[0-9a-f]{2}(/[0-9a-f]{32})?)?"
)

# Each answer takes milliseconds; on a machine that does ten other things, seconds.
HANGS_S = 60
# Rounds: some seconds of each in `make test`, some minutes in `make prove`.
FEW, MANY = 2, 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("fuzz") / "server") as running:
        yield running


class World:
    """Something of every kind, so that a request can be about what is there."""

    def __init__(self, server: Server) -> None:
        self.server, self.wire = server, Wire.connect(server)
        self.secret = bytes.fromhex((server.data / "secret").read_text())
        self.session = requests.Session()
        self.number = 0

    def make(self) -> dict[str, list[str]]:
        """A fresh one; names and ids, by the argument that takes them. The dice have deleted what was in the last."""
        wire, self.number = self.wire, self.number + 1
        project, home = f"fuzz-{self.number}", f"wandb-registry-fuzz-{self.number}"
        wire.data('mutation { updateUser(input: {defaultEntity: "local"}) { user { id } } }')
        text = f"{self.number}".encode()
        upload = Upload(wire, project, {"a.txt": text, "t.table.json": b'{"columns": ["a"], "data": [[1]]}'})
        artifact, draft = upload.run(), Upload(wire, project, {"b.txt": text}).create()
        wire.file_stream(project, "run-1", {"files": {name: {"offset": 0, "content": LINES} for name in STREAMS}})
        at = {"entityName": "local", "projectName": project}
        made = wire.done("createRunFiles", "files { uploadUrl }", files=["x.txt"], runName="run-1", **at)
        assert self.session.put(made["files"][0]["uploadUrl"], data=b"x", timeout=60).status_code == 200
        wire.done("upsertModel", "inserted", entityName="local-org", name=home)
        there = {"entityName": "local-org", "projectName": home, "artifactPortfolioName": "port"}
        wire.done("linkArtifact", "versionIndex", artifactID=artifact, **there)
        config = "method: grid\nparameters: {a: {values: [1, 2]}}"
        sweep = wire.done("upsertSweep", "sweep { id name }", config=config, **at)["sweep"]
        agent = wire.done("createAgent", "agent { id }", host="h", sweep=sweep["name"], **at)["agent"]
        team = wire.done("createTeam", "entity { id }", teamName=f"fuzzers-{self.number}")["entity"]["id"]
        found = wire.data(WHATS_THERE, project=project, registry=home)
        run = found["project"]["run"]["id"]
        sequence, portfolio = (found[one]["artifactCollection"]["id"] for one in ("project", "registry"))
        homes = [found["project"]["id"], found["registry"]["id"]]
        files = [edge["node"]["id"] for edge in found["project"]["run"]["files"]["edges"]]
        me = found["viewer"]["id"]
        one_of = {
            "artifactID": [artifact, draft], "baseArtifactID": [artifact], "artifactPortfolioID": [portfolio],
            "artifactSequenceID": [sequence], "projectId": homes, "userIds": [me], "userId": [me], "teamId": [team],
            "teamIds": [team], "entityName": ["local", "local", "local-org", f"fuzzers-{self.number}"],
            "projectName": [project, project, home], "modelName": [project], "runName": ["run-1"], "run": ["run-1"],
            "artifactCollectionName": ["data", "data", "port"], "alias": ["best", "latest"], "sweep": [sweep["name"]],
            "sweepName": [sweep["name"]], "artifactTypeName": ["dataset"], "entity": ["local", "local", "local-org"],
            "project": [project, project, home], "type": ["dataset"], "collection": ["data"], "version": ["v0"],
            "files": ["x.txt", *files], "state": ["running", "failed"], "digest": [upload.digest()],
            "aliasName": ["v0", "latest"], "md5": [hashlib.md5(text).hexdigest()],  # noqa: S324
            "artifact": [artifact], "birth": [artifact], "organization": ["local-org"], "number": ["1", "2"],
            "registry": [home.removeprefix("wandb-registry-"), "model"], "metricName": ["_step"], "after": ["1"],
            "order": ["+name", "-created_at"], "storageRegion": ["default"], "oldProjectName": [project],
            "newProjectName": [project], "names": ["a.txt", "x.txt"], "path": ["a.txt", "x.txt", "t.table.json"],
            "page": ["1", "2"], "folder": [""], "method": ["grid"], "tagName": ["good"], "agentName": ["1"],
            "teamName": [f"fuzzers-{self.number}"], "userProjectRole": ["member"], "teamProjectRole": ["viewer"],
            "artifactManifestID": [base64.b64encode(f"ArtifactManifest:{self.number}".encode()).decode()],
            "id": [artifact, run, sequence, portfolio, sweep["id"], agent["id"], *files, *homes],
            "name": [project, "run-1", "data", "data:v0", "port", "dataset", "local-org", home, "a.txt"],
        }  # fmt: skip
        one_of[""] = sorted({value for values in one_of.values() for value in values})
        return one_of

    def graphql(self, request: dict[str, Any]) -> requests.Response:
        body = json.dumps(request)
        address = f"{self.server.url}/graphql"
        return self.session.post(address, data=body, auth=("api", self.server.key), timeout=HANGS_S)


WHATS_THERE = """query($project: String!, $registry: String!) {
  viewer { id }
  project(entityName: "local", name: $project) {
    id artifactCollection(name: "data") { id } run(name: "run-1") { id files { edges { node { id } } } } }
  registry: project(entityName: "local-org", name: $registry) { id artifactCollection(name: "port") { id } }
}"""


@pytest.fixture(scope="module")
def world(server: Server) -> World:
    return World(server)


def strict(text: str) -> Any:
    """JSON as Go reads it: a bare NaN would lose the whole answer."""

    def refuse(name: str) -> None:
        raise AssertionError(f"the answer has a bare {name}")

    return json.loads(text, parse_constant=refuse)


def assert_well(server: Server, before: set[Path]) -> None:
    log = server.log.read_text(errors="replace")
    at = log.find("Traceback")
    assert at < 0, log[max(0, at - 500) : at + 4_000]
    assert " ERROR " not in log, log[log.index(" ERROR ") :][:4_000]
    assert healthy(server.url)
    assert set(server.data.parent.iterdir()) == before
    for path in server.data.rglob("*"):
        assert PLACES.fullmatch(str(path.relative_to(server.data))) and not path.is_symlink(), path


@pytest.fixture
def well(server: Server) -> Iterator[None]:
    """Whatever was sent: nothing failed inside and no file lies where none belongs."""
    before = set(server.data.parent.iterdir())
    yield
    assert_well(server, before)


def fuzz_operations(world: World, seed: int, rounds: int) -> None:
    dice = Dice(random.Random(seed))
    for number in range(rounds):
        dice.known = world.make()
        for root, name in dice.dice.sample(OPERATIONS, len(OPERATIONS)):
            request = dice.operation(root, name)
            answer = world.graphql(request)
            shown = f"seed {seed}, round {number}: {json.dumps(request)[:6_000]} -> {answer.text[:1_000]}"
            assert answer.status_code in ALLOWED, shown
            assert "internal error" not in answer.text, shown
            assert strict(answer.text).keys() in ({"data"}, {"data", "errors"}), shown


@pytest.mark.usefixtures("well")
def test_every_operation_answers_whatever_is_asked(world: World) -> None:
    fuzz_operations(world, seed=1, rounds=FEW)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("well")
def test_every_operation_answers_whatever_is_asked_many_times(world: World) -> None:
    fuzz_operations(world, seed=random.SystemRandom().randrange(10**9), rounds=MANY)


# --- addresses ------------------------------------------------------------------------------------------------------


def send(server: Server, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
    """As it is: no library puts the address right first."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=HANGS_S)
    try:
        connection.putrequest(method, path or "/", skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get_content_type()
    finally:
        connection.close()


def fuzz_routes(world: World, seed: int, rounds: int) -> None:
    dice = Dice(random.Random(seed))
    cookie = log_in(world.server)
    for number in range(rounds):
        dice.known = world.make()
        for template in WHERE:
            for method in METHODS:
                path, body, headers = request_for(dice, world, cookie, template, method)
                status, got, kind = send(world.server, method, path, body, headers)
                shown = (
                    f"seed {seed}, round {number}: {method} {path[:3_000]} {headers} {body[:500]!r} -> {status} {got!r}"
                )
                assert status in ALLOWED, shown
                assert b"internal error" not in got and b"Traceback" not in got, shown
                if kind == "application/json" and method != "HEAD":
                    strict(got.decode())


def log_in(server: Server) -> str:
    answer = requests.post(f"{server.url}/login", {"key": server.key}, allow_redirects=False, timeout=60)
    return answer.headers["set-cookie"].partition(";")[0]


def request_for(dice: Dice, world: World, cookie: str, template: str, method: str) -> tuple[str, bytes, dict[str, str]]:
    path = dice.path(template)
    question = {name: dice.text() for name in ("page", "path", "folder", "version", "selectionPath", "next", "a")}
    if dice.chance(0.5):
        path += "?" + "&".join(f"{name}={dice.encoded(value)}" for name, value in question.items() if dice.chance(0.5))
    elif template.startswith("/storage"):
        plain = requests.utils.unquote(path)
        expires = dice.dice.choice((str(int(time.time()) + 60), "0", "9" * 5_000, "²", "", "-1"))
        signed = "GET" if method == "HEAD" else method
        good = shapes.sign(world.secret, signed, plain, expires)
        signature = good if dice.chance(0.8) else dice.encoded(dice.text())
        path += f"?expires={requests.utils.quote(expires)}&signature={signature}"
    headers = {}
    if dice.chance(0.8):
        headers["Authorization"] = "Basic " + base64.b64encode(b"api:" + world.server.key.encode()).decode()
    if dice.chance(0.8):
        headers["Cookie"] = cookie
    odd = {
        "Range": ("bytes=0-0", "bytes=5-1", "bytes=-1", "bytes=" + "0-1," * 200, "bytes=9999999999999999999-", "x=1"),
        "Host": ("localhost", "evil.example/x", "[::1]:5", "", "a" * 300, "h:99999999"),
        "Content-Encoding": ("gzip", "identity", "br", "²"),
        "Content-Type": ("application/json", "application/x-www-form-urlencoded", "multipart/form-data", "²"),
        "Accept": ("text/html", "*/*", "²"),
        "Origin": ("http://evil.example", "null", "²", "http://[", "http://"),
        "Authorization": ("Basic", "Basic !", "Basic " + "A" * 9_000, "Bearer x", "basic YQ==", "Basic w7/Dvw=="),
    }
    for name, values in odd.items():
        if dice.chance(0.15):
            headers[name] = dice.dice.choice(values)
    headers["Connection"] = "close"
    return path, body_for(dice), headers


def body_for(dice: Dice) -> bytes:
    if dice.chance(0.3):
        lines = [dice.json_text() for _ in range(3)]
        block = {"offset": dice.dice.choice((0, 5, 10**15, -1, 1.5)), "content": lines}
        return json.dumps(
            {"files": {dice.dice.choice(STREAMS): block}, "exitcode": dice.tree(), "complete": dice.chance(0.1)}
        ).encode()
    if dice.chance(0.3):
        return f"csrf={dice.encoded(dice.text())}&alias={dice.encoded(dice.text())}&do=add&key=x&next=/".encode()
    return dice.dice.choice(TEXTS).encode("utf-8", "surrogatepass")[: dice.dice.choice((0, 10, 10**6))]


@pytest.mark.usefixtures("well")
def test_every_route_answers_whatever_comes(world: World) -> None:
    fuzz_routes(world, seed=1, rounds=FEW)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("well")
def test_every_route_answers_whatever_comes_many_times(world: World) -> None:
    fuzz_routes(world, seed=random.SystemRandom().randrange(10**9), rounds=MANY)
