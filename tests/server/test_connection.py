"""
A small PUT that arrives in one chunk is answered while it is parsed; every other one, and every refusal, comes from the
application. Both store the same, and answers come in the order of the requests.

pytest tests/server/test_connection.py
"""

import asyncio
import hashlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from modelgate_server.connection import Connection
from tests.server.wire import Upload, Wire
from tests.serving import Server, serving

Change = Callable[[str, bytes], tuple[str, bytes]]
CONTENTS = {f"{number}.txt": f"file {number}".encode() for number in range(3)}


@pytest.fixture
def addresses(wire: Wire, project: str) -> list[str]:
    """The target that each of CONTENTS may be put to."""
    upload = Upload(wire, project, {name: data + project.encode() for name, data in CONTENTS.items()})
    urls = upload.upload_urls(upload.create())
    return [url.partition(wire.url)[2] for url in urls.values() if url]


@pytest.fixture
def contents(project: str) -> list[bytes]:
    return [data + project.encode() for data in CONTENTS.values()]


def build_put(target: str, body: bytes, *headers: str) -> bytes:
    lines = [f"PUT {target} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def connect(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        yield client


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer, byte by byte at its head, so that the next one stays in the socket."""
    answer = HTTPResponse(client)
    answer.fp = client.makefile("rb", buffering=0)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def is_stored(server: Server, body: bytes) -> bool:
    md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    path = server.data / "blobs" / md5[:2] / md5
    return path.exists() and path.read_bytes() == body


def test_one_chunk_and_two_are_stored_and_answered_alike(
    server: Server, addresses: list[str], contents: list[bytes]
) -> None:
    with connect(server) as client:
        client.sendall(build_put(addresses[0], contents[0]))
        at_once = read_answer(client)
        head, body = build_put(addresses[1], b"")[:-4], contents[1]
        client.sendall(head.replace(b"Content-Length: 0", f"Content-Length: {len(body)}".encode()) + b"\r\n\r\n")
        client.sendall(body)
        in_two = read_answer(client)
    assert at_once[0] == in_two[0] == 200
    assert at_once[2] == in_two[2] == b""
    assert at_once[1].keys() == in_two[1].keys() == {"date", "etag", "content-length"}
    assert all(is_stored(server, body) for body in contents[:2])


def test_the_answers_come_in_the_order_of_the_requests(
    server: Server, addresses: list[str], contents: list[bytes]
) -> None:
    """A PUT behind a request that the application still works on waits for its turn."""
    ask = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    first, second, third = (build_put(target, body) for target, body in zip(addresses, contents, strict=True))
    with connect(server) as client:
        client.sendall(first + ask + second + third + ask)
        answers = [read_answer(client) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200] * 5
    etags = [headers.get("etag") for _, headers, _ in answers]
    md5s = [f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"' for body in contents]
    assert etags == [md5s[0], None, md5s[1], md5s[2], None]
    assert all(is_stored(server, body) for body in contents)


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (lambda target, body: (target[:-1] + ("0" if target[-1] != "0" else "1"), body), 403, "did not make this"),
        (lambda target, body: (target.partition("?")[0], body), 403, "did not make this"),
        (lambda target, body: (target, body + b"!"), 400, "nothing was stored"),
        (lambda target, body: (target.replace("/storage/", "/stored/"), body), 404, "is not supported"),
        (lambda target, body: (f"{target.rpartition('/')[0]}/%zz?", body), 403, "did not make this"),
    ],
    ids=["signature", "no_signature", "other_bytes", "other_address", "no_md5"],
)
def test_what_is_refused_is_refused_by_the_application_with_its_reason(
    server: Server,
    addresses: list[str],
    contents: list[bytes],
    change: Change,
    status: int,
    reason: str,
) -> None:
    target, body = change(addresses[0], contents[0])
    with connect(server) as client:
        client.sendall(build_put(target, body))
        answer = read_answer(client)
        assert (answer[0], reason in answer[2].decode()) == (status, True), answer
        assert not is_stored(server, body)
        client.sendall(build_put(addresses[0], contents[0]))  # on the same connection
        assert read_answer(client)[0] == 200
    assert is_stored(server, contents[0])


@pytest.mark.parametrize(("version", "header"), [("1.1", "Connection: close"), ("1.0", "Connection: keep-alive")])
def test_a_client_that_expects_it_is_left(
    server: Server, addresses: list[str], contents: list[bytes], version: str, header: str
) -> None:
    """As by the application, to which HTTP/1.0 is one answer per connection."""
    with connect(server) as client:
        client.sendall(build_put(addresses[0], contents[0], header).replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        status, headers, _ = read_answer(client)
        assert (status, headers["connection"]) == (200, "close")
        assert client.recv(1) == b""


def test_a_large_file_goes_to_the_application(server: Server, wire: Wire, project: str) -> None:
    body = project.encode() * 20_000
    upload = Upload(wire, project, {"large": body})
    url = upload.upload_urls(upload.create())["large"]
    assert url is not None and len(body) > 256 * 1024
    with connect(server) as client:
        client.sendall(build_put(urlsplit(url).path + "?" + urlsplit(url).query, body))
        assert read_answer(client)[0] == 200
    assert is_stored(server, body)


def test_a_connection_that_stays_silent_after_a_put_is_closed(tmp_path: Path) -> None:
    text = "import modelgate_server.settings as s\ns.KEEP_ALIVE_S = 1\n"
    (tmp_path / "sitecustomize.py").write_text(text)
    with serving(tmp_path / "server", python_path=tmp_path) as server:
        upload = Upload(Wire.connect(server), "silent", {"a": b"a"})
        url = upload.upload_urls(upload.create())["a"]
        assert url is not None
        with connect(server) as client:
            client.sendall(build_put(url.partition(server.url)[2], b"a"))
            assert read_answer(client)[0] == 200
            assert client.recv(1) == b""


def test_a_put_is_not_interrupted_by_the_time_of_its_head(
    tmp_path: Path,
) -> None:
    """The clock that is set when a client connects does not close a connection that has been used since."""
    text = "import modelgate_server.settings as s\ns.HEAD_S = 1\n"
    (tmp_path / "sitecustomize.py").write_text(text)
    with serving(tmp_path / "server", python_path=tmp_path) as server:
        upload = Upload(Wire.connect(server), "patient", {"a": b"a", "b": b"b"})
        urls = upload.upload_urls(upload.create())
        with connect(server) as client:
            for name, url in urls.items():
                assert url is not None
                client.sendall(build_put(url.partition(server.url)[2], name.encode()))
                assert read_answer(client)[0] == 200
                client.settimeout(1.5)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(30)


def test_a_put_in_one_chunk_does_not_reach_the_application() -> None:
    stored: list[tuple[bytes, bytes]] = []

    def store(target: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
        stored.append((target, body))
        return [(b"etag", b'"x"')]

    async def refuse(_scope: object, _receive: object, _send: object) -> None:
        raise AssertionError("the application was called")

    async def ask() -> bytes:
        config = uvicorn.Config(cast(Any, refuse), http=Connection, ws="none", log_config=None)  # type: ignore[arg-type]
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        listening = await loop.create_server(
            lambda: Connection(config, state, {}, loop, store=store), "127.0.0.1", 0, reuse_port=False
        )
        async with listening:
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            writer.write(build_put("/a?b", b"body") + build_put("/c", b""))
            answer = await reader.readuntil(b"\r\n\r\n") + await reader.readuntil(b"\r\n\r\n")
            writer.close()
        return answer

    once = b'HTTP/1.1 200 OK\r\netag: "x"\r\ncontent-length: 0\r\n\r\n'
    assert asyncio.run(ask()) == once * 2
    assert stored == [(b"/a?b", b"body"), (b"/c", b"")]
