"""
`serve-model`, with a small program that replaces the service.

    pytest tests/runner/test_model_service.py
"""

from __future__ import annotations

import signal
import socket

import pytest

from runner import model_service
from tests.fake_server import FakeServer, Request
from tests.serving import free_port, until

from .conftest import Checkout, alive

READY = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
Path("service.part").write_text(json.dumps({"pid": os.getpid(), "flags": flags, "env": dict(os.environ)}))
Path("service.part").replace("service.json")
state = {"ready": True, "version": "org/wandb-registry-model/glyphs-dev:v3", "ledger_entry": "v7", "problem": None}


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(state).encode())


HTTPServer(("127.0.0.1", int(flags["--port"])), Answer).serve_forever()
"""


def service(checkout: Checkout, program: str, approver: str = "ada") -> None:
    (checkout.root / "serving").mkdir()
    (checkout.root / "serving/__main__.py").write_text(program)
    checkout.runner("run", "--use-case", "glyphs", APPROVE=approver)


def test_it_says_which_version_answers_and_how_to_ask_it_and_ends_with_ctrl_c(checkout: Checkout) -> None:
    service(checkout, READY)
    port = free_port()
    runner = checkout.start("serve-model", "--port", str(port), WANDB_API_KEY="somebody-else-s")
    assert runner.stdout is not None
    output = ""
    while "Ctrl-C" not in output:
        output += runner.stdout.readline()
        assert runner.poll() is None, output
    assert "Serving glyphs-dev:v3 (ledger entry v7)" in output
    assert f"curl -s --data @- http://127.0.0.1:{port}/v2/models/glyphs/infer" in output
    started = checkout.started_service()
    assert started["flags"]["--use-case"] == "glyphs"
    assert started["env"]["WANDB_API_KEY"] == (checkout.folder / "api-key").read_text().strip()
    runner.send_signal(signal.SIGINT)
    assert "The service has stopped." in runner.communicate(timeout=60)[0]
    assert runner.returncode == 0 and not alive(started["pid"])
    assert checkout.everything_ended() and not (checkout.folder / "service.pid").exists()


def test_a_service_without_a_version_names_the_line_that_approves_what_waits(checkout: Checkout) -> None:
    problem = '{"name": "nothing_in_production", "message": "nothing is in production", "hint": "make run"}'
    ready = (
        '{"ready": True, "version": "org/wandb-registry-model/glyphs-dev:v3", "ledger_entry": "v7", "problem": None}'
    )
    service(checkout, READY.replace(ready, f'{{"ready": False, "problem": {problem}}}'), approver="")
    runner = checkout.start("serve-model", "--port", str(free_port()))
    assert runner.stdout is not None
    lines = []
    while "approve" not in "".join(lines) and runner.poll() is None:
        lines.append(runner.stdout.readline())
    assert lines[-3:] == [
        "Not answering yet: nothing is in production\n",
        "hint: make run\n",
        "glyphs-dev:v3 waits for your approval: make approve USE_CASE=glyphs APPROVE=NAME\n",
    ]
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=60)


def test_a_service_that_ends_by_itself_is_an_error_with_its_last_lines(checkout: Checkout) -> None:
    service(checkout, "import sys; sys.exit('error: no model fits here')")
    code, output = checkout.runner("serve-model", "--port", str(free_port()))
    assert code == 3 and "| error: no model fits here" in output
    assert "port" not in output.splitlines()[-1]


def test_a_port_that_is_in_use_is_named_in_one_line(checkout: Checkout) -> None:
    service(checkout, "import sys; sys.exit('never started')")
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        code, output = checkout.runner("serve-model", "--port", str(port))
    assert (code, output.splitlines()[-2:]) == (2, [
        f"error: port {port} is in use by another program",
        f'hint: choose another: make serve-model USE_CASE=glyphs ARGS="--port {port + 1}"',
    ])  # fmt: skip
    assert "never started" not in output


def test_a_port_that_does_not_exist_is_named_in_one_line(checkout: Checkout) -> None:
    service(checkout, "import sys; sys.exit('never started')")
    code, output = checkout.runner("serve-model", "--port", "99999")
    assert (code, output.splitlines()[-1]) == (2, "error: --port 99999: must be from 1 to 65535")


@pytest.mark.parametrize("ready", [True, False])
def test_what_keeps_a_version_from_answering_is_said_with_its_hint(ready: bool) -> None:
    problem = {"name": "digest_differs", "message": "the digest differs", "hint": "run audit --verify"}
    state = {"ready": ready, "version": "org/registry/glyphs-dev:v3", "ledger_entry": "v7", "problem": problem}
    assert model_service._describe_state(state).endswith(": the digest differs\nhint: run audit --verify")


def test_a_service_that_a_killed_runner_left_behind_is_ended_first(checkout: Checkout) -> None:
    service(checkout, READY)
    first = checkout.start("serve-model", "--port", str(free_port()))
    left = until(lambda: checkout.started_service().get("pid"), "the service")
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=60)
    second = checkout.start("serve-model", "--port", str(free_port()))
    until(lambda: checkout.started_service()["pid"] != left, "another service")
    assert not alive(left)
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)


@pytest.mark.parametrize("status", [200, 404, 503])
@pytest.mark.parametrize("answer", [b"<p>not found</p>", b"[]", b"{}", b'{"ready": tr'])
def test_another_program_on_the_port_is_no_service_and_ends_nothing(status: int, answer: bytes) -> None:
    class Other(Request):
        def do_GET(self) -> None:
            self.say(answer, status)

    other = FakeServer(Other)
    try:
        assert model_service._state(other.url) == {}
    finally:
        other.close()
