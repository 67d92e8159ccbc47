"""
A rollback goes back only to a version that was in production according to the ledger.

    pytest tests/steps/test_rollback.py
"""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.tracking import lineage
from tests.steps.policies import ROLLBACK


def test_what_never_was_in_production_is_not_promoted_as_a_rollback(workspace):
    """Evidence under the policy that passes every comparison, for a version that the ledger does not know."""
    workspace.promoted(0)
    evidence = workspace.evidence(1, 0, policy=ROLLBACK)
    with pytest.raises(StepError, match="refuse its predictions: was_in_production") as stopped:
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("verdict_not_reproduced", 1)
    assert "production" in workspace.version(0).aliases


def test_evidence_that_says_it_was_in_production_is_not_believed(workspace):
    workspace.promoted(0)
    claim = {"entry": 0, "version": f"{workspace.registry}:v0", "since": "2026-11-20T10:00:00Z", "until": None}
    evidence = workspace.evidence(1, 0, policy=ROLLBACK, **{"return": claim})
    with pytest.raises(StepError, match="was_in_production"):
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")


def test_what_was_in_production_is_gone_back_to(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.step("promote", "--evidence", workspace.evidence(0, 1, policy=ROLLBACK), "--approver", "ada")
    assert "production" in workspace.version(0).aliases
    assert workspace.findings() == set()


def test_evaluate_refuses_a_rollback_to_a_candidate(evaluated, step, monkeypatch):
    step("promote", "--evidence", evaluated(0)["evidence"], "--approver", "ada")
    answer = evaluated(1, "--policy", "rollback")
    assert (answer.exit, answer["verdict"]) == (1, "fail")
    assert [reason.partition(":")[0] for reason in answer["reasons"]] == ["was_in_production"]
    answer = evaluated(1)
    assert answer["verdict"] == "pass"

    # It also goes back to one whose training rows are gone, and says so.
    step("promote", "--evidence", answer["evidence"], "--approver", "ada")
    monkeypatch.setattr(lineage, "_list_datasets", lambda *_: ())
    with pytest.raises(StepError, match=r"dataset that .* was trained on is gone"):
        step("evaluate", "--version", "previous")
    answer = step("evaluate", "--version", "previous", "--policy", "rollback")
    assert answer["verdict"] == "pass"
    assert "the rows that the candidate was trained on are gone" in answer.report
