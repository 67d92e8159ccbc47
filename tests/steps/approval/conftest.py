"""A workflow run of a pull request, which several files test. The fake GitHub is in tests/steps/conftest.py."""

from __future__ import annotations

import pytest

from tests.steps.github import COMMITS, HEAD, PULL, THIS_RUN, commit, open_pull, workflow_run


@pytest.fixture
def pull_request(github, monkeypatch):
    """The run of pull request 7: ada opened it, carol wrote and dan committed a part, and eve pushed last."""
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_ACTOR", "eve")
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "eve")
    run = workflow_run(event="pull_request", head_branch="better", head_sha=HEAD)
    github.answers |= {THIS_RUN: run, PULL: open_pull(), COMMITS: [commit("Carol", "Dan"), commit(None, {})]}
    return github
