"""
promote with an approval from GitHub: what is recorded, and what moves.

    pytest tests/steps/test_promote_approval.py

GitHub is the fake in github.py.
"""

from __future__ import annotations

import json

import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from tests.steps.github import REPOSITORY, REVIEWS, RUN, TOKEN, approved, evidence, review


def test_promote_on_github_records_who_approved_and_how(github, workspace, capfd, tmp_path):
    github.answers[RUN] = [approved("bob", "Good on the sevens.")]
    answer = workspace.step(
        "promote", "--evidence", workspace.evidence(0, github=evidence()["github"]), "--approval", "github"
    )
    assert answer["approver"] == "bob"
    (entry,) = workspace.entries
    assert {key: entry.content[key] for key in ("approver", "approval", "comment", "approval_url")} == {
        "approver": "bob",
        "approval": "github",
        "comment": "Good on the sevens.",
        "approval_url": f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2",
    }
    captured = capfd.readouterr()
    assert TOKEN not in captured.out + captured.err + json.dumps([answer.result, entry.content])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]


def test_promote_by_merge_records_the_review(github, workspace):
    github.answers[REVIEWS] = [review("bob")]
    workspace.step("promote", "--evidence", workspace.evidence(0, github=evidence()["github"]), "--approval", "merge")
    (entry,) = workspace.entries
    assert (entry.content["approver"], entry.content["approval"]) == ("bob", "merge")


def test_promote_without_a_reviewer_moves_nothing(github, workspace):
    with pytest.raises(StepError) as stopped:
        workspace.step(
            "promote", "--evidence", workspace.evidence(0, github=evidence()["github"]), "--approval", "github"
        )
    assert (stopped.value.name, stopped.value.exit_code) == ("no_approval", 1)
    assert workspace.entries == []
    assert "production" not in workspace.version(0).aliases


def test_what_evaluate_notes_is_what_promote_asks_about(github, evaluated, step, monkeypatch):
    """The real evaluate runs in attempt 2, after bob approved attempt 1; bob approves again. Attempt 3 is refused."""
    github.answers[RUN] = [approved("bob")]
    evidence_name = evaluated(0)["evidence"]
    judged, _, _ = evaluation.read(wandb.Api().artifact(evidence_name))
    assert form.as_json(judged)["github"] == evidence(approvals=1, approvers=["bob"])["github"]
    flags = ("promote", "--evidence", evidence_name, "--approval", "github", "--dry-run")
    with pytest.raises(StepError, match="no one approved"):
        step(*flags)
    github.answers[RUN] += [approved("bob", "Again.")]
    assert step(*flags)["approver"] == "bob"
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "3")
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert stopped.value.name == "approval_other_attempt"
    assert "re-run all jobs" in stopped.value.hint
    again = evaluated(0)
    assert not again["reused"] and again["evidence"] != evidence_name
