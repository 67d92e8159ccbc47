"""
The approval of a reviewer of the environment: every refusal by its name.

    pytest tests/steps/approval/test_reviewer.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.promotion.approval.approver import Approval
from tests.steps.approval.asking import check_approval, refused
from tests.steps.github import REPOSITORY, RUN, THIS_RUN, approved, evidence, workflow_run


def test_a_reviewer_approves_this_attempt(github):
    github.answers[RUN] = [approved("bob", "Fine\x1b[2J‮ by me")]
    assert check_approval() == Approval(
        "bob", "github", "Fine [2J by me", f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2"
    )


def test_nobody_approved(github):
    assert refused() == "no_approval"


def test_an_environment_without_reviewers_is_no_approval(github):
    github.answers[RUN] = [approved("bob", environment="training")]
    assert refused() == "no_approval"


def test_a_use_case_with_an_environment_of_its_own_is_approved_there_alone(github):
    github.answers[RUN] = [approved("bob")]
    assert refused(environment="production-glyphs") == "no_approval"
    github.answers[RUN] += [approved("carol", environment="production-glyphs")]
    assert check_approval(environment="production-glyphs").approver == "carol"
    github.answers[RUN] = [approved("root", state="skipped", environment="production-glyphs")]
    assert (refused(), refused(environment="production-glyphs")) == ("no_approval", "bypassed")


def test_a_rejection_is_no_approval(github):
    github.answers[RUN] = [approved("bob", state="rejected")]
    assert refused() == "no_approval"


@pytest.mark.parametrize("others", [[], [approved("bob", state="rejected")]])
def test_an_administrator_who_did_not_wait_approved_nothing(github, others):
    github.answers[RUN] = [approved("root", state="skipped"), *others]
    assert refused() == "bypassed"
    github.answers[RUN] = [approved("root", state="skipped", environment="training")]
    assert refused() == "no_approval"


def test_a_reviewer_beside_a_bypass_is_enough(github):
    github.answers[RUN] = [approved("root", state="skipped"), approved("bob")]
    assert check_approval().approver == "bob"


def test_an_account_that_was_deleted_approves_nothing_and_blocks_nobody(github):
    nobody = approved("eve") | {"user": None}
    github.answers[RUN] = [nobody]
    assert refused() == "no_approval"
    github.answers[RUN] = [nobody, approved("bob")]
    assert check_approval().approver == "bob"


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_approval_of_the_attempt_before_does_not_count(github, newest_first):
    before = evidence(approvals=1, approvers=["bob"])
    github.answers[RUN] = [approved("bob")]
    assert refused(of=before) == "no_approval"
    github.answers[RUN] = [approved("bob"), approved("carol")][:: -1 if newest_first else 1]
    assert check_approval(of=before).approver == "carol"


def test_an_approval_that_is_new_is_not_enough_where_one_that_was_counted_is_gone(github):
    github.answers[RUN] = [approved("carol")]
    assert refused(of=evidence(approvals=1, approvers=["bob"])) == "no_approval"


@pytest.mark.parametrize("counted", [None, "x", [5], [None], {}])
def test_evidence_that_does_not_say_whose_approvals_it_counted(github, counted):
    github.answers[RUN] = [approved("bob"), approved("bob")]
    assert refused(of=evidence(approvers=counted)) == "evidence_unreadable"


def test_the_same_reviewer_may_approve_again(github):
    github.answers[RUN] = [approved("bob"), approved("bob", "Again.")]
    assert check_approval(of=evidence(approvals=1, approvers=["bob"])).approver == "bob"


@pytest.mark.parametrize(
    "change",
    [
        {"run_attempt": 1},
        {"run_id": 4710},
        {"repository": "team/other"},
        {"run_id": "\x1b[2J"},
        {"run_id": "x" * 10_000},
    ],
)
def test_evidence_of_another_attempt(github, change):
    github.answers[RUN] = [approved("bob")]
    assert refused(of=evidence(**change)) == "approval_other_attempt"


def test_evidence_of_another_attempt_says_of_which(github):
    with pytest.raises(StepError, match=r"is from run 4711 of team/models, attempt 1, but this is run .*, attempt 2:"):
        check_approval(of=evidence(run_attempt=1))


def test_evidence_from_a_laptop(github):
    github.answers[RUN] = [approved("bob")]
    assert refused(of={"github": None}) == "approval_other_attempt"


@pytest.mark.parametrize("starter", ["GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"])
@pytest.mark.parametrize(("started", "approves"), [("Bob", "bob"), ("bob", "Bob")])
def test_who_started_the_run_may_not_approve_it(github, monkeypatch, starter, started, approves):
    monkeypatch.setenv(starter, started)
    github.answers[THIS_RUN] = workflow_run(event="workflow_dispatch")
    github.answers[RUN] = [approved(approves)]
    assert refused() == "self_approval"
    assert check_approval(self_approval=True).approver == approves


def test_self_approval_hides_behind_no_older_approval(github):
    github.answers[RUN] = [approved("ada"), approved("bob")]
    assert refused(of=evidence(approvals=1, approvers=["bob"])) == "self_approval"


def test_another_reviewer_beside_the_starter_is_enough(github):
    github.answers[RUN] = [approved("ada"), approved("bob", "I did not start it."), approved("ada")]
    assert (check_approval().approver, check_approval().comment) == ("bob", "I did not start it.")
