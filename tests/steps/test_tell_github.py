"""
What promote reports to GitHub, and what it does not ask.

    TEST_GITHUB_OPENAPI=$(.ci/github-description.sh) pytest tests/steps/test_tell_github.py
"""

from __future__ import annotations

import jsonschema
import pytest

from modelgate.errors import StepError
from modelgate.promotion.ledger import Entry
from modelgate.promotion.notifications import github as tell
from modelgate.promotion.notifications.message import Message
from modelgate.promotion.notifications.untold import Untold
from tests.steps.github import DEPLOYMENTS, REPOSITORY, TOKEN, deployments
from tests.steps.published import whole

__all__ = ["whole"]  # a fixture

DISPATCH_TOKEN = "github_pat_TheTokenThatNobodyMayRead"
THIS_RUN = f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2"


@pytest.fixture
def github(github):
    github.answers |= deployments()
    return github


def message(**changes):
    version = {"name": f"acme/wandb-registry-model/{'long-' * 30}cells:v3", "digest": "d" * 32}
    content = {"from": None, "to": version, "approver": "ada", "reason": "", "time": "2026-11-23T14:00:00Z"}
    return Message(
        "cells", Entry(5, content | {"workflow_run": THIS_RUN} | changes), "https://wandb.ai/v3", "production"
    )


def test_what_is_posted_is_what_github_describes(github, whole, monkeypatch):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", REPOSITORY)
    tell.set_status(message())
    tell.dispatch(message())
    paths = ("deployments/{deployment_id}/statuses", "dispatches")
    assert len(github.posted) == 2
    for path, (_, body, _) in zip(paths, github.posted, strict=True):
        described = whole["paths"][f"/repos/{{owner}}/{{repo}}/{path}"]["post"]["requestBody"]
        schema = described["content"]["application/json"]["schema"]
        jsonschema.Draft7Validator(schema).validate(body)
        assert body.keys() <= schema["properties"].keys()
    assert len(github.posted[0][1]["description"]) == 140  # GitHub refuses more than that, as its documentation says


@pytest.mark.parametrize(
    ("repository", "token", "used"),
    [(REPOSITORY, "", TOKEN), (REPOSITORY, DISPATCH_TOKEN, DISPATCH_TOKEN), ("a/b", DISPATCH_TOKEN, DISPATCH_TOKEN)],
)
def test_a_repository_is_told_with_its_token(github, monkeypatch, repository, token, used):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", repository)
    monkeypatch.setenv("PROMOTION_DISPATCH_TOKEN", token)
    tell.dispatch(message())
    ((path, body, authorization),) = github.posted
    assert (path, authorization) == (f"/repos/{repository}/dispatches", f"Bearer {used}")
    assert (body["event_type"], body["client_payload"]) == ("model-promoted", message().as_json())


@pytest.mark.parametrize("repository", ["team/consumer", "", "team", "team/..", "team/models/../../user", "a/b?c"])
def test_the_workflows_own_token_is_sent_to_no_other_address(github, monkeypatch, repository):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", repository)
    with pytest.raises(Untold, match="PROMOTION_DISPATCH_"):
        tell.dispatch(message())
    assert github.posted == []


@pytest.mark.parametrize("repository", ["", "team", "team/..", "team/models/../../user", "a/b?c", "../user"])
def test_what_is_no_repository_is_sent_no_token_at_all(github, monkeypatch, repository):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", repository)
    monkeypatch.setenv("PROMOTION_DISPATCH_TOKEN", DISPATCH_TOKEN)
    with pytest.raises(Untold, match="must be owner/name"):
        tell.dispatch(message())
    assert github.posted == []


@pytest.mark.parametrize("token", [f"{DISPATCH_TOKEN}\n", "two words"])
def test_a_token_that_is_none_is_named_and_not_shown(github, monkeypatch, token):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", "team/consumer")
    monkeypatch.setenv("PROMOTION_DISPATCH_TOKEN", token)
    with pytest.raises(Untold, match=r"^PROMOTION_DISPATCH_TOKEN is not a token"):
        tell.dispatch(message())
    assert github.posted == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ([], "none of the last 10 deployments to production is of the workflow run that promoted"),
        (403, "answered 403 to GET /repos/team/models/deployments"),
        ([{}], "has no int 'id'"),
        ({}, "is not a list"),
    ],
)
def test_without_the_deployment_nothing_is_posted(github, answer, problem):
    github.answers[DEPLOYMENTS] = answer
    with pytest.raises((Untold, StepError), match=problem):
        tell.set_status(message())
    assert github.posted == []


@pytest.mark.parametrize("page", [None, "https://github.com/a/b/actions/runs/4711/attempts/2", f"{THIS_RUN}/../9"])
def test_a_promotion_of_another_place_has_no_deployment_here(github, page):
    with pytest.raises(Untold, match="only a workflow run"):
        tell.set_status(message(workflow_run=page))
    assert github.posted == []
