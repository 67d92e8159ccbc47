"""Starting and stopping: each mistake is one clear error and exit code 2, each stop is quick.

pytest tests/server/test_start.py
"""

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from modelgate_server.settings import DEFAULT_PORT, KEEP_ALIVE_S
from tests.serving import KEY, ROOT, Server, free_port, listens, serving


def start(*arguments: str, key: str | None = KEY, timeout_s: float = 240) -> "subprocess.CompletedProcess[str]":
    """A start that is expected to end by itself."""
    environment = {"PATH": os.environ["PATH"]} | ({"MODELGATE_SERVER_KEY": key} if key is not None else {})
    command = [sys.executable, "-m", "modelgate_server", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout_s)


def assert_refused(done: "subprocess.CompletedProcess[str]", sentence: str) -> None:
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("error: ") and "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr and KEY not in done.stderr


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "modelgate_server", "--data", str(tmp_path / "data"), "--port", str(port)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == f"modelgate server at http://127.0.0.1:{port}\n"
        key_file = tmp_path / "data" / "api_key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "data" / "secret").stat().st_mode) == 0o600
        key = key_file.read_text().strip()
        answer = requests.post(
            f"http://127.0.0.1:{port}/graphql",
            json={"query": "{ viewer { username entity } }"},
            auth=("api", key),
            timeout=60,
        )
        assert answer.json() == {"data": {"viewer": {"username": "local", "entity": "local"}}}
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_the_database_holds_no_key_but_a_hash_of_it(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        pass
    dump = "\n".join(sqlite3.connect(tmp_path / "data" / "server.db").iterdump())
    assert "api_keys" in dump and KEY not in dump
    assert not (tmp_path / "data" / "api_key").exists()


def test_port_zero_is_any_free_port(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "modelgate_server", "--data", str(tmp_path / "data"), "--port", "0"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        assert requests.get(f"{url}/_internal/healthcheck", timeout=60).json() == {"status": "ok"}
    finally:
        process.terminate()
        process.wait(60)


def test_without_a_port_a_taken_default_is_named_and_a_free_one_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", DEFAULT_PORT))
            taken.listen()
        except OSError:
            assert listens(DEFAULT_PORT)  # someone else's, which is as good
        process = subprocess.Popen(
            [sys.executable, "-m", "modelgate_server", "--data", str(tmp_path / "data")],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            assert first.startswith(f"port {DEFAULT_PORT} is taken"), first  # or there is no second line to wait for
            url = process.stderr.readline().split()[-1]
            assert first == f"port {DEFAULT_PORT} is taken; listening on port {url.rpartition(':')[2]} instead\n"
            assert requests.get(f"{url}/_internal/healthcheck", timeout=60).json() == {"status": "ok"}
        finally:
            process.terminate()
            process.wait(60)


def test_a_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start("--data", str(tmp_path / "data"), "--port", str(port))
    assert_refused(done, f"cannot listen on 127.0.0.1 port {port}")


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(start("--data", str(tmp_path / "file")), "is not a directory")


def test_a_data_folder_that_cannot_be_made_is_refused() -> None:
    assert_refused(start("--data", "/proc/modelgate"), "is not writable")


def test_a_second_server_on_the_same_folder_is_refused(server: Server) -> None:
    assert_refused(start("--data", str(server.data)), "another server is using the data folder")


def test_another_key_than_the_first_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        pass
    other = "local-" + "f" * 40
    done = start("--data", str(tmp_path / "data"), key=other)
    assert_refused(done, "is not the key of the first start of the data folder")
    assert other not in done.stderr


@pytest.mark.parametrize("key", ["local-short", "a" * 39, "local-" + "a" * 39 + "!"])
def test_a_key_that_the_sdk_would_refuse_is_refused(tmp_path: Path, key: str) -> None:
    done = start("--data", str(tmp_path / "data"), key=key)
    assert_refused(done, "MODELGATE_SERVER_KEY cannot be used")
    assert key not in done.stderr


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "server.db").write_bytes(b"this is no database" * 100)
    assert_refused(start("--data", str(data)), "cannot be used")


@pytest.mark.parametrize("secret", ["", "\n", "00", "0" * 62, "not hex digits" * 5])
def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path, secret: str) -> None:
    with serving(tmp_path / "data"):
        pass
    (tmp_path / "data" / "secret").write_text(secret)
    assert_refused(start("--data", str(tmp_path / "data")), "must have 64 hex digits")


def test_an_empty_file_of_the_first_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "api_key").write_text("")
    assert_refused(start("--data", str(tmp_path / "data"), key=None), "an API key needs at least")


def test_the_data_of_a_newer_server_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        pass
    with sqlite3.connect(tmp_path / "data" / "server.db") as db:
        db.execute("PRAGMA user_version = 9999")
    assert_refused(start("--data", str(tmp_path / "data")), "written by a newer server")


def test_an_external_url_that_is_no_address_is_refused(tmp_path: Path) -> None:
    assert_refused(start("--data", str(tmp_path / "data"), "--external-url", "server:8080"), "is not a URL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_quickly_though_a_client_keeps_its_connection(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "data") as server, requests.Session() as session:
        session.get(f"{server.url}/_internal/healthcheck", timeout=60)
        server.send_signal(number)
        assert server.wait(KEEP_ALIVE_S / 2) == 0


def test_an_answer_comes_in_one_piece(server: Server) -> None:
    """Or a server that is killed between its head and its body leaves an SDK that does not ask again."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        for _ in range(300):
            client.sendall(b"GET /_internal/healthcheck HTTP/1.1\r\nHost: x\r\n\r\n")
            head, _, body = client.recv(65536).partition(b"\r\n\r\n")
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
            assert len(body) == int(length.partition(b":")[2]) > 0


def test_an_answer_does_not_wait_for_the_acknowledgement_of_its_headers(server: Server) -> None:
    """Nagle's algorithm and a client's delayed acknowledgement would make it 40 ms, every time."""
    with requests.Session() as session:

        def took_s() -> float:
            began = time.monotonic()
            session.get(f"{server.url}/_internal/healthcheck", timeout=60)
            return time.monotonic() - began

        for _ in range(10):  # a new connection is acknowledged at once for a while
            took_s()
        assert any(took_s() < 0.03 for _ in range(200))
