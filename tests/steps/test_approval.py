"""
Who approved: every refusal by its name, against a GitHub of the test's own whose answers have GitHub's published shape.

    pytest tests/steps/test_approval.py

The GitHub that they ask is the stand-in of github.py.
"""

from __future__ import annotations

import json
import os
import socket
import time

import pytest
import wandb

from steps import promote
from steps.common import approval, ledger
from steps.common import evidence as frozen
from steps.common.cli import StepError
from tests.steps.desk import Desk
from tests.steps.github import (
    MERGE,
    OTHER,
    PULLS,
    REPOSITORY,
    REVIEWS,
    RUN,
    TOKEN,
    GitHub,
    approved,
    may_write,
    pull,
    repository,
    review,
)


@pytest.fixture
def github(monkeypatch):
    """On GitHub: attempt 2 of run 4711, started by ada."""
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:
        monkeypatch.delenv(name)
    fake = GitHub()
    fake.answers |= {RUN: [], PULLS: [pull()], REVIEWS: [], **may_write("bob")}
    variables = {
        "ACTIONS": "true",
        "API_URL": fake.url,
        "SERVER_URL": "https://github.com",
        "REPOSITORY": REPOSITORY,
        "RUN_ID": "4711",
        "RUN_ATTEMPT": "2",
        "SHA": MERGE,
        "ACTOR": "ada",
        "TRIGGERING_ACTOR": "ada",
        "TOKEN": TOKEN,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"GITHUB_{name}", value)
    yield fake
    fake.close()


def evidence(**changes):
    """Evidence of this attempt, made before anybody approved."""
    here = {"repository": REPOSITORY, "run_id": 4711, "run_attempt": 2, "sha": MERGE}
    who = {"actor": "ada", "triggering_actor": "ada", "approvals": 0, "approvers": []}
    return {"github": here | who | changes}


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
        for _ in range(1000):
            time.sleep(0.05)
            try:
                handler.wfile.write(b" ")
            except OSError:
                break

    monkeypatch.setattr(approval, "TIMEOUT_S", 0.5)
    github.answers[RUN] = drip
    began = time.monotonic()
    assert refused() == "github_unreachable"
    assert time.monotonic() - began < 30  # all of it takes 50


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


# --- promote, with all of it -----------------------------------------------------------------------------------------


@pytest.fixture
def desk(step, collection):
    return Desk(step, collection)


def test_promote_on_github_records_who_approved_and_how(github, desk, capfd, tmp_path):
    github.answers[RUN] = [approved("bob", "Good on the sevens.")]
    answer = desk.step("promote", "--evidence", desk.evidence(0, **evidence()), "--approval", "github")
    assert answer["approver"] == "bob"
    (entry,) = desk.entries
    assert {key: entry.content[key] for key in ("approver", "approval", "comment", "approval_url")} == {
        "approver": "bob",
        "approval": "github",
        "comment": "Good on the sevens.",
        "approval_url": f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2",
    }
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err + json.dumps([answer.result, entry.content])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


def test_promote_by_merge_records_the_review(github, desk):
    github.answers[REVIEWS] = [review("bob")]
    desk.step("promote", "--evidence", desk.evidence(0, **evidence()), "--approval", "merge")
    (entry,) = desk.entries
    assert (entry.content["approver"], entry.content["approval"]) == ("bob", "merge")


def test_promote_without_a_reviewer_moves_nothing(github, desk):
    with pytest.raises(StepError) as stopped:
        desk.step("promote", "--evidence", desk.evidence(0, **evidence()), "--approval", "github")
    assert (stopped.value.name, stopped.value.exit_code) == ("no_approval", 1)
    assert desk.entries == []
    assert "production" not in desk.version(0).aliases


def test_evidence_that_is_too_old(desk):
    old = desk.evidence(0, evaluated_at="2026-10-01T10:00:00Z")
    with pytest.raises(StepError) as stopped:
        desk.step("promote", "--evidence", old, "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("evidence_too_old", 1)
    assert desk.entries == []


def test_evidence_that_says_it_is_young_is_as_old_as_wandb_says(desk, monkeypatch):
    evidence = desk.evidence(0, evaluated_at="2999-01-01T00:00:00Z")
    monkeypatch.setattr(ledger, "now", lambda: "2998-01-01T00:00:00Z")
    with pytest.raises(StepError) as stopped:
        desk.step("promote", "--evidence", evidence, "--approver", "ada")
    assert stopped.value.name == "evidence_too_old"


def test_a_promotion_that_was_cut_off_is_finished_however_old_its_evidence(desk, monkeypatch):
    evidence = desk.evidence(0)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promote, "move_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            desk.step("promote", "--evidence", evidence, "--approver", "ada")
    monkeypatch.setattr(ledger, "now", lambda: "2998-01-01T00:00:00Z")
    desk.step("promote", "--evidence", evidence, "--approver", "ada")
    assert "production" in desk.version(0).aliases


def test_evidence_without_a_time(desk):
    with pytest.raises(StepError) as stopped:
        desk.step("promote", "--evidence", desk.evidence(0, evaluated_at=None), "--approver", "ada")
    assert stopped.value.name == "evidence_unreadable"


def test_evidence_of_another_use_case_is_not_promoted_under_this_ones_policy(desk):
    with pytest.raises(StepError) as stopped:
        desk.step("promote", "--evidence", desk.evidence(0, use_case="mnist"), "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("other_use_case", 1)
    assert desk.entries == []


def test_what_evaluate_notes_is_what_promote_asks_about(github, evaluated, step, monkeypatch):
    """The real evaluate, in attempt 2 after bob approved attempt 1; bob approves again; attempt 3 is another one."""
    github.answers[RUN] = [approved("bob")]
    made = evaluated(0)["evidence"]
    said, _, _ = frozen.read(wandb.Api().artifact(made))
    assert said["github"] == evidence(approvals=1, approvers=["bob"])["github"]
    flags = ("promote", "--evidence", made, "--approval", "github", "--dry-run")
    with pytest.raises(StepError, match="nobody approved"):
        step(*flags)
    github.answers[RUN] += [approved("bob", "Again.")]
    assert step(*flags)["approver"] == "bob"
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "3")
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert stopped.value.name == "approval_other_attempt"
    assert "re-run all jobs" in stopped.value.hint
    again = evaluated(0)
    assert not again["reused"] and again["evidence"] != made
