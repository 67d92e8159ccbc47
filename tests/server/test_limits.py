"""
Each bound of a request by itself: its head, its body, its time, and what its query may ask for.

pytest tests/server/test_limits.py
"""

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from modelgate_server.settings import MAX_HEADER_BYTES, MIB
from modelgate_server.store.db import Turns
from tests.server.wire import Wire
from tests.serving import Server, serving


def raw(server: Server, *pieces: bytes, wait_s: float = 60) -> bytes:
    """What the server answers to these bytes, as they are, until it closes or is silent."""
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as client, suppress(ConnectionError):
        for piece in pieces:
            client.sendall(piece)
        while b"\r\n\r\n" not in got:
            more = client.recv(65_536)
            if not more:
                break
            got += more
    return got


def test_who_has_no_key_is_refused_before_the_body(server: Server) -> None:
    for path in ("/graphql", "/files/local/p/r/file_stream"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {30 * MIB}\r\n\r\n"
        assert raw(server, head.encode()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_head_over_the_limit_is_refused(server: Server, pieces: int) -> None:
    line = b"X-Long: " + b"x" * (2 * MAX_HEADER_BYTES // pieces) + b"\r\n"
    answer = raw(server, b"GET /ready HTTP/1.1\r\nHost: x\r\n", *[line] * pieces, b"\r\n")
    # Anyone who is still sending when the connection is closed may see only that.
    assert answer == b"" or answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    fits = b"X-Long: " + b"x" * (MAX_HEADER_BYTES // 2) + b"\r\n"
    assert raw(server, b"GET /ready HTTP/1.1\r\nHost: x\r\n", fits, b"\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server whose patience is a second, in place of a minute."""
    text = "import sys, modelgate_server.settings as s\ns.HEAD_S = s.BODY_SILENCE_S = 1\ns.BODY_S = 3\ns.LINGER_S = 1\n"
    (tmp_path / "sitecustomize.py").write_text(text)
    with serving(tmp_path / "server", python_path=tmp_path) as server:
        yield server


def closed_after(server: Server, sent: bytes, drip: bytes = b"") -> float:
    """Seconds until the server closes the connection; `drip` is sent again and again meanwhile."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.3) as client:
        client.sendall(sent)
        while time.monotonic() - began < 30:
            try:
                if not client.recv(65_536):
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                client.sendall(drip)
            except OSError:
                break
    return time.monotonic() - began


def test_a_head_and_a_body_have_their_time(impatient: Server) -> None:
    key = base64.b64encode(f"api:{impatient.key}".encode()).decode()
    post = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\nContent-Length: 1000\r\n\r\n".encode()
    assert closed_after(impatient, b"") < 20
    assert closed_after(impatient, b"GET /ready HTTP/1.1\r\n", b"X: y\r\n") < 20
    assert closed_after(impatient, post + b"{") < 20
    # Who sends a byte now and then is not silent, but a body that is kept in memory has to be whole in the end.
    assert b" 503 " in raw(impatient, post, *[b"x"]) or closed_after(impatient, post, b"x") < 25


def test_a_mutations_selection_is_looked_up_after_its_commit(server: Server, wire: Wire) -> None:
    """What is selected cannot keep the writers waiting, and cannot undo what was done."""
    wire.start_run("phases", "run-0")
    for number in range(1, 40):
        wire.start_run("phases", f"run-{number}")
    deep = "id"
    for _ in range(3):
        deep = f"project {{ runs(first: 36) {{ edges {{ node {{ id config {deep} }} }} }} }}"
    text = f'mutation {{ upsertBucket(input: {{modelName: "phases", name: "made"}}) {{ bucket {{ {deep} }} }} }}'
    began, took = time.monotonic(), []
    slow = threading.Thread(target=wire.graphql, args=(text,))
    slow.start()
    while slow.is_alive():
        at = time.monotonic()
        wire.start_run("other")
        took.append(time.monotonic() - at)
    assert max(took) < max(1.0, (time.monotonic() - began) / 3)
    assert wire.data('{ project(name: "phases") { run(name: "made") { id } } }')["project"]["run"]


def test_a_request_whose_client_has_left_is_stopped(server: Server, wire: Wire) -> None:
    for number in range(60):
        wire.start_run("left", f"run-{number}")
    deep = "id"
    for _ in range(3):
        deep = f"project {{ runs(first: 22) {{ edges {{ node {{ id name {deep} }} }} }} }}"
    query = f'{{ project(name: "left") {{ runs(first: 22) {{ edges {{ node {{ {deep} }} }} }} }} }}'

    def cpu_s() -> float:
        fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    for _ in range(4):
        with pytest.raises(requests.Timeout):
            requests.post(f"{server.url}/graphql", json={"query": query}, auth=("api", server.key), timeout=0.5)
    time.sleep(1)
    before = cpu_s()
    time.sleep(2)
    assert cpu_s() - before < 1


MANY_FILES = "runs(first: 10000) { edges { node { files(first: 10000) { edges { node { id } } } } } }"
MANY_KEYS = " ".join(f"k{number}: historyKeys" for number in range(21))
MANY_RUNS = " ".join(f'm{number}: upsertBucket(input: {{name: "x"}}) {{ inserted }}' for number in range(11))
ONE_RUN = 'upsertBucket(input: {name: "x"}) { inserted }'


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (f'{{ project(name: "own") {{ {MANY_FILES} }} }}', "asks for too much"),
        (f'{{ project(name: "own") {{ run(name: "run-1") {{ {MANY_KEYS} }} }} }}', "more than 20 histories"),
        (f"mutation {{ {MANY_RUNS} }}", "at most 10 mutations"),
        (f"mutation {{ ...on Mutation {{ {ONE_RUN} }} }}", "none in a fragment"),
        (
            f'mutation {{ commitArtifact(input: {{artifactID: "x"}}) {{ artifact {{ id }} }} {ONE_RUN} }}',
            "the only mutation",
        ),
    ],
)
def test_what_costs_too_much_is_refused_by_name(wire: Wire, query: str, sentence: str) -> None:
    answer = wire.graphql(query)
    assert answer.status_code == 400 and sentence in answer.json()["errors"][0]["message"], answer.text


def test_turns_are_taken_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def ask(number: int) -> None:
        with turns:
            order.append(number)

    with turns:
        threads = []
        for number in range(20):
            threads.append(threading.Thread(target=ask, args=(number,)))
            threads[-1].start()
            time.sleep(0.01)
    for thread in threads:
        thread.join(60)
    assert order == list(range(20))
