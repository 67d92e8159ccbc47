"""
While someone with a key does their worst, everyone else is served: nine attacks, and a good client next to each.

pytest tests/server/test_bounds.py            a second of each attack; half a minute with -m prove
"""

import base64
import gzip
import hashlib
import itertools
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from modelgate_server.settings import MIB
from modelgate_server.store import accounts
from modelgate_server.store.db import Database
from tests.server.wire import COMMIT, CREATE_ARTIFACT, CREATE_MANIFEST, UPSERT_BUCKET, Upload, Wire, md5_base64
from tests.serving import Server, serving

# What must hold while an attack lasts.
P95_S, MAX_RSS_MIB = 1.0, 600
# With fewer answers, the 95th percentile is the slowest one.
MIN_ANSWERS = 40


SHORT_S, LONG_S = 1.0, 30.0


TEAM = "crew"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The attacker is a viewer of the good client's team, and has their own project."""
    with serving(tmp_path_factory.mktemp("bounds") / "server") as running:
        with Database(running.data / "server.db").write() as db:
            local = accounts.find_user(db, "local")
            assert local
            team = accounts.create_team(db, TEAM, None)
            accounts.set_team_member(db, team.id, local.id, "admin")
            mallory = accounts.create_user(db, "mallory")
            accounts.add_key(db, mallory.id, f"local-{'m' * 40}")
            accounts.set_team_member(db, team.id, mallory.id, "viewer")
        yield running


@pytest.fixture(scope="module")
def mallory(server: Server) -> Wire:
    wire = Wire(server.url, f"local-{'m' * 40}")
    wire.start_run("own")
    return wire


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire.connect(server)


def rss_mib(server: Server) -> float:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@dataclass
class Good:
    """A client that does what the SDK does: it asks, logs and uploads, and notes how long each answer takes."""

    wire: Wire
    project: str
    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lines: int = 0
    versions: list[str] = field(default_factory=list)
    peak_mib: float = 0

    def round(self, number: int) -> None:
        line = json.dumps({"_step": self.lines, "loss": 1 / (self.lines + 1)})
        message = {"files": {"wandb-history.jsonl": {"offset": self.lines, "content": [line]}}}
        upload = Upload(self.wire, self.project, {"a.txt": f"{self.project} {number}".encode()}, "good")
        steps: list[Callable[[], Any]] = [
            lambda: self.wire.data("{ viewer { id } }"),
            lambda: self.wire.start_run(self.project),
            lambda: self._ok(self.wire.file_stream(self.project, "run-1", message)),
            lambda: self._ok(requests.get(f"{self.wire.url}/_internal/healthcheck", timeout=60)),
        ]
        for step in steps:
            self._timed(step)
        self.lines += 1
        if number % 4 == 0:
            artifact = self._timed(upload.create)
            self._timed(lambda: upload.put_files(artifact))
            self._timed(lambda: upload.put_manifest(artifact))
            self._timed(lambda: self._ok(upload.commit(artifact)))
            self.versions.append(artifact)

    def _timed(self, step: Callable[[], Any]) -> Any:
        began = time.monotonic()
        answer = step()
        self.took_s.append(time.monotonic() - began)
        return answer

    @staticmethod
    def _ok(answer: requests.Response) -> None:
        assert answer.status_code == 200, answer.text

    def work(self, server: Server, until_s: float) -> None:
        number = 0
        while time.monotonic() < until_s or (len(self.took_s) < MIN_ANSWERS and not self.failed):
            try:
                self.round(number)
            except Exception as error:  # whatever it is, it is the attack's success
                self.failed.append(repr(error))
            self.peak_mib = max(self.peak_mib, rss_mib(server))
            number += 1

    @property
    def p95_s(self) -> float:
        return sorted(self.took_s)[int(len(self.took_s) * 0.95)]


def attack_with(attack: Callable[[], Any], attackers: int) -> None:
    def again() -> None:
        while True:
            try:
                attack()
            except (requests.RequestException, OSError):
                time.sleep(0.05)  # thrown out

    threads = [threading.Thread(target=again, daemon=True) for _ in range(attackers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def held(server: Server, attack: Callable[[], Any], attackers: int, seconds: float, name: str) -> None:
    """The attack, again and again by so many at once in a separate process, and the good client next to it."""
    attacking = multiprocessing.get_context("fork").Process(target=attack_with, args=(attack, attackers), daemon=True)
    attacking.start()
    good = Good(Wire.connect(server), f"good-{name}")
    try:
        time.sleep(0.5)
        good.work(server, time.monotonic() + seconds)
    finally:
        attacking.kill()
        attacking.join(60)
    assert not good.failed
    print(f"{name}: p95 {good.p95_s:.3f} s of {len(good.took_s)}, peak {good.peak_mib:.0f} MiB")
    assert good.p95_s < P95_S
    assert good.peak_mib < MAX_RSS_MIB
    query = 'query($p: String) { project(name: $p) { run(name: "run-1") { history } } }'
    kept = good.wire.data(query, p=good.project)["project"]["run"]["history"]
    assert [json.loads(line)["_step"] for line in kept] == list(range(good.lines))
    for artifact in good.versions:
        found = good.wire.data("query($id: ID!) { artifact(id: $id) { state } }", id=artifact)
        assert found == {"artifact": {"state": "COMMITTED"}}


# --- the attacks ----------------------------------------------------------------------------------------------------
Attack = Callable[[Server, Wire], tuple[Callable[[], Any], int]]
TEAMS = (
    "teams { edges { node { name members { username } } } } organizations { name } apiKeys { edges { node { name } } }"
)


def many_runs(mallory: Wire) -> None:
    for number in range(200):
        mallory.start_run("own", f"run-{number}")


def nested_mutation(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    many_runs(mallory)
    inner = "id"
    for _ in range(4):
        inner = f"project {{ runs(first: 10000) {{ edges {{ node {{ id name config {inner} }} }} }} }}"
    query = (
        f"""mutation Deep {{ upsertBucket(input: {{modelName: "own", name: "run-1"}}) {{ bucket {{ {inner} }} }} }}"""
    )
    small = query.replace("first: 10000", "first: 36")
    return lambda: (mallory.graphql(query), mallory.graphql(small)), 8


def deep_queries(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    many_runs(mallory)
    inner = "id"
    for _ in range(3):
        inner = f"project {{ runs(first: 100) {{ edges {{ node {{ id name {inner} }} }} }} }}"
    query = f'{{ project(name: "own") {{ runs(first: 100) {{ edges {{ node {{ {inner} }} }} }} }} }}'
    milder = query.replace("first: 100", "first: 25")
    return lambda: (mallory.graphql(query), mallory.graphql(milder)), 40


def long_history(mallory: Wire, lines: int) -> None:
    message = {
        "files": {"wandb-history.jsonl": {"offset": 0, "content": [f'{{"_step":{i},"a":1}}' for i in range(lines)]}}
    }
    address = f"{mallory.url}/files/mallory/own/run-1/file_stream"
    packed = gzip.compress(json.dumps(message).encode())
    answer = requests.post(
        address, data=packed, headers={"Content-Encoding": "gzip"}, auth=("api", mallory.key), timeout=120
    )
    assert answer.status_code == 200, answer.text


def many_aliases(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    long_history(mallory, 50_000)
    fields = " ".join(f"k{number}: historyKeys" for number in range(150))
    few = " ".join(f"k{number}: historyKeys" for number in range(20))
    queries = [f'{{ project(name: "own") {{ run(name: "run-1") {{ {one} }} }} }}' for one in (fields, few)]
    return lambda: [mallory.graphql(query) for query in queries], 40


def gzip_bomb(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    lines = [f'{{"_step":{i},"a":{i % 7}}}' for i in range(420_000)]
    body = json.dumps({"files": {"wandb-history.jsonl": {"offset": 0, "content": lines}}}).encode()
    packed = gzip.compress(body, 9)
    assert len(packed) < 3 * MIB and len(body) < 32 * MIB
    address = f"{mallory.url}/files/mallory/own/run-1/file_stream"
    headers = {"Content-Encoding": "gzip"}
    return lambda: requests.post(address, data=packed, headers=headers, auth=("api", mallory.key), timeout=120), 3


def many_references(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    ref = "s3://bucket/a/rather/long/path/to/a/file"
    entries = {f"path/{i:06}.bin": {"digest": f"{i:032x}", "ref": f"{ref}/{i}", "size": 1} for i in range(300_000)}
    data = json.dumps({"version": 1, "storagePolicy": "wandb-storage-policy-v1", "contents": entries}).encode()
    numbers = iter(range(10_000))
    lock = threading.Lock()
    digest = hashlib.md5(b"wandb-artifact-manifest-v1\n")  # noqa: S324
    for path in sorted(entries):
        digest.update(f"{path}:{entries[path]['digest']}\n".encode())
    whole = digest.hexdigest()
    del entries

    def draft() -> str:
        with lock:
            number = next(numbers)
        where = {"entityName": "mallory", "projectName": "own", "runName": "run-1"}
        fields = where | {"artifactTypeName": "t", "artifactCollectionName": f"refs-{number}", "digest": whole}
        artifact = str(mallory.data(CREATE_ARTIFACT, input=fields)["createArtifact"]["artifact"]["id"])
        given = where | {"artifactID": artifact, "name": "m", "digest": md5_base64(data), "type": "FULL"}
        made = mallory.data(CREATE_MANIFEST, input=given)["createArtifactManifest"]["artifactManifest"]
        assert requests.put(made["file"]["uploadUrl"], data=data, timeout=120).status_code == 200
        return artifact

    # The commit is the attack, and has to begin while the good client is looked at.
    drafts = [draft() for _ in range(3)]

    def attack() -> None:
        try:
            artifact = drafts.pop()
        except IndexError:
            artifact = draft()
        assert mallory.graphql(COMMIT, id=artifact).status_code == 200

    return attack, 2


_numbers = itertools.count()


def big_table(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    rows = [[i, f"a text that is in a table, of row {i}, and it is not short", i / 3] for i in range(700_000)]
    data = json.dumps({"columns": ["n", "text", "x"], "data": rows, "nrows": len(rows)}).encode()
    del rows
    assert 40 * MIB < len(data) < 64 * MIB
    name = f"table-{next(_numbers)}"
    upload = Upload(mallory, "own", {"big.table.json": data}, name)
    artifact = upload.create(entityName="mallory")
    upload.put_files(artifact)
    upload.put_manifest(artifact)
    assert upload.commit(artifact).status_code == 200
    session = requests.Session()
    assert session.post(f"{server.url}/login", data={"key": mallory.key}, timeout=60, allow_redirects=False).ok
    address = f"{server.url}/mallory/own/artifacts/dataset/{name}/v0/file?path=big.table.json&page=9000"
    cookies = session.cookies
    return lambda: requests.get(address, cookies=cookies, timeout=120), 6


def many_rules(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    rules = [{"1": "step"}] + [{"2": f"*a{i}*b*", "5": 1} for i in range(5_000)]
    config = json.dumps({"_wandb": {"value": {"m": rules}}, **{f"key {i}": {"value": i} for i in range(5_000)}})
    mallory.data(UPSERT_BUCKET, project="own", name="rules", config=config)
    lines = [json.dumps({"_step": i, **{f"metric {j}": i for j in range(1_000)}}) for i in range(200)]
    message = {"files": {"wandb-history.jsonl": {"offset": 0, "content": lines}}}
    address = f"{mallory.url}/files/mallory/own/rules/file_stream"
    assert requests.post(address, json=message, auth=("api", mallory.key), timeout=120).status_code == 200
    session = requests.Session()
    assert session.post(f"{server.url}/login", data={"key": mallory.key}, timeout=60, allow_redirects=False).ok
    cookies = session.cookies
    return lambda: requests.get(f"{server.url}/mallory/own/runs/rules", cookies=cookies, timeout=120), 6


def unfinished_bodies(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    key = base64.b64encode(f"api:{mallory.key}".encode()).decode()
    headers = f"Host: x\r\nAuthorization: Basic {key}\r\nContent-Length: {32 * MIB}\r\n"
    head = f"POST /graphql HTTP/1.1\r\n{headers}\r\n".encode()
    piece = b"x" * MIB

    def attack() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            try:
                client.sendall(head)
                for _ in range(31):
                    client.sendall(piece)
                time.sleep(1)
            except OSError:
                time.sleep(0.2)

    return attack, 60


def endless_header(server: Server, mallory: Wire) -> tuple[Callable[[], Any], int]:
    def attack() -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            try:
                client.sendall(b"POST /graphql HTTP/1.1\r\n")
                while True:
                    client.sendall(b"X-Endless: " + b"x" * 60_000 + b"\r\n")
            except OSError:
                time.sleep(0.02)

    return attack, 10


ATTACKS: list[Attack] = [
    nested_mutation,
    deep_queries,
    many_aliases,
    gzip_bomb,
    many_references,
    big_table,
    many_rules,
    unfinished_bodies,
    endless_header,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_good_client_is_served_during(server: Server, mallory: Wire, attack: Attack) -> None:
    again, attackers = attack(server, mallory)
    held(server, again, attackers, SHORT_S, attack.__name__)


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_a_good_client_is_served_during_for_long(server: Server, mallory: Wire, attack: Attack) -> None:
    again, attackers = attack(server, mallory)
    held(server, again, attackers, LONG_S, f"long-{attack.__name__}")
