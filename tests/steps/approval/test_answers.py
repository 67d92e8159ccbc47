"""
GitHub's answers are untrusted input, and so are a job's variables.

    pytest tests/steps/approval/test_answers.py
"""

from __future__ import annotations

import socket
import threading
import time

import pytest

from modelgate.errors import StepError
from modelgate.promotion.approval import api, reviewer
from modelgate.text import to_line
from tests.steps.approval.asking import check_approval, refused
from tests.steps.github import PULLS, REVIEWS, RUN, TOKEN, approved, pull, review


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[" * 100_000,
        {},
        {"message": "hello"},
        b"null",
        [None],
        ["approved"],
        [{"state": "approved"}],
        [approved("bob") | {"user": "bob"}],
        [approved("bob") | {"user": {"login": 5}}],
        [approved("bob\x1b]0;") | {"state": "approved"}],
        [approved("bob") | {"environments": "production"}],
        [approved("bob") | {"environments": [{"name": True}]}],
        [approved("bob") | {"comment": None}],
        [approved("bob") | {"state": 1}],
    ],
    ids=range(15),
)
def test_nothing_is_concluded_from_an_answer_of_another_shape(github, answer):
    github.answers[RUN] = answer
    assert refused() == "github_answer_unknown"


def test_the_number_of_a_pull_request_is_one(github):
    github.answers |= {PULLS: [pull(number=True)], REVIEWS.replace("7", "True"): [review("bob")]}
    assert refused("merge") == "github_answer_unknown"


def test_what_is_no_json_is_called_so(github):
    github.answers[RUN] = b"<html>"
    with pytest.raises(StepError, match="approvals is not JSON"):
        check_approval()


def test_an_answer_without_end_is_given_up(github, monkeypatch):
    monkeypatch.setattr(api, "_MAX_ANSWER_BYTES", 1000)
    github.answers[RUN] = b"[" + b" " * 2000 + b"]"
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize(("status", "code"), [(401, 2), (403, 2), (404, 2), (500, 3), (302, 2)])
def test_github_says_no(github, status, code):
    github.answers[RUN] = status
    with pytest.raises(StepError) as stopped:
        check_approval()
    assert (stopped.value.name, stopped.value.exit_code) == ("github_refused", code)
    assert [path for path, _ in github.asked] == [RUN]  # a redirect is not followed: the token stays here


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_github_that_is_not_there(github, monkeypatch, scheme):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GITHUB_API_URL", f"{scheme}://127.0.0.1:{probe.getsockname()[1]}/api/v3/")
        with pytest.raises(StepError) as stopped:
            reviewer.read_context("production")
    assert (stopped.value.name, stopped.value.exit_code) == ("github_unreachable", 3)


def test_github_that_speaks_another_protocol(github):
    github.answers[RUN] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert refused() == "github_unreachable"


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["never", "drop by drop"]
)
def test_github_that_answers_too_slowly_is_given_up(github, monkeypatch, head):
    given_up = threading.Event()

    def drip(request):
        request.wfile.write(head)
        for _ in range(100):
            if given_up.wait(0.05):
                break
            try:
                request.wfile.write(b" " if head else b"")
            except OSError:
                break

    monkeypatch.setattr(api, "TIMEOUT_S", 0.2)
    github.answers[RUN] = drip
    began = time.monotonic()
    assert refused() == "github_unreachable"
    given_up.set()
    assert time.monotonic() - began < 4  # all of it takes 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_URL", ""),
        ("API_URL", "http://api.example.com"),
        ("API_URL", "file:///etc"),
        ("API_URL", "https://me:secret@127.0.0.1:9"),
        ("API_URL", "http://127.0.0.1.example.com"),
        ("API_URL", "https://127.0.0.1:9?to=me"),
        ("API_URL", "https://[::1"),
        ("API_URL", "https://"),
        ("API_URL", "x" * 10_000),
        ("REPOSITORY", "team/.."),
        ("REPOSITORY", "team"),
        ("REPOSITORY", "team/modèles"),
        ("REPOSITORY", "team/models\n"),
        ("RUN_ID", "4711/../1"),
        ("RUN_ATTEMPT", ""),
        ("SHA", "main"),
        ("ACTOR", ""),
        ("TRIGGERING_ACTOR", ""),
    ],
)
def test_a_variable_that_is_not_githubs(github, monkeypatch, variable, value):
    monkeypatch.setenv(f"GITHUB_{variable}", value)
    assert refused() == "github_variable"
    assert github.asked == []


def test_the_page_of_the_approval_is_one_of_the_web(github, monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "javascript:alert(1)")
    github.answers[RUN] = [approved("bob")]
    assert refused() == "github_variable"


@pytest.mark.parametrize("token", ["", "a b", "x\r\nX-Evil: 1"])
def test_a_token_that_is_none(github, monkeypatch, token):
    monkeypatch.setenv("GITHUB_TOKEN", token)
    assert refused() == "github_token"


@pytest.mark.parametrize(("token", "used"), [("", TOKEN), ("ghs_of_another_repository", "ghs_of_another_repository")])
def test_what_is_posted_has_the_token_of_the_job_unless_another_is_given(github, token, used):
    api.post("repos/team/consumer/dispatches", {"event_type": "promoted"}, token)
    assert github.posted == [("/repos/team/consumer/dispatches", {"event_type": "promoted"}, f"Bearer {used}")]


def test_what_is_printed_is_one_short_line():
    assert to_line("a\x00b\u202ec\nd\te") == "a b c d e"
    assert len(to_line("x" * 10_000, 50)) == 50
