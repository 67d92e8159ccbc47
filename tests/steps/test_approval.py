"""
Who approved: every refusal by its name, against a GitHub of the test's own whose answers have GitHub's published shape.

    pytest tests/steps/test_approval.py

The GitHub that they ask is the stand-in of github.py.
"""

from __future__ import annotations

import socket
import time

import pytest

from steps.common import approval
from steps.common.cli import StepError
from tests.steps.github import (
    OTHER,
    PULLS,
    REPOSITORY,
    REVIEWS,
    RUN,
    TOKEN,
    approved,
    evidence,
    may_write,
    pull,
    repository,
    review,
)


def asked(how="github", of=None, self_approval=False):
    approval.check_flags(None, how)
    return approval.of(None, how, of or evidence(), self_approval=self_approval)


def refused(how="github", **arguments):
    with pytest.raises(StepError) as stopped:
        asked(how, **arguments)
    assert TOKEN not in f"{stopped.value} {stopped.value.hint}"
    return stopped.value.name


# --- which flag, where -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_github", "approver", "how", "name", "code"),
    [
        (False, None, None, "no_approval", 1),
        (False, " \n", None, "no_approval", 1),
        (False, "ada", "github", "two_approvals", 2),
        (False, None, "github", "not_on_github", 1),
        (False, None, "merge", "not_on_github", 1),
        (True, "ada", None, "name_is_no_approval", 1),
        (True, None, None, "name_is_no_approval", 1),
        (True, "ada", "github", "two_approvals", 2),
    ],
)
def test_flags_that_approve_nothing_here(monkeypatch, on_github, approver, how, name, code):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if on_github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(StepError) as stopped:
        approval.check_flags(approver, how)
    assert (stopped.value.name, stopped.value.exit_code) == (name, code)


def test_a_name_approves_on_a_machine_of_ones_own(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    approval.check_flags("Grace\x1b[31m Hopper ", None)
    assert approval.of("Grace\x1b[31m Hopper ", None, {}, self_approval=False) == approval.Approval(
        "Grace [31m Hopper", "name"
    )


# --- what evaluate notes ---------------------------------------------------------------------------------------------


def test_off_github_there_is_no_context(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert approval.context() is None


def test_the_context_counts_the_approvals_so_far(github):
    github.answers[RUN] = [approved("bob"), approved("eve", environment="staging"), approved("eve", state="rejected")]
    assert approval.context() == evidence(approvals=1, approvers=["bob"])["github"]
    assert github.asked == [(RUN, f"Bearer {TOKEN}")]


# --- the reviewer of the environment ---------------------------------------------------------------------------------


def test_a_reviewer_approves_this_attempt(github):
    github.answers[RUN] = [approved("bob", "Fine\x1b[2J‮ by me")]
    assert asked() == approval.Approval(
        "bob", "github", "Fine [2J by me", f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2"
    )


def test_nobody_approved(github):
    assert refused() == "no_approval"


def test_an_environment_without_reviewers_is_no_approval(github):
    github.answers[RUN] = [approved("bob", environment="training")]
    assert refused() == "no_approval"


def test_a_rejection_is_no_approval(github):
    github.answers[RUN] = [approved("bob", state="rejected")]
    assert refused() == "no_approval"


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_approval_of_the_attempt_before_does_not_count(github, newest_first):
    before = evidence(approvals=1, approvers=["bob"])
    github.answers[RUN] = [approved("bob")]
    assert refused(of=before) == "no_approval"
    github.answers[RUN] = [approved("bob"), approved("carol")][:: -1 if newest_first else 1]
    assert asked(of=before).approver == "carol"


def test_the_same_reviewer_may_approve_again(github):
    github.answers[RUN] = [approved("bob"), approved("bob", "Again.")]
    assert asked(of=evidence(approvals=1, approvers=["bob"])).approver == "bob"


@pytest.mark.parametrize("change", [{"run_attempt": 1}, {"run_id": 4710}, {"repository": "team/other"}])
def test_evidence_of_another_attempt(github, change):
    github.answers[RUN] = [approved("bob")]
    assert refused(of=evidence(**change)) == "approval_other_attempt"


def test_evidence_from_a_laptop(github):
    github.answers[RUN] = [approved("bob")]
    assert refused(of={"github": None}) == "approval_other_attempt"


@pytest.mark.parametrize("starter", ["GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"])
def test_who_started_the_run_may_not_approve_it(github, monkeypatch, starter):
    monkeypatch.setenv(starter, "Bob")
    github.answers[RUN] = [approved("bob")]
    assert refused() == "self_approval"
    assert asked(self_approval=True).approver == "bob"


def test_self_approval_hides_behind_no_older_approval(github):
    github.answers[RUN] = [approved("ada"), approved("bob")]
    assert refused(of=evidence(approvals=1, approvers=["bob"])) == "self_approval"


def test_another_reviewer_beside_the_starter_is_enough(github):
    github.answers[RUN] = [approved("ada"), approved("bob")]
    assert asked().approver == "bob"


# --- the review of the merged pull request ---------------------------------------------------------------------------


def test_a_review_of_what_was_merged_approves(github):
    github.answers[REVIEWS] = [review("bob")]
    assert asked("merge") == approval.Approval(
        "bob", "merge", "Ship it.", f"https://github.com/{REPOSITORY}/pull/7#pullrequestreview-1"
    )


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(merged_at=None)],
        [pull(merge_commit_sha=OTHER)],
        [pull(base=pull()["base"] | {"ref": "playground"})],
        [pull(base=pull()["base"] | {"repo": repository() | {"full_name": "fork/models"}})],
    ],
)
def test_a_commit_that_no_merge_made(github, pulls):
    github.answers |= {PULLS: pulls, REVIEWS: [review("bob")]}
    assert refused("merge") == "not_merged"


@pytest.mark.parametrize(
    "reviews",
    [
        [],
        [review("bob", "COMMENTED")],
        [review("bob"), review("bob", "DISMISSED")],
        [review("bob"), review("bob", "CHANGES_REQUESTED")],
        [review("mallory")],
    ],
)
def test_nobody_with_a_say_approved_the_merge(github, reviews):
    github.answers |= {REVIEWS: reviews, **may_write("mallory", "read")}
    assert refused("merge") == "no_approving_review"


def test_a_comment_after_the_approval_takes_nothing_back(github):
    github.answers[REVIEWS] = [review("bob"), review("bob", "COMMENTED")]
    assert asked("merge").approver == "bob"


def test_the_author_approved_the_merge(github):
    github.answers |= {REVIEWS: [review("Ada")], **may_write("Ada")}
    assert refused("merge") == "self_approval"


@pytest.mark.parametrize("commit", [OTHER, None])
def test_the_review_was_of_another_commit(github, commit):
    github.answers[REVIEWS] = [review("bob", commit=commit)]
    assert refused("merge") == "review_of_other_commit"


def test_the_evidence_was_of_another_commit(github):
    github.answers[REVIEWS] = [review("bob")]
    assert refused("merge", of=evidence(sha=OTHER)) == "evidence_of_other_commit"
    assert refused("merge", of={"github": None}) == "evidence_of_other_commit"


def test_reviews_are_read_to_the_last_page(github):
    github.answers[REVIEWS] = [review("bob"), *[review("carol", "COMMENTED")] * 150, review("bob", "DISMISSED")]
    assert refused("merge") == "no_approving_review"


# --- answers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[" * 100_000,
        {"message": "hello"},
        [None],
        ["approved"],
        [{"state": "approved"}],
        [approved("bob") | {"user": None}],
        [approved("bob") | {"user": {"login": 5}}],
        [approved("bob\x1b]0;") | {"state": "approved"}],
        [approved("bob") | {"environments": "production"}],
        [approved("bob") | {"environments": [{"name": True}]}],
        [approved("bob") | {"comment": None}],
        [approved("bob") | {"state": 1}],
    ],
    ids=range(13),
)
def test_nothing_is_concluded_from_an_answer_of_another_shape(github, answer):
    github.answers[RUN] = answer
    assert refused() == "github_answer_unknown"


def test_an_answer_without_end_is_given_up(github, monkeypatch):
    monkeypatch.setattr(approval, "_MAX_ANSWER_BYTES", 1000)
    github.answers[RUN] = b"[" + b" " * 2000 + b"]"
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize(("status", "code"), [(401, 2), (403, 2), (404, 2), (500, 3), (302, 2)])
def test_github_says_no(github, status, code):
    github.answers[RUN] = status
    with pytest.raises(StepError) as stopped:
        asked()
    assert (stopped.value.name, stopped.value.exit_code) == ("github_refused", code)
    assert [path for path, _ in github.asked] == [RUN]  # a redirect is not followed: the token stays here


def test_github_that_is_not_there(github, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(StepError) as stopped:
            approval.context()
    assert (stopped.value.name, stopped.value.exit_code) == ("github_unreachable", 3)


def test_github_that_answers_a_byte_at_a_time_is_given_up(github, monkeypatch):
    def drip(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            time.sleep(0.05)
            try:
                handler.wfile.write(b" ")
            except OSError:
                break

    monkeypatch.setattr(approval, "TIMEOUT_S", 0.5)
    github.answers[RUN] = drip
    began = time.monotonic()
    assert refused() == "github_unreachable"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_URL", ""),
        ("API_URL", "http://api.example.com"),
        ("API_URL", "file:///etc"),
        ("API_URL", "https://me:secret@api.github.com"),
        ("REPOSITORY", "team/.."),
        ("REPOSITORY", "team"),
        ("RUN_ID", "4711/../1"),
        ("RUN_ATTEMPT", ""),
        ("SHA", "main"),
        ("TRIGGERING_ACTOR", ""),
    ],
)
def test_a_variable_that_is_not_githubs(github, monkeypatch, variable, value):
    monkeypatch.setenv(f"GITHUB_{variable}", value)
    assert refused() == "github_variable"
    assert github.asked == []


@pytest.mark.parametrize("token", ["", "a b", "x\r\nX-Evil: 1"])
def test_a_token_that_is_none(github, monkeypatch, token):
    monkeypatch.setenv("GITHUB_TOKEN", token)
    assert refused() == "github_token"


def test_what_is_printed_is_one_short_line():
    assert approval.plain("a\x00b\u202ec\nd\te") == "a b c d e"
    assert len(approval.plain("x" * 10_000, 50)) == 50
