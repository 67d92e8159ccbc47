"""
POST requests to GitHub: with which token, and what an empty answer means.

    pytest tests/steps/approval/test_posts.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import UNREACHABLE, StepError
from modelgate.promotion.approval import api
from tests.steps.github import DEPLOYMENTS, REPOSITORY, TOKEN

DISPATCHES = f"/repos/{REPOSITORY}/dispatches"


@pytest.mark.parametrize(("tokens", "used"), [((), TOKEN), (("",), TOKEN), (("another",), "another")])
def test_the_jobs_token_is_used_unless_another_is_given(github, tokens, used):
    api.post(f"{DEPLOYMENTS[1:]}/8/statuses", {"state": "success"}, *tokens)
    assert github.posted == [(f"{DEPLOYMENTS}/8/statuses", {"state": "success"}, f"Bearer {used}")]


def test_an_empty_answer_is_an_answer(github):
    api.post(DISPATCHES[1:], {"event_type": "model-promoted"})
    assert [path for path, _, _ in github.posted] == [DISPATCHES]


@pytest.mark.parametrize(("status", "exit_code"), [(403, 2), (502, UNREACHABLE)])
def test_what_github_refuses_is_named_with_its_method(github, status, exit_code):
    github.refuses_posts = status
    with pytest.raises(StepError, match=f"answered {status} to POST {DISPATCHES}") as refused:
        api.post(DISPATCHES[1:], {})
    assert refused.value.exit_code == exit_code
