"""
promote when W&B's response to the move of the alias is lost: it may have moved, so promote does not report a refusal.

    pytest tests/steps/test_lost_answer.py

A proxy in front of the real server spoils the response to that request.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelgate.errors import StepError
from tests.serving import Server
from tests.steps.workspace import Workspace


class Proxy(ThreadingHTTPServer):
    """A proxy of `server`; `spoil` says how it spoils the response to the next move of the alias."""

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.behind = server.port
        self.spoil = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _ProxyHandler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        spoil = ""
        if b"mutation AddAliases" in body and b'"production"' in body:
            spoil, self.server.spoil = self.server.spoil, ""
        if spoil == "refused":  # without being asked
            refusal = {"errors": [{"message": "permission denied", "path": ["addAliases"]}], "data": None}
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(refusal).encode())
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=60)
        behind.request(self.command, self.path, body, dict(self.headers.items()))
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        if spoil == "html":
            self._answer(200, {"Content-Type": "text/html"}, b"<html>Sign in to the network</html>")
        else:
            self._answer(answer.status, dict(answer.getheaders()), content, cut=spoil == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = pass_on

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def proxy(server: Server, wandb_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with Proxy(server) as standing:
        threading.Thread(target=standing.serve_forever, daemon=True).start()
        monkeypatch.setenv("WANDB_BASE_URL", standing.url)
        yield standing
        standing.shutdown()


@pytest.mark.parametrize("failure", ["cut", "html"])
def test_what_may_have_moved_is_not_called_refused_and_the_same_command_completes_it(proxy, step, collection, failure):
    workspace = Workspace(step, collection)
    evidence = workspace.evidence(0)
    proxy.spoil = failure
    with pytest.raises(StepError) as ended:
        step("promote", "--evidence", evidence, "--approver", "ada")
    assert proxy.spoil == ""
    assert (ended.value.name, ended.value.exit_code) == ("wandb_failed", 3)
    assert "production" in workspace.version(0).aliases  # W&B had done it
    assert step("promote", "--evidence", evidence, "--approver", "ada").exit == 0
    assert [entry["state"] for entry in step("audit")["entries"]] == ["applied"]
    assert workspace.findings() == set()


def test_a_refusal_that_has_no_status_of_its_own_is_one(proxy, step, collection):
    workspace = Workspace(step, collection)
    evidence = workspace.evidence(0)
    proxy.spoil = "refused"
    with pytest.raises(StepError) as ended:
        step("promote", "--evidence", evidence, "--approver", "ada")
    assert (ended.value.name, ended.value.exit_code) == ("alias_refused", 1)
    assert [entry["state"] for entry in step("audit")["entries"]] == ["unfinished"]
