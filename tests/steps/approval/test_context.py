"""
What evaluate records about its workflow run.

    pytest tests/steps/approval/test_context.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.promotion.approval import pulls, reviewer
from tests.steps.github import HEAD, MERGE, OTHER, RUN, THIS_COMMIT, TOKEN, TREE, approved, evidence, git_commit


def test_off_github_there_is_no_context(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert reviewer.read_context("production") is None


def test_the_context_counts_the_approvals_so_far(github):
    github.answers[RUN] = [approved("bob"), approved("eve", environment="staging"), approved("eve", state="rejected")]
    assert reviewer.read_context("production") == evidence(approvals=1, approvers=["bob"])["github"]
    assert github.asked == [(RUN, f"Bearer {TOKEN}")]


def test_off_github_a_commit_has_no_parts(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert pulls.commit() is None


def test_the_commit_of_a_branch_outlives_its_run_and_needs_a_tree_alone(github):
    assert pulls.commit() == {"head": None, "base": None, "tree": TREE, "pull_request": None}
    assert [path for path, _ in github.asked] == [THIS_COMMIT]


def test_the_commit_of_a_pull_request_is_named_by_what_outlives_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    github.answers[THIS_COMMIT] = git_commit(OTHER, HEAD)
    assert pulls.commit() == {"head": HEAD, "base": OTHER, "tree": TREE, "pull_request": 7}


@pytest.mark.parametrize(
    ("ref", "answer"),
    [
        ("refs/pull/7/merge", git_commit(OTHER)),
        ("refs/pull/7/merge", git_commit(OTHER, HEAD, MERGE)),
        ("refs/pull/7/merge", git_commit(OTHER, "main")),
        ("refs/heads/main", git_commit(OTHER, f"{HEAD}\n")),
        ("refs/heads/main", git_commit(OTHER) | {"tree": {"sha": None}}),
    ],
)
def test_a_commit_that_is_none_is_not_recorded(github, monkeypatch, ref, answer):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[THIS_COMMIT] = answer
    with pytest.raises(StepError) as stopped:
        pulls.commit()
    assert stopped.value.name == "github_answer_unknown"
