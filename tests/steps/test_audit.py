"""
audit, through the real SDK against the embedded server: what was in production, and what was done to the ledger.

    pytest tests/steps/test_audit.py

test_verify.py tests `verify` with random histories; here each tampering is real.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import wandb

from modelgate import config
from modelgate.errors import StepError
from modelgate.promotion import approval, audit_page, changes, ledger, verify
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Finding
from modelgate.tracking import fingerprint
from steps import audit, promote
from tests.steps.workspace import ROWS


def killed(*_):
    raise KeyboardInterrupt


# --- verify, on what was really done ---------------------------------------------------------------------------------


def test_a_ledger_that_nobody_touched_is_verified(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    assert workspace.findings() == set()
    seals = [alias for alias in workspace.version(1).aliases if alias.startswith("promotion-")]
    assert seals == [ledger.get_seal(workspace.entries[1])]


def test_versions_whose_number_in_the_registry_is_another_than_that_of_their_model_are_verified(workspace):
    with wandb.init(entity=workspace.entity, project=workspace.collection) as run:
        model = wandb.Artifact("glyphs_model", type="model")
        with model.new_file("model.keras", mode="wb") as file:
            file.write(b"never linked")
        run.log_artifact(model).wait()
    workspace.promoted(0)
    workspace.promoted(1, 0)
    assert workspace.version(1).source_version == "v2"
    assert workspace.findings() == set()


def test_an_empty_ledger_is_verified(workspace):
    assert workspace.findings() == set()


def test_a_registry_that_is_gone_is_named(workspace, monkeypatch):
    workspace.promoted(0)
    elsewhere = replace(config.load("glyphs"), registry="wandb-registry-gone")
    monkeypatch.setattr(config, "load", lambda _: elsewhere)
    assert ("other_registry", 0) in workspace.findings()


def test_metadata_that_was_changed(workspace):
    workspace.promoted(0)
    entry = workspace.entry(0)
    entry.metadata["entry"] = {**entry.metadata["entry"], "approver": "mallory"}
    entry.save()
    assert workspace.findings() == {("entry_changed", 0)}


def test_an_entry_that_was_deleted(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.entry(0).delete(delete_aliases=True)
    assert workspace.findings() == {("entry_missing", 0)}


def test_promotion_goes_on_after_a_loss_and_the_loss_stays_known(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.entry(0).delete(delete_aliases=True)
    workspace.promoted(2, 1)
    assert workspace.findings() == {("entry_missing", 0)}
    assert [entry["state"] for entry in workspace.step("audit", "--verify")["entries"]] == ["applied", "applied"]


def test_a_ledger_that_was_cut_off(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.entry(1).delete(delete_aliases=True)
    assert workspace.findings() == {("ledger_cut_off", 1)}


def test_an_entry_that_somebody_forged_who_cannot_write_to_the_registry(workspace):
    workspace.promoted(0)
    workspace.evidence(1, 0)
    before = workspace.entries[0]
    content = {**before.content, "previous": before.sha256, "from": before.content["to"]}
    content["to"] = {"name": f"{workspace.registry}:v1", "digest": workspace.version(1).digest}
    with wandb.init(project=workspace.collection, id=ledger.compute_run_id(content)) as run:
        ledger.append(run, "glyphs", content)
    assert workspace.findings() == {("promotion_unfinished", 1)}
    workspace.promoted(2, 0)
    assert workspace.findings() == set()
    assert [entry.applied for entry in workspace.entries] == [True, False, True]


def test_an_entry_that_was_logged_in_the_run_of_a_promotion(workspace):
    """Anyone who can write to the project may continue a run of someone else, whose account W&B then shows."""
    workspace.promoted(0)
    before = workspace.entries[0]
    content = {**before.content, "previous": before.sha256, "from": before.content["to"]}
    with wandb.init(project=workspace.collection, id=workspace.entry(0).logged_by().id, resume="must") as run:
        ledger.append(run, "glyphs", content)
    assert ("entry_of_other_account", 1) in workspace.findings()


def test_what_was_deleted_is_named_and_so_is_what_has_its_name_now(workspace, own_rows):
    """W&B uses the numbers of a deleted collection again: another evaluation becomes v0, and so do other rows."""
    workspace.promoted(0)
    for kind in ("evaluation", "dataset"):
        wandb.Api().artifact_collection(kind, f"{workspace.entity}/{workspace.collection}/glyphs_{kind}").delete()
    assert workspace.findings() == {("evidence_gone", 0), ("dataset_gone", 0)}
    workspace.dataset(labels=np.zeros(ROWS, int))
    workspace.evidence(1, 0)
    assert workspace.findings() == {("evidence_replaced", 0), ("dataset_replaced", 0)}
    assert changes.find_production(wandb.Api(), workspace.version(0), workspace.entries).judged_on is None


def test_evidence_that_was_replaced_under_its_digest_is_named(workspace, monkeypatch):
    workspace.promoted(0)
    content = dict(workspace.entries[0].content)
    content["evidence"] = {**content["evidence"], "sha256": "0" * 64}
    assert ledger.is_readable(content)
    entry = Entry(0, content, metadata={"entry": content}, version=workspace.entries[0].version)
    known = audit.read_stored(wandb.Api(), [entry], "keras")
    _, findings = verify.verify([entry], verify.Registered(production=content["to"]["name"], **known))
    assert "evidence_bytes_changed" in {finding.name for finding in findings}


def test_a_promoted_version_that_was_unlinked_is_named(workspace):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.version(0).unlink()
    assert workspace.findings() == {("version_gone", 0)}


def test_production_that_was_moved_by_hand(workspace):
    workspace.promoted(0)
    workspace.evidence(1, 0)
    workspace.move_by_hand(1)
    assert workspace.findings() == {("moved_outside", None)}


def test_a_move_by_hand_is_still_told_after_the_next_promotion(workspace):
    workspace.promoted(0)
    workspace.evidence(1, 0)
    workspace.move_by_hand(1)
    workspace.promoted(2, 1)
    assert workspace.findings() == {("moved_outside", 1)}


def test_production_that_was_taken_away(workspace):
    workspace.promoted(0)
    version = workspace.version(0)
    version.aliases.remove("production")
    version.save()
    assert workspace.findings() == {("production_gone", None)}


def test_a_promotion_that_was_cut_off_is_named_until_it_is_finished(workspace, monkeypatch):
    evidence = workspace.evidence(0)
    with monkeypatch.context() as patch:
        patch.setattr(promote, "move_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert workspace.findings() == {("promotion_unfinished", 0)}
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert workspace.findings() == set()


def test_a_version_that_is_no_entry_is_named_and_does_not_stop_promotions(workspace):
    workspace.promoted(0)
    with wandb.init(project=workspace.collection) as run:
        stray = wandb.Artifact("glyphs_promotions", type="promotion")
        with stray.new_file("entry.json", mode="w") as file:
            file.write('{"previous": null, "approver": {}}')
        run.log_artifact(stray).wait()
    assert workspace.findings() == {("entry_unreadable", 1)}
    workspace.promoted(1, 0)
    assert workspace.findings() == {("entry_unreadable", 1)}
    assert workspace.step("audit")["entries"][1]["state"] == "void"


def test_a_lost_race_is_listed_and_is_no_finding(workspace, capsys):
    workspace.promoted(0)
    first = workspace.entries[0]
    workspace.promoted(1, 0)
    with wandb.init(project=workspace.collection) as run:
        ledger.append(run, "glyphs", {**first.content, "previous": first.sha256, "reason": "too late"})
    assert workspace.findings() == set()
    assert [entry["state"] for entry in workspace.step("audit", "--verify")["entries"]] == [
        "applied",
        "applied",
        "void",
    ]


# --- what was in production then -------------------------------------------------------------------------------------


def at(number, time, applied=True):
    return Entry(number, {"time": time, "to": {"name": f"o/r/c:v{number}"}}, applied)


HISTORY = [
    at(0, "2026-11-20T10:00:01Z"),
    at(1, "2026-11-23T09:00:00Z"),
    at(2, "2026-11-23T10:00:00Z", applied=False),
    at(3, "2026-11-23T11:00:00Z", applied=False),
]


@pytest.mark.parametrize(
    ("on", "number"),
    [
        ("2026-11-19", None),
        ("2026-11-20", 0),
        ("2026-11-20T10:00:00Z", None),
        ("2026-11-22", 0),
        ("2026-11-23T09:59:59+01:00", 0),
        ("2026-11-23T09:00:00", 1),
        ("2026-11-23", 1),
        ("2099-01-01", 1),
    ],
)
def test_what_was_in_production_then(on, number):
    now = datetime(2026, 11, 24, tzinfo=UTC)
    then = audit.parse_time(on, now)
    assert then <= now
    entry = audit.find_in_production(HISTORY, then)
    assert (entry and entry.number) == number


@pytest.mark.parametrize("on", ["yesterday", "2026-13-01", "", "9999-99-99", "9999-12-31T23:59:59-23:59x"])
def test_a_date_that_is_none(step, on):
    with pytest.raises(StepError) as stopped:
        audit.parse_time(on, datetime.now(UTC))
    assert (stopped.value.name, stopped.value.exit_code) == ("date_unreadable", 2)


def test_audit_on_a_date_names_version_evidence_and_approver(workspace, capsys):
    evidence = workspace.evidence(0)
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    answer = workspace.step("audit", "--on", "2999-01-01")["production"]
    assert (answer["to"]["name"], answer["evidence"]["name"], answer["approver"]) == (
        f"{workspace.registry}:v0",
        evidence,
        "ada",
    )
    assert workspace.step("audit", "--on", "2001-01-01")["production"] is None
    assert "according to the ledger: nothing" in capsys.readouterr().err


# --- the page --------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tags of a page, and all its URLs."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("href", "src", "action", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_the_page_shows_the_promotions_and_loads_nothing(workspace, tmp_path):
    workspace.promoted(0, None, "--reason", "the <first> one")
    workspace.promoted(1, 0)
    path = tmp_path / "promotions.html"
    assert workspace.step("audit", "--html", path).exit == 0
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form"}
    assert "url(" not in text and "@import" not in text
    assert "the &lt;first&gt; one" in text
    assert "Verified: 2 entries" in text and "1.0000" in text and "Approved by <b>ada</b>" in text
    assert len(page.addresses) == len([url for url in page.addresses if url.startswith("http://127.0.0.1")]) > 10


def test_words_from_outside_are_text_on_the_page():
    """This includes a page that shows the metric of a regression, and what evidence says about it."""
    evil = '"><script>alert(1)</script>\x1b[2J\u202e'
    content = {
        **{key: {"name": f"a/b/c{number}:v0", "digest": "d"} for number, key in enumerate(("to", "model", "dataset"))},
        "evidence": {"name": "a/b/e:v0", "digest": "d"},
        "from": None,
        "previous": evil,
        **dict.fromkeys(("approver", "time", "reason", "comment", "commit", "run_url", "approval"), evil),
        "approval_url": "javascript:alert(1)",
        "policy": {"name": evil},
        "metric": evil,
    }
    links = {
        "a/b/c0:v0": audit_page.Linked("javascript:alert(1)", "d", {}),
        "a/b/e:v0": audit_page.Linked(evil, "d", {"metrics": {"candidate": {evil: 0.5, "other": 5}, "production": 5}}),
    }
    entries = [Entry(0, content, True), Entry(1, {"previous": evil}, False, True)]
    text = audit_page.write_page("glyphs", datetime.now(UTC), entries, [Finding(evil, evil)], links)
    page = Page(text)
    assert "script" not in page.tags
    assert page.addresses == []
    assert not re.search("[\x1b\u202e]", text)


@pytest.mark.parametrize(
    ("metric", "metrics", "figures"),
    [
        ("accuracy", {"accuracy": 0.75}, ("0.7500", "accuracy")),
        ("log_loss", {"accuracy": 0.75, "loss": 0.5}, ("0.5000", "log loss")),
        (
            "mean_squared_error",
            {"accuracy": None, "other": {"mean_squared_error": 3.0}},
            ("3.0000", "mean squared error"),
        ),
        ("cost", {"accuracy": 0.75, "other": {"cost": 2.0}}, ("2.0000", "cost")),
    ],
)
def test_the_page_shows_the_metric_that_the_use_case_is_judged_by(metric, metrics, figures):
    named = {key: {"name": f"a/b/{key}:v0", "digest": "d"} for key in ("to", "model", "dataset", "evidence")}
    content = {**named, "from": None, "previous": None, "time": "2026-11-23T10:00:00Z", "approver": "ada", "reason": ""}
    entry = Entry(0, {**content, "metric": metric}, applied=True)
    value, label = figures
    for digest, is_there in (("d", True), ("of another that has its name now", False)):
        links = {"a/b/evidence:v0": audit_page.Linked("https://w", digest, {"metrics": {"candidate": metrics}})}
        page = audit_page.write_page("glyphs", datetime.now(UTC), [entry], [], links)
        assert (f"<b>{value}</b><span>{label}</span>" in page) is is_there


def test_the_page_says_what_was_found(workspace, tmp_path):
    workspace.promoted(0)
    workspace.evidence(1, 0)
    workspace.move_by_hand(1)
    path = tmp_path / "promotions.html"
    workspace.step("audit", "--html", path)
    assert '<b class="bad">moved_outside</b>' in path.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written(workspace, tmp_path):
    with pytest.raises(StepError) as stopped:
        workspace.step("audit", "--html", tmp_path / "nowhere" / "page.html")
    assert (stopped.value.name, stopped.value.exit_code) == ("html_not_writable", 2)


# --- what the document says ------------------------------------------------------------------------------------------


def test_the_document_names_every_refusal_and_every_finding():
    page = (fingerprint.ROOT / "docs" / "reference" / "refusals.md").read_text(encoding="utf-8")
    of_approval = sorted(Path(approval.__file__).parent.glob("*.py"))
    for files, pattern in (
        ([Path(verify.__file__)], r'Finding\(\s*"(\w+)"'),
        (of_approval, r'StepError\(\s*"(\w+)"'),
        ([Path(promote.__file__)], r'StepError\(\s*"(\w+)"'),
    ):
        names = {name for path in files for name in re.findall(pattern, path.read_text(encoding="utf-8"))}
        assert len(names) > 5
        assert {name for name in names if f"`{name}`" not in page} == set()
    of_parts = [f"{what}_{how}" for what in ("version", "dataset", "evidence") for how in ("gone", "replaced")]
    assert [name for name in of_parts if f"`{name}`" not in page] == []
