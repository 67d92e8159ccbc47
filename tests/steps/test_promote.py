"""
promote and audit, through the real SDK against the embedded server: what moves the alias, and what does not.

    pytest tests/steps/test_promote.py
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.tracking import client, fingerprint
from tests.steps.people import PROMOTE
from tests.steps.promoting import refused, registry
from tests.steps.seeding import HISTORY

__all__ = ["registry"]  # a fixture
OWN_SERVER = True  # a rollback in `history`


@pytest.fixture
def copy_of_model(model, collection, tmp_path):
    """A model of the test's own, which it may delete: `copy_of_model(seed)`."""

    def logged(seed):
        source = wandb.Api().artifact(model(seed)["model"])
        with wandb.init(project=collection, job_type="train_model") as run:
            run.use_artifact(source.logged_by().used_artifacts()[0])
            artifact = wandb.Artifact("glyphs_model", type="model")
            artifact.add_file(source.get_entry("model.keras").download(root=tmp_path), name="model.keras")
            return f"local/{collection}/{run.log_artifact(artifact).wait().name}"

    return logged


def forged(reference, collection, change=lambda evidence: None, change_scores=lambda scores: scores):
    """A changed copy of the evidence, as anyone with the training key could log it."""
    evidence, report, scores = evaluation.read(wandb.Api().artifact(reference))
    content = form.as_json(evidence)
    change(content)
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("glyphs_evaluation", type="evaluation")
        evaluation.add_to(artifact, json.dumps(content), report, change_scores(scores), form.restore_policy(evidence))
        logged = run.log_artifact(artifact).wait()
        return f"local/{collection}/{logged.name}"


# --- what a promotion does -------------------------------------------------------------------------------------------
def test_an_approved_version_becomes_production(evaluated, step, registry):
    evidence = evaluated(0)
    answer = step("promote", "--evidence", evidence["evidence"], "--approver", "ada", "--reason", "first")
    assert (answer["version"], answer["previous"], answer["approver"]) == (evidence["version"], None, "ada")
    assert registry.production == "v0"
    (entry,) = registry.entries
    assert entry.applied
    assert entry.content["to"]["name"] == evidence["version"]
    assert entry.content["evidence"]["name"] == evidence["evidence"]
    assert (entry.content["approver"], entry.content["reason"], entry.content["previous"]) == ("ada", "first", None)


def test_promoting_twice_changes_nothing(workspace, step, registry, collection):
    flags = ("--evidence", workspace.evidence(0), "--approver", "ada")
    first = step("promote", *flags)
    runs = len(wandb.Api().runs(f"local/{collection}"))
    assert step("promote", *flags).result == first.result
    assert len(registry.entries) == 1
    assert len(wandb.Api().runs(f"local/{collection}")) == runs


def test_the_next_promotion_follows_the_first_in_the_ledger(workspace, step, registry):
    for seed in (0, 1):
        evidence = workspace.evidence(seed, seed - 1 if seed else None)
        answer = step("promote", "--evidence", evidence, "--approver", "ada")
    assert answer["previous"].endswith(":v0")
    first, second = registry.entries
    assert second.content["previous"] == first.sha256
    assert not second.void
    assert registry.production == "v1"


def test_dry_run_checks_everything_and_moves_nothing(workspace, step, registry):
    step("promote", "--evidence", workspace.evidence(0), "--approver", "ada", "--dry-run")
    assert (registry.production, registry.entries) == (None, [])


def test_lineage_leads_from_the_ledger_to_the_version(first, model):
    run = wandb.Api().artifact(f"local/{HISTORY}/glyphs_promotions:v0").logged_by()
    assert run.job_type == "promote_model"
    assert model(0)["digest"] in {artifact.digest for artifact in run.used_artifacts()}


# --- evidence of schema 1 --------------------------------------------------------------------------------------------
def evidence_of_schema_1(workspace, change=lambda content: None):
    """Real evidence of schema 1 for version 1 of this workspace, with the same eval labels. Returns its name."""
    stored = fingerprint.ROOT / "tests/modelgate/evidence_schema_1"
    with np.load(stored / "predictions.npz") as arrays:
        labels = arrays["labels"]
    workspace.rows = workspace.collection
    dataset = workspace.dataset(labels)
    with wandb.init(project=workspace.collection, job_type="train_model") as run:
        run.use_artifact(f"local/{workspace.collection}/{dataset.name}")
        model = wandb.Artifact("glyphs_model", type="model")
        with model.new_file("model.keras", mode="w") as file:
            file.write("an old model")
        model = run.log_artifact(model).wait()
        linked = run.link_artifact(model, f"wandb-registry-model/{workspace.collection}")
        content = json.loads((stored / "evidence.json").read_text())
        assert content["schema"] == 1
        content["use_case"] = "glyphs"  # the present name of the use case that it was made with
        content["version"] = {"name": f"{workspace.registry}:{linked.version}", "digest": linked.digest}
        content["model"] = {"name": f"local/{workspace.collection}/{model.name}", "digest": model.digest}
        content["dataset"] |= {"name": f"local/{workspace.collection}/{dataset.name}", "digest": dataset.digest}
        content["production"] = {"name": f"{workspace.registry}:v0", "digest": workspace.version(0).digest}
        content["evaluated_at"] = ledger.format_now()
        change(content)
        artifact = wandb.Artifact("glyphs_evaluation", type="evaluation")
        with artifact.new_file("evidence.json", mode="w") as file:
            json.dump(content, file)
        for name in ("report.md", "predictions.npz"):
            artifact.add_file(str(stored / name), name=name)
        return f"local/{workspace.collection}/{run.log_artifact(artifact).wait().name}"


def test_evidence_of_schema_1_is_promoted(workspace):
    workspace.promoted(0)
    workspace.step("promote", "--evidence", evidence_of_schema_1(workspace), "--approver", "ada")
    assert "production" in workspace.version(1).aliases
    entry = workspace.entries[1].content
    assert (entry["commit"], entry["drop"]) == ("c0ffee" * 6 + "beef", pytest.approx(5 / 497))
    assert workspace.findings() == set()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda content: content.update(verdict="fail"), "verdict_not_pass"),
        (lambda content: content["policy"].update(floor_accuracy=0.5), "policy_changed"),
        (lambda content: content["dataset"].update(eval_rows=496), "verdict_not_reproduced"),
        (lambda content: content.pop("production"), "evidence_unreadable"),
    ],
)
def test_evidence_of_schema_1_is_refused_as_before(workspace, change, name):
    workspace.promoted(0)
    assert refused(workspace.step, evidence_of_schema_1(workspace, change)) == name
    assert len(workspace.entries) == 1


# --- going back ------------------------------------------------------------------------------------------------------
def back(step):
    return step("evaluate", "--version", "previous", "--policy", "rollback")


def test_a_rollback_is_a_return_and_so_is_the_bad_version_that_comes_again(first, second, history, dataset):
    """The same code trains the same model again: it passes the gate as before, and a person should know."""
    assert (first["return"], second["return"]) == (None, None)
    assert "- `Differs from production in config. Trained by local` ([run](http://" in second.report
    assert "- `Config, 1 changed: seed 0 to 1.`" in second.report

    answer = back(history)
    older, newer = ledger.read(wandb.Api(), f"local/{HISTORY}/glyphs_promotions")
    was = {"entry": 0, "version": first["version"], "since": older.content["time"], "until": newer.content["time"]}
    assert answer["return"] == was
    assert vars(evaluation.read(wandb.Api().artifact(answer["evidence"]))[0].return_) == was
    assert f"Rollback: this model was in production before, as `{first['version']}`, by entry v0" in answer.report
    history("promote", "--evidence", answer["evidence"], "--approver", "ada", "--reason", "v1 is slow")
    assert wandb.Api().artifact(f"local-org/wandb-registry-model/{HISTORY}:production").version == "v0"
    entries = ledger.read(wandb.Api(), f"local/{HISTORY}/glyphs_promotions")
    assert [entry.content["to"]["name"][-2:] for entry in entries] == ["v0", "v1", "v0"]

    again = history("evaluate", "--version", second["version"], "--dataset", dataset["dataset"])
    assert again["evidence"] != second["evidence"]
    assert again["return"]["entry"] == 1


def test_a_rollback_works_when_the_bad_version_was_deleted(evaluated, step, registry, copy_of_model):
    step("promote", "--evidence", evaluated(0)["evidence"], "--approver", "ada")
    bad = step("link", "--model", copy_of_model(1))["version"]
    evidence = step("evaluate", "--version", bad)["evidence"]
    step("promote", "--evidence", evidence, "--approver", "ada")
    wandb.Api().artifact(bad).source_artifact.delete(delete_aliases=True)
    assert registry.production is None
    answer = back(step)
    assert (answer["verdict"], answer["production"], answer["return"]["entry"]) == ("pass", None, 0)
    step("promote", "--evidence", answer["evidence"], "--approver", "ada", "--reason", "v1 was deleted")
    assert registry.production == "v0"
    moved, gone = step("audit", "--verify")["findings"]
    assert (moved["name"], moved["entry"], gone["name"], gone["entry"]) == ("moved_outside", 2, "version_gone", 1)
    assert "or it was deleted" in moved["message"]


# --- what is refused, by name ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("approver", [None, "", " "])
def test_nobody_approved(workspace, step, registry, approver):
    evidence = workspace.evidence(0)
    with pytest.raises(StepError) as stopped:
        step("promote", "--evidence", evidence, *(() if approver is None else ("--approver", approver)))
    assert (stopped.value.name, stopped.value.exit_code) == ("no_approval", 1)
    assert (registry.production, registry.entries) == (None, [])


def test_a_name_is_no_approval_on_github(workspace, step, registry, monkeypatch):
    evidence = workspace.evidence(0)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert refused(step, evidence) == "name_is_no_approval"
    assert registry.production is None


def test_a_verdict_of_fail(workspace, step, registry, collection):
    evidence = forged(workspace.evidence(0), collection, lambda evidence: evidence.update(verdict="fail"))
    assert refused(step, evidence) == "verdict_not_pass"
    assert registry.production is None


def test_a_verdict_that_the_predictions_do_not_bear_out(workspace, step, registry, collection):
    def shifted(scores):
        return replace(scores, candidate=np.roll(scores.candidate, 1, axis=1))

    evidence = forged(workspace.evidence(0), collection, change_scores=shifted)
    with pytest.raises(StepError, match=r"refuse its predictions: labels_plausible, floor$") as stopped:
        step("promote", "--evidence", evidence, "--approver", "ada")
    assert stopped.value.name == "verdict_not_reproduced"
    assert registry.production is None


@pytest.mark.parametrize("kind", ["version", "model", "dataset"])
def test_a_digest_that_is_not_what_was_evaluated(workspace, step, registry, collection, kind):
    evidence = forged(workspace.evidence(0), collection, lambda evidence: evidence[kind].update(digest="0" * 32))
    assert refused(step, evidence) == f"{kind}_changed"
    assert (registry.production, registry.entries) == (None, [])


@pytest.mark.parametrize(("key", "value"), [("at_least", 0.5), ("at_least", None), ("margin", 0.5)])
def test_a_policy_that_is_not_the_use_cases(workspace, step, registry, collection, key, value):
    evidence = forged(workspace.evidence(0), collection, lambda evidence: evidence["policy"].update({key: value}))
    assert refused(step, evidence) == "policy_changed"
    assert registry.production is None


def test_answers_to_an_eval_set_that_was_swapped(workspace, step, registry, collection):
    """The same answers and labels in another order: the accuracy is still good, but the rows are not the dataset's."""

    def reordered(scores):
        turn = np.roll(np.arange(scores.rows), 1)
        varied = {name: replace(both, candidate=both.candidate[turn]) for name, both in scores.varied.items()}
        return replace(scores, targets=scores.targets[turn], candidate=scores.candidate[turn], varied=varied)

    evidence = forged(workspace.evidence(0), collection, change_scores=reordered)
    assert refused(step, evidence) == "other_eval_rows"
    assert registry.production is None


def test_answers_to_fewer_rows_than_the_dataset_has(evaluated, step, registry, collection):
    """The wrongly answered rows are left out, and the evidence claims that there are no others."""

    def fewer(scores):
        correct = scores.candidate.argmax(axis=1) == scores.targets
        varied = {name: replace(both, candidate=both.candidate[correct]) for name, both in scores.varied.items()}
        slices = {name: groups[correct] for name, groups in scores.slices.items()}
        return replace(
            scores, targets=scores.targets[correct], candidate=scores.candidate[correct], varied=varied, slices=slices
        )

    reference = evaluated(0)["evidence"]
    _, _, scores = evaluation.read(wandb.Api().artifact(reference))
    rows = len(fewer(scores).targets)
    evidence = forged(reference, collection, lambda evidence: evidence["dataset"].update(eval_rows=rows), fewer)
    assert refused(step, evidence) == "other_eval_rows"


@pytest.mark.parametrize("missing", ["accuracy", "loss"])
def test_evidence_without_a_metric(workspace, step, registry, collection, missing):
    reference = workspace.evidence(0)
    evidence = forged(reference, collection, lambda evidence: evidence["metrics"]["candidate"].pop(missing))
    assert refused(step, evidence) == "evidence_unreadable"
    assert registry.production is None


def test_a_version_that_is_gone(workspace, step, registry, collection):
    evidence = workspace.evidence(0)
    workspace.version(0).unlink()
    assert refused(step, evidence) == "version_changed"
    assert registry.entries == []


def test_production_that_moved_since_the_evaluation(workspace, step, registry):
    first, second = workspace.evidence(0), workspace.evidence(1)
    step("promote", "--evidence", first, "--approver", "ada")
    assert refused(step, second) == "production_moved"
    assert registry.production == "v0"
    assert len(registry.entries) == 1


def test_a_promotion_that_lost_the_race(workspace, step, registry, monkeypatch, wandb_env, collection, people):
    """Another process writes its entry after we read the ledger and before we write our own."""
    first, second = workspace.evidence(0), workspace.evidence(1)
    append = ledger.append
    flags = ("--evidence", second, "--collection", collection)

    def raced(*arguments):
        other = {**wandb_env, "WANDB_PROJECT": collection}
        people.run(PROMOTE, "--use-case", "glyphs", *flags, "--approver", "bob", env=other).check_returncode()
        return append(*arguments)

    monkeypatch.setattr(ledger, "append", raced)
    assert refused(step, first) == "promotion_lost"
    assert registry.production == "v1"
    assert [entry.void for entry in registry.entries] == [False, True]


def test_an_alias_that_somebody_takes_back_at_once(workspace, monkeypatch):
    """The seal shows that the alias was moved; the command reports that it is gone, and sets it when it runs again."""
    workspace.promoted(0)
    evidence = workspace.evidence(1, 0)
    add_aliases = client.add_aliases

    def taken_back(*arguments):
        add_aliases(*arguments)
        workspace.move_by_hand(0)

    with monkeypatch.context() as patch:
        patch.setattr(client, "add_aliases", taken_back)
        assert refused(workspace.step, evidence) == "alias_not_moved"
    assert [entry.applied for entry in workspace.entries] == [True, True]
    assert "production" not in workspace.version(1).aliases
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert "production" in workspace.version(1).aliases
    assert [entry.applied for entry in workspace.entries] == [True, True]


def test_evidence_that_is_none(step, model, registry):
    with pytest.raises(StepError) as stopped:
        step("promote", "--evidence", model(0)["model"], "--approver", "ada")
    assert stopped.value.name == "evidence_unreadable"


def test_evidence_that_is_too_old(workspace):
    old = workspace.evidence(0, evaluated_at="2026-10-01T10:00:00Z")
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", "--evidence", old, "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("evidence_too_old", 1)
    assert workspace.entries == []


def test_evidence_that_says_it_is_young_is_as_old_as_wandb_says(workspace, monkeypatch):
    evidence = workspace.evidence(0, evaluated_at="2999-01-01T00:00:00Z")
    monkeypatch.setattr(ledger, "format_now", lambda: "2998-01-01T00:00:00Z")
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    assert stopped.value.name == "evidence_too_old"


@pytest.mark.parametrize("time", [None, "2026-13-01T10:00:00Z"], ids=["none", "no time"])
def test_evidence_without_a_time(workspace, time):
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", "--evidence", workspace.evidence(0, evaluated_at=time), "--approver", "ada")
    assert stopped.value.name == "evidence_unreadable"


def test_evidence_of_another_use_case_is_not_promoted(workspace):
    with pytest.raises(StepError) as stopped:
        workspace.step("promote", "--evidence", workspace.evidence(0, use_case="remote"), "--approver", "ada")
    assert (stopped.value.name, stopped.value.exit_code) == ("other_use_case", 1)
    assert workspace.entries == []


# --- audit -----------------------------------------------------------------------------------------------------------
def test_audit_prints_the_ledger(workspace, step, capsys):
    evidence, version = workspace.evidence(0), f"{workspace.registry}:v0"
    step("promote", "--evidence", evidence, "--approver", "ada", "--reason", "first")
    (entry,) = step("audit")["entries"]
    assert (entry["approver"], entry["state"], entry["to"]["name"]) == ("ada", "applied", version)
    output = capsys.readouterr().err
    assert f"nothing -> {version}  approved by ada (first)  on {evidence}  applied" in output


def test_audit_of_an_empty_ledger_says_so(step, capsys):
    assert step("audit")["entries"] == []
    assert "nothing was promoted yet" in capsys.readouterr().err


def test_the_answer_on_standard_output_is_one_json_object(workspace, step, capsys):
    evidence = workspace.evidence(0)
    capsys.readouterr()
    step("promote", "--evidence", evidence, "--approver", "ada")
    assert json.loads(capsys.readouterr().out)["approver"] == "ada"
