"""
What an interrupted promotion leaves behind, and what others plant next to it: the next one seals its own entry.

    pytest tests/steps/test_cut_off.py
"""

from __future__ import annotations

import itertools

import pytest
import wandb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelgate.promotion import evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.text import to_line
from steps import promote
from tests.steps.promoting import refused, registry
from tests.steps.workspace import Workspace

__all__ = ["registry"]  # a fixture

NUMBERS = itertools.count()


def interrupt(*_):
    raise KeyboardInterrupt


def cut_off_before_alias(step, evidence, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(promote, "move_alias", interrupt)
        with pytest.raises(KeyboardInterrupt):
            step("promote", "--evidence", evidence, "--approver", "ada")


def test_an_entry_without_its_alias_is_finished_by_the_next_run(workspace, step, registry, monkeypatch):
    evidence = workspace.evidence(0)
    cut_off_before_alias(step, evidence, monkeypatch)
    assert (registry.production, len(registry.entries)) == (None, 1)
    assert step("promote", "--evidence", evidence, "--approver", "ada")["approver"] == "ada"
    assert (registry.production, len(registry.entries)) == ("v0", 1)
    assert registry.entries[0].applied


def test_an_entry_that_somebody_deletes_at_once_is_a_refusal_and_written_again(workspace, step, registry, monkeypatch):
    evidence = workspace.evidence(0)
    append = ledger.append

    def deleted(*arguments):
        written = append(*arguments)
        wandb.Api().artifact(written).delete(delete_aliases=True)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "append", deleted)
        assert refused(step, evidence) == "entry_not_written"
    assert (registry.production, registry.entries) == (None, [])
    step("promote", "--evidence", evidence, "--approver", "ada")
    assert (registry.production, len(registry.entries)) == ("v0", 1)


def test_an_alias_that_moved_before_the_kill_is_not_moved_again(workspace, monkeypatch):
    evidence = workspace.evidence(0)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(promote, "find_holder", killed)  # the query whether it moved
        with pytest.raises(KeyboardInterrupt):
            workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert [entry.applied for entry in workspace.entries] == [True]
    assert workspace.findings() == set()


@pytest.mark.parametrize(
    "flags", [("--approver", "bob"), ("--approver", "ada", "--reason", "another")], ids=["approver", "reason"]
)
def test_a_call_that_says_something_else_passes_over_what_was_cut_off(workspace, monkeypatch, flags):
    """The sealed entry has the arguments of this call, and none of the call before it."""
    evidence = workspace.evidence(0)
    cut_off_before_alias(workspace.step, evidence, monkeypatch)
    answer = workspace.step("promote", "--evidence", evidence, *flags)
    assert answer["approver"] == flags[1]
    cut_off, sealed = workspace.entries
    assert (cut_off.applied, sealed.applied) == (False, True)
    assert (sealed.content["voids"], sealed.content["approver"]) == (0, flags[1])
    assert workspace.findings() == set()


def test_another_promotion_does_not_wait_for_one_that_was_cut_off(workspace, monkeypatch):
    cut_off_before_alias(workspace.step, workspace.evidence(0), monkeypatch)
    workspace.promoted(1)
    assert "production" in workspace.version(1).aliases
    assert [(entry.applied, entry.content["voids"]) for entry in workspace.entries] == [(False, None), (True, 0)]
    assert workspace.findings() == set()


def test_what_was_cut_off_is_too_old_as_anything_else(workspace, monkeypatch):
    evidence = workspace.evidence(0)
    cut_off_before_alias(workspace.step, evidence, monkeypatch)
    monkeypatch.setattr(ledger, "format_now", lambda: "2998-01-01T00:00:00Z")
    assert refused(workspace.step, evidence) == "evidence_too_old"


# --- what was planted ------------------------------------------------------------------------------------------------
def planted(workspace, account, **changes):
    """Log an entry as anyone with the training key could, with the content of a promotion of this evidence."""
    evidence = evaluation.read(wandb.Api().artifact(changes.pop("evidence")))[0]
    content = form.as_json(evidence)
    last = ledger.find_head(workspace.entries)
    entry = {
        "schema": 3,
        "previous": last and last.sha256,
        "voids": None,
        "from": content["production"],
        "to": content["version"],
        "model": content["model"],
        "dataset": {key: content["dataset"][key] for key in ("name", "digest")},
        "evidence": {"name": f"{workspace.entity}/{workspace.collection}/glyphs_evaluation:v0", "digest": "0" * 32},
        "approver": "mallory",
        "account": account,
        "time": ledger.format_now(),
        "reason": "",
    } | changes
    with wandb.init(project=workspace.collection, job_type="promote_model") as run:
        return ledger.append(run, "glyphs", entry)


def test_a_planted_entry_does_not_become_the_record_of_a_promotion(workspace):
    evidence = workspace.evidence(0)
    planted(workspace, "local", evidence=evidence)
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    _, sealed = workspace.entries
    assert (sealed.content["approver"], sealed.content["voids"], sealed.applied) == ("ada", 0, True)


FIELDS = st.fixed_dictionaries(
    {"reason": st.text(max_size=30), "approver": st.sampled_from(["ada", "Ada Lovelace", "bob@example.org"])}
)


@pytest.mark.timeout(300)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=FIELDS, cut_off=FIELDS, killed=st.booleans())
def test_every_field_of_a_sealed_entry_is_what_its_call_was_given(step, collection, fields, cut_off, killed):
    workspace = Workspace(step, f"{collection}-{next(NUMBERS)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_PROJECT", workspace.collection)
        evidence = workspace.evidence(0)
        own_collection = ("--collection", workspace.collection)

        def flags(arguments):
            return (
                "--evidence",
                evidence,
                "--approver",
                arguments["approver"],
                "--reason",
                arguments["reason"],
                *own_collection,
            )

        if killed:
            with pytest.MonkeyPatch.context() as inner:
                inner.setattr(promote, "move_alias", interrupt)
                with pytest.raises(KeyboardInterrupt):
                    step("promote", *flags(cut_off))
        step("promote", *flags(fields))
        judged = form.as_json(evaluation.read(wandb.Api().artifact(evidence))[0])
        sealed = next(entry for entry in workspace.entries if entry.applied).content
    for field in ("version", "model", "production", "policy", "commit", "sha256"):
        assert sealed[{"version": "to", "production": "from"}.get(field, field)] == judged[field]
    assert sealed["dataset"] == {key: judged["dataset"][key] for key in ("name", "digest")}
    assert (sealed["evidence"]["name"], sealed["account"]) == (evidence, "local")
    assert (sealed["approver"], sealed["reason"]) == (fields["approver"], to_line(fields["reason"]))
