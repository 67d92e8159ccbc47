"""
Which flags approve on GitHub and which elsewhere, and which names a person may have.

    pytest tests/steps/approval/test_flags.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.promotion.approval import ways
from modelgate.promotion.approval.approver import Approval
from tests.approvers import NAMES, NO_NAMES
from tests.steps.approval.asking import model


@pytest.mark.parametrize(
    ("on_github", "approver", "method", "name", "code"),
    [
        (False, None, None, "no_approval", 1),
        (False, " \n", None, "no_approval", 1),
        (False, "clear; time make run", None, "approver_not_a_name", 2),
        (False, "ada", "github", "two_approvals", 2),
        (False, None, "github", "not_on_github", 1),
        (False, None, "merge", "not_on_github", 1),
        (True, "ada", None, "name_is_no_approval", 1),
        (True, None, None, "name_is_no_approval", 1),
        (True, "ada", "github", "two_approvals", 2),
    ],
)
def test_flags_that_approve_nothing_here(monkeypatch, on_github, approver, method, name, code):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if on_github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(StepError) as stopped:
        ways.check_flags(approver, method)
    assert (stopped.value.name, stopped.value.exit_code) == (name, code)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_approves_on_a_machine_of_ones_own(monkeypatch, name):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    ways.check_flags(name, None)
    assert ways.check(f"{name} ", None, {}, model()) == Approval(name.replace("\u200c", " "), "name")


@pytest.mark.parametrize("text", NO_NAMES)
def test_a_line_for_a_shell_is_not_a_name(monkeypatch, text):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with pytest.raises(StepError) as stopped:
        ways.check_flags(text, None)
    assert (stopped.value.name, stopped.value.exit_code) == ("approver_not_a_name", 2)
    assert str(stopped.value).isprintable()


def test_a_name_without_end_is_not_repeated_in_full(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with pytest.raises(StepError) as stopped:
        ways.check_flags("a" * 10_000, None)
    assert len(str(stopped.value)) < 300
