"""
Who started or wrote what waits for an approval, and whether a newer run replaces it.

    pytest tests/steps/approval/test_pulls.py
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.steps.approval.asking import check_approval, refused
from tests.steps.github import (
    COMMITS,
    ITS_WORKFLOW,
    MERGE,
    NEWER_JOBS,
    OTHER,
    PULL,
    PULLS,
    REVIEWS,
    RUN,
    THIS_RUN,
    approved,
    commit,
    jobs,
    open_pull,
    pull,
    review,
    workflow_run,
)


@pytest.mark.parametrize("role", ["ada", "Ada", "carol", "dan", "eve"])
def test_who_opened_wrote_committed_or_pushed_may_not_approve_the_pull_request(pull_request, role):
    pull_request.answers[RUN] = [approved(role)]
    assert refused() == "self_approval"
    pull_request.answers[RUN] += [approved("bob")]
    assert check_approval().approver == "bob"


@pytest.mark.parametrize("attempt", ["first", "again"])
def test_who_only_merged_may_approve_and_who_wrote_it_may_not(github, monkeypatch, attempt):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "bob" if attempt == "first" else "dan")
    github.answers[COMMITS] = [commit("carol")]
    github.answers[RUN] = [approved("ada"), approved("carol")] + ([approved("dan")] if attempt == "again" else [])
    assert refused() == "self_approval"
    github.answers[RUN] += [approved("bob")]
    assert check_approval().approver == "bob"


def test_who_pushed_without_a_pull_request_may_not_approve_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    github.answers |= {PULLS: [], RUN: [approved("bob")]}
    assert refused() == "self_approval"


def test_who_dispatched_what_they_did_not_write_may_not_approve_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    github.answers |= {THIS_RUN: workflow_run(event="workflow_dispatch"), RUN: [approved("bob")]}
    assert refused() == "self_approval"


@pytest.mark.parametrize("spoiled", [None, "carol", commit() | {"author": "carol"}])
def test_a_commit_that_is_none_names_nobody(pull_request, spoiled):
    pull_request.answers |= {RUN: [approved("bob")], COMMITS: [spoiled]}
    assert refused() == "github_answer_unknown"


def test_a_pull_request_whose_authors_github_does_not_list_is_refused(pull_request):
    pull_request.answers |= {RUN: [approved("bob")], COMMITS: [commit("carol")] * 249}
    assert check_approval().approver == "bob"
    pull_request.answers[COMMITS] += [commit("carol")]
    assert refused() == "too_many_commits"


def test_a_pull_request_that_was_closed_is_not_promoted(pull_request):
    pull_request.answers |= {RUN: [approved("bob")], PULL: pull()}
    assert refused() == "pull_request_closed"


@pytest.mark.parametrize("head", [OTHER, MERGE])
def test_a_pull_request_with_another_last_commit_is_not_promoted(pull_request, head):
    pull_request.answers |= {RUN: [approved("bob")], PULL: open_pull(head=pull()["head"] | {"sha": head})}
    assert refused() == "pull_request_moved"


@pytest.mark.parametrize("method", ["github", "merge"])
@pytest.mark.parametrize(
    ("status", "conclusion", "supersedes"),
    [
        ("waiting", None, True),
        ("in_progress", None, True),
        ("completed", "success", True),
        ("completed", "failure", False),
        ("completed", "cancelled", False),
    ],
)
def test_only_the_newest_run_of_a_branch_is_approved(github, method, status, conclusion, supersedes):
    newer = workflow_run(id=4712, run_number=10, status=status, conclusion=conclusion)
    older = workflow_run(id=4710, run_number=8, status="waiting")
    runs = [newer, workflow_run(), older]
    github.answers |= {ITS_WORKFLOW: {"total_count": 3, "workflow_runs": runs}}
    github.answers |= {NEWER_JOBS: jobs("changed", "remote / images", "glyphs / images", "glyphs / build")}
    github.answers |= {RUN: [approved("bob")], REVIEWS: [review("bob")]}
    if supersedes:
        assert refused(method) == "superseded"
    else:
        assert check_approval(method).approver == "bob"
    (question,) = [path for path, _ in github.asked if path.startswith(ITS_WORKFLOW)]
    assert question.endswith("?event=push&branch=main&per_page=100")


@pytest.mark.parametrize("method", ["github", "merge"])
@pytest.mark.parametrize("names", [[], ["changed"], ["remote / evaluate"], ["glyphs2 / build"], ["glyphs"]])
def test_a_newer_run_about_other_models_supersedes_nothing(github, method, names):
    newer = workflow_run(id=4712, run_number=10, status="waiting")
    github.answers |= {ITS_WORKFLOW: {"total_count": 2, "workflow_runs": [newer, workflow_run()]}}
    github.answers |= {NEWER_JOBS: jobs(*names), RUN: [approved("bob")], REVIEWS: [review("bob")]}
    assert check_approval(method).approver == "bob"


def test_the_jobs_of_a_newer_run_are_read_to_the_last_page(github):
    newer = workflow_run(id=4712, run_number=10, status="waiting")
    github.answers |= {ITS_WORKFLOW: {"total_count": 2, "workflow_runs": [newer]}, RUN: [approved("bob")]}
    rows = jobs(*["remote / build"] * 150, "glyphs / build")["jobs"]

    def paged(request):
        page = int(parse_qs(urlsplit(request.path).query)["page"][0])
        request.say({"total_count": len(rows), "jobs": rows[100 * (page - 1) : 100 * page]})

    github.answers[NEWER_JOBS] = paged
    assert refused() == "superseded"


def test_the_name_of_a_branch_is_part_of_no_question(github):
    github.answers |= {THIS_RUN: workflow_run(head_branch="x&event=#/../\x1b[2J"), RUN: [approved("bob")]}
    newer = workflow_run(id=4712, run_number=10)
    github.answers[NEWER_JOBS] = jobs("glyphs / build")
    github.answers |= {ITS_WORKFLOW: {"total_count": 1, "workflow_runs": [newer]}}
    assert refused() == "superseded"
    assert next(path for path, _ in github.asked if path.startswith(ITS_WORKFLOW)).endswith(
        "branch=x%26event%3D%23%2F..%2F%1B%5B2J&per_page=100"
    )


@pytest.mark.parametrize("change", [{"event": None}, {"head_sha": 5}, {"run_number": True}, {"workflow_id": "12"}])
def test_a_workflow_run_that_is_none(github, change):
    github.answers |= {THIS_RUN: workflow_run(**change), RUN: [approved("bob")]}
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize("change", [{"status": None}, {"run_number": "10"}])
def test_a_later_workflow_run_that_is_none(github, change):
    later = workflow_run(conclusion="success", **change)
    github.answers |= {ITS_WORKFLOW: {"total_count": 1, "workflow_runs": [later]}, RUN: [approved("bob")]}
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize("ref", ["", "main", "refs/heads/a b", "refs/" + "x" * 1000])
def test_a_ref_that_is_none(github, monkeypatch, ref):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[RUN] = [approved("bob")]
    assert refused() == "github_variable"


@pytest.mark.parametrize("ref", ["refs/pull/7/merge/x", "refs/pull/7/head", "refs/heads/refs/pull/7/merge"])
def test_a_branch_is_no_pull_request_whatever_its_name(github, monkeypatch, ref):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[RUN] = [approved("bob")]
    assert check_approval().approver == "bob"
    assert PULL not in [path for path, _ in github.asked]
