"""
Forbidden and rare paths of a promotion, under act with the real images.

    make prove ARGS=tests/workflows/test_act_paths.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading

import pyarrow.parquet as pq
import pytest

from tests.workflows import acting
from tests.workflows.acting import REPOSITORY
from tests.workflows.conftest import HOSTILE

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]

LETTERS = {"use_case": "letters", "promote": True, "no_cache": False}
REGISTRY = "local-org/wandb-registry-model/letters-dev"
LEDGER = (
    "sorted(api.artifacts('promotion', 'vision/model-registry-dev/letters_promotions'),"
    " key=lambda version: int(version.version[1:]))"
)


def hyperparameters(**values):
    """Hyperparameters as a person writes them into the form."""
    return {"hyperparameters": json.dumps(values)}


@pytest.fixture(scope="module")
def promoted(workspace, yes):
    """v0 is in production: it was approved in a pull request that trains longer, and then merged."""
    config = workspace.repository / "usecases/letters/config.toml"
    longer = config.read_text().replace("epochs = 8", "epochs = 16")
    assert longer != config.read_text()
    ran = workspace.pull_request({"usecases/letters/config.toml": longer}, approvals=[yes("bob")])
    assert (ran.code, workspace.production()) == (0, ["v0"]), ran.log[-3000:]
    config.write_text(longer)
    acting.commit(workspace.repository, "Train longer")
    return ran


@pytest.fixture(scope="module")
def second(promoted, workspace, yes):
    """A version from other flags is in production, after v0."""
    inputs = LETTERS | hyperparameters(seed=3, epochs=20)
    ran = workspace.act("workflow_dispatch", inputs=inputs, approvals=[yes("bob")])
    assert (ran.code, workspace.production()) == (0, [ran.outputs["link"]["version"].rpartition(":")[2]]), ran.log[
        -3000:
    ]
    return ran


def refused(workspace, ran, name):
    """Assert that promote refused under this name, and that production did not move."""
    assert (ran.jobs.get("evaluate"), ran.jobs.get("promote")) == ("success", "failure"), ran.log[-3000:]
    return f'"name": "{name}"' in ran.job_logs["promote"]


def test_a_push_of_what_was_approved_in_its_pull_request_asks_nobody(promoted, workspace):
    ran = workspace.act("push")
    assert (ran.code, ran.outputs["evaluate"]["verdict"]) == (0, "unchanged")
    assert ran.outputs["link"]["version"] == promoted.outputs["link"]["version"]
    assert "promote" not in ran.jobs


def test_a_branch_that_is_dispatched_is_judged_and_not_promoted(promoted, workspace, yes):
    acting.git(workspace.repository, "switch", "-q", "-c", "easy")
    acting.commit(workspace.repository, "Easy")  # act takes the first branch that has the commit
    try:
        ran = workspace.act(
            "workflow_dispatch", inputs=LETTERS | hyperparameters(seed=5, epochs=20), approvals=[yes("bob")]
        )
    finally:
        acting.git(workspace.repository, "switch", "-q", "main")
    assert (ran.code, ran.outputs["evaluate"]["verdict"]) == (0, "pass"), ran.log[-3000:]
    assert "promote" not in ran.jobs


def test_a_pull_request_that_the_gate_refuses_is_told_why(promoted, workspace):
    config = workspace.repository / "usecases/letters/config.toml"
    poor = config.read_text().replace("epochs = 16", "epochs = 1").replace('"adam"', '"sgd"')
    ran = workspace.pull_request({"usecases/letters/config.toml": poor})
    assert (ran.code, ran.jobs["evaluate"], ran.jobs["report"]) == (0, "success", "success"), ran.log[-3000:]
    assert workspace.github.checks[-1]["conclusion"] == "failure"  # the pull request's last commit
    assert "promote" not in ran.jobs
    (comment,) = workspace.github.comments
    lines = comment["body"].splitlines()
    worse = "[0-9.]+ points lower than production, and 497 rows show .+"
    assert re.fullmatch(rf"`letters` ⛔ \*\*fail\*\*: floor: accuracy .+ the floor is 0\.9000; {worse}", lines[2])
    assert lines[4] == "Refused by:" and re.search(
        r"^- `floor`: `accuracy 0\.\d+, at least ", comment["body"], re.MULTILINE
    )


def test_what_a_person_types_into_the_form_stays_text(promoted, workspace):
    ran = workspace.act("workflow_dispatch", inputs=LETTERS | {"collection": HOSTILE})
    assert (ran.jobs["link"], "evaluate" in ran.jobs) == ("failure", False), ran.log[-3000:]
    assert ran.outputs["link"] == {}
    assert "$(touch pwned)" in ran.job_logs["link"]
    assert not list(workspace.folder.rglob("pwned"))


def test_a_dispatch_with_the_same_flags_makes_the_same_model_once_more(promoted, workspace):
    ran = workspace.act("workflow_dispatch", inputs=LETTERS | {"no_cache": True})
    assert (ran.code, ran.outputs["evaluate"]["verdict"]) == (0, "unchanged"), ran.log[-3000:]
    assert '"reused": false' in ran.job_logs["train"]
    assert ran.outputs["link"]["version"] == promoted.outputs["link"]["version"]


def test_once_a_week_each_model_is_built_again_and_its_ledger_verified(promoted, workspace):
    ran = workspace.act("schedule")
    assert (ran.code, ran.outputs["evaluate"]["verdict"], ran.jobs["audit"]) == (0, "unchanged", "success")
    assert all('"reused": true' in ran.job_logs[step] for step in ("build", "train", "link")), ran.log[-3000:]
    assert "promote" not in ran.jobs and workspace.github.issues == []


@pytest.fixture
def images(promoted, workspace, monkeypatch):
    """A committed file of images that the schedule's variable names."""
    program = "import numpy; from usecases.letters import data; numpy.savez('rows.npz', x=data.load(9, 497).x_eval)"
    environ = {"PATH": os.environ["PATH"], "LETTERS_LIMIT": "5"}
    subprocess.run([sys.executable, "-c", program], cwd=workspace.repository, env=environ, check=True)
    acting.commit(workspace.repository, "Rows")
    monkeypatch.setitem(workspace.variables, "PREDICT_INPUT", "rows.npz")
    yield
    acting.git(workspace.repository, "reset", "-q", "--hard", "HEAD~1")


def test_each_morning_the_rows_that_a_variable_names_are_answered_by_what_is_in_production(images, workspace):
    ran = workspace.act("schedule", workflow="predict.yml")
    assert (ran.code, ran.jobs) == (0, {"images of predict": "success", "predict": "success"}), ran.log[-3000:]
    artifact = workspace.folder / "artifacts" / str(workspace.runs) / "answers-letters"
    answers = pq.read_table(artifact / "answers.parquet")
    assert (answers.num_rows, set(answers["answer"].to_pylist())) == (497, {"0", "1"})
    assert set(answers["version"].to_pylist()) == {f"{REGISTRY}:{workspace.production()[0]}"}
    # An alias that a person removed in the browser.
    workspace.do(
        f"version = api.artifact('{REGISTRY}:production'); version.aliases.remove('production'); version.save()"
    )
    try:
        ran = workspace.act("schedule", workflow="predict.yml")
    finally:
        workspace.move_by_hand(f"{REGISTRY}:v0")
    assert (ran.code, ran.jobs["predict"]) == (1, "failure"), ran.log[-3000:]
    assert '"name": "production_gone"' in ran.job_logs["predict"]
    assert not (workspace.folder / "artifacts" / str(workspace.runs)).exists()


@pytest.mark.parametrize("attack", ["self_approval", "approval_other_attempt", "alias_refused"])
def test_a_promotion_that_is_refused(promoted, workspace, yes, attack, monkeypatch):
    before = workspace.production()
    inputs = LETTERS | hyperparameters(seed=5, epochs=20)
    if attack == "self_approval":
        ran = workspace.act("workflow_dispatch", inputs=inputs, approvals=[yes("ada")])
    elif attack == "alias_refused":  # the training key instead of the second one
        keys = {"WANDB_PROMOTE_KEY": workspace.keys["WANDB_API_KEY"]}
        ran = workspace.act("workflow_dispatch", inputs=inputs, approvals=[yes("bob")], keys=keys)
    else:
        # "Re-run failed jobs": the second attempt's promote next to the evidence of the first.
        first = workspace.act("workflow_dispatch", inputs=inputs)
        model = workspace.repository / ".github/workflows/model.yml"
        text = model.read_text()
        frozen = text
        for name in ("evidence", "evidence_sha256"):
            expression = f"toJSON(needs.evaluate.outputs.{name})"
            assert expression in frozen
            frozen = frozen.replace(expression, f"toJSON('{first.outputs['evaluate'][name]}')")
        model.write_text(frozen)
        try:
            ran = workspace.act("workflow_dispatch", inputs=inputs, approvals=[yes("bob")], attempt=2)
        finally:
            model.write_text(text)
    assert refused(workspace, ran, attack), ran.job_logs["promote"]
    assert workspace.production() == before


def test_a_rollback_goes_back_and_says_why_and_so_does_a_version_that_is_named(second, workspace, yes):
    inputs = {"use_case": "letters", "version": "previous", "reason": "Wrong labels.", "policy": "rollback"}
    ran = workspace.act("workflow_dispatch", workflow="promote.yml", inputs=inputs, approvals=[yes("bob")])
    assert (ran.code, workspace.production()) == (0, ["v0"]), ran.log[-3000:]
    assert workspace.ask(f"{LEDGER}[-1].metadata['entry']['reason']") == "Wrong labels."
    # And to a given version.
    name = second.outputs["link"]["version"]
    inputs |= {"version": name, "reason": "The labels were right.", "policy": "no_worse"}
    ran = workspace.act("workflow_dispatch", workflow="promote.yml", inputs=inputs, approvals=[yes("bob")])
    assert (ran.code, workspace.production()) == (0, [name.rpartition(":")[2]]), ran.log[-3000:]


def test_of_two_runs_at_once_one_wins(second, workspace, yes, tmp_path):
    """Both are evaluated against the same production, before either promotes, and both are approved."""
    ends, evaluated, reviewed = [], [], tmp_path / "reviewed"

    def count():
        evaluated.append(True)
        if len(evaluated) == 2:
            reviewed.touch()

    def run(seed):
        inputs = LETTERS | hyperparameters(seed=seed, epochs=20)
        ran = workspace.act(
            "workflow_dispatch", inputs=inputs, approvals=[yes("bob")], evaluated=count, reviewed=reviewed
        )
        ends.append(ran.jobs.get("promote"))

    both = [threading.Thread(target=run, args=(seed,)) for seed in (11, 12)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(evaluated) == 2
    assert sorted(ends) == ["failure", "success"]
    assert len(workspace.production()) == 1


def test_a_pull_request_that_is_closed_starts_no_job(workspace):
    pull = {"number": 7, "head": {"repo": {"full_name": REPOSITORY}, "sha": "a" * 40}, "user": {"login": "eve"}}
    ran = workspace.act("pull_request", payload={"action": "closed", "number": 7, "pull_request": pull})
    assert (ran.code, ran.jobs) == (0, {}), ran.log[-3000:]


def proposal(version, collection="letters-dev"):
    """The dispatch is as W&B's automations send it."""
    entity, project, _ = version.split("/")
    return {
        "action": "ADD_ARTIFACT_ALIAS",
        "client_payload": {
            "event_author": "ada",
            "artifact_version_string": version,
            "artifact_collection_name": collection,
            "project_name": project,
            "entity_name": entity,
        },
    }


def test_an_automation_proposes_a_version_and_a_forged_one_promotes_nothing(second, workspace, yes):
    before, version = workspace.production(), f"{REGISTRY}:v0"
    forged = workspace.act("repository_dispatch", workflow="promote.yml", payload=proposal(f"{REGISTRY}:latest"))
    assert (forged.code, forged.jobs, workspace.production()) == (1, {"changed": "failure"}, before)
    alone = workspace.act("repository_dispatch", workflow="promote.yml", payload=proposal(version))
    assert refused(workspace, alone, "no_approval"), alone.job_logs["promote"]
    assert workspace.production() == before
    ran = workspace.act(
        "repository_dispatch", workflow="promote.yml", payload=proposal(version), approvals=[yes("bob")]
    )
    assert (ran.code, workspace.production()) == (0, ["v0"]), ran.log[-3000:]


def test_a_re_run_of_all_jobs_asks_again_and_is_promoted(second, workspace, yes):
    """It is another attempt of the same workflow run, with a report of the same name."""
    versions = (second.outputs["link"]["version"], f"{REGISTRY}:v0")  # an earlier test may have moved production
    name = next(name for name in versions if name.rpartition(":")[2] not in workspace.production())
    inputs = {"use_case": "letters", "version": name, "reason": "Nobody looked.", "policy": "no_worse"}
    first = workspace.act("workflow_dispatch", workflow="promote.yml", inputs=inputs)
    assert refused(workspace, first, "no_approval"), first.job_logs["promote"]
    again = {"run": workspace.runs, "attempt": 2}
    ran = workspace.act("workflow_dispatch", workflow="promote.yml", inputs=inputs, approvals=[yes("bob")], **again)
    assert (ran.code, workspace.production()) == (0, [name.rpartition(":")[2]]), ran.log[-3000:]
    assert f"/actions/runs/{workspace.runs}/attempts/2" in workspace.ask(
        f"{LEDGER}[-1].metadata['entry']['approval_url']"
    )


def test_a_dispatch_is_refused_where_only_a_merge_approves(second, workspace, yes, monkeypatch):
    monkeypatch.setitem(workspace.variables, "APPROVAL", "merge")
    inputs = {"use_case": "letters", "version": "previous", "reason": "Wrong labels.", "policy": "rollback"}
    ran = workspace.act("workflow_dispatch", workflow="promote.yml", inputs=inputs, approvals=[yes("bob")])
    assert refused(workspace, ran, "not_a_push"), ran.job_logs["promote"]


def test_a_merge_approves_the_model_that_it_pushes_and_the_rollback_that_it_asks_for(second, workspace, monkeypatch):
    """No environment approves it: GitHub plans without reviewers do not have that."""
    monkeypatch.setitem(workspace.variables, "APPROVAL", "merge")
    checkout, before = workspace.repository, acting.git(workspace.repository, "rev-parse", "HEAD")
    names = ["usecases/letters/config.toml", "usecases/letters/rollback.toml"]
    longer = (checkout / names[0]).read_text().replace("epochs = 16", "epochs = 17")
    texts = [longer, 'version = "v0"\nreason = "Wrong labels."\n']
    try:
        for name, text in zip(names, texts, strict=True):
            head = acting.git(checkout, "rev-parse", "HEAD")
            (checkout / name).write_text(text)
            acting.commit(checkout, "Merge pull request 7")
            ran = workspace.act("push", payload={"before": head}, answers=workspace.merge_of(name))
            assert (ran.code, ran.jobs["promote"]) == (0, "success"), ran.job_logs["promote"] or ran.log[-3000:]
            entry = workspace.ask(f"{LEDGER}[-1].metadata['entry']")
            assert (entry["approver"], entry["approval"]) == ("bob", "merge")
            version = workspace.production()
            assert version == ["v0"] if "rollback" in name else version not in (["v0"], [])
    finally:
        acting.git(checkout, "reset", "-q", "--hard", before)
    assert entry["reason"] == "Wrong labels."


def test_a_pull_request_that_touches_no_model_starts_no_job_of_one(workspace):
    ran = workspace.pull_request({"README.md": "Better.\n"})
    assert (ran.code, ran.jobs) == (0, {"changed": "success", "models": "success"}), ran.log[-3000:]
    assert ran.outputs["changed"]["models"] == "[]"


def test_a_dispatch_of_a_use_case_that_does_not_exist_ends_in_the_first_job(workspace):
    ran = workspace.act("workflow_dispatch", inputs=LETTERS | {"use_case": HOSTILE})
    assert (ran.code, ran.jobs) == (1, {"changed": "failure", "models": "failure"}), ran.log[-3000:]
    assert "there are: letters" in ran.job_logs["changed"]


def test_of_two_models_each_has_its_own_jobs_comment_ledger_and_approval(promoted, workspace, yes):
    """A pull request changes both and one is approved; then a push of shared code touches both."""
    checkout = workspace.repository
    shutil.copytree(checkout / "usecases/letters", checkout / "usecases/numerals")
    config = checkout / "usecases/numerals/config.toml"
    text = config.read_text().replace("letters-dev", "numerals-dev")
    config.write_text(text + '\n[approval]\nenvironment = "production-numerals"\n')
    before = acting.commit(checkout, "A second model")
    workspace.github.comments.clear()
    changes = {}
    for name in ("letters", "numerals"):
        network = checkout / f"usecases/{name}/model.py"
        changes[str(network.relative_to(checkout))] = network.read_text() + "# Better.\n"
    ran = workspace.pull_request(changes, approvals=[yes("bob", environment="production-numerals")])
    assert {ran.jobs[f"{name}/evaluate"] for name in ("letters", "numerals")} == {"success"}, ran.log[-3000:]
    assert ran.outputs["letters/evaluate"]["verdict"] == "unchanged" and "letters/promote" not in ran.jobs
    assert (ran.outputs["numerals/evaluate"]["verdict"], ran.jobs["numerals/promote"]) == ("pass", "success")
    assert workspace.production() == ["v0"] and workspace.production("numerals-dev") == ["v0"]
    assert sorted(comment["body"].splitlines()[0] for comment in workspace.github.comments) == [
        "<!-- modelgate letters -->",
        "<!-- modelgate numerals -->",
    ]
    ledgers = "[c.name for c in api.artifact_type('promotion', 'vision/model-registry-dev').collections()]"
    assert {"letters_promotions", "numerals_promotions"} <= set(workspace.ask(ledgers))
    with (checkout / "modelgate/errors.py").open("a") as file:
        file.write("# Better.\n")
    acting.commit(checkout, "Shared code")
    ran = workspace.act("push", payload={"before": before})
    assert sorted(name for name in ran.jobs if name.endswith("/evaluate")) == ["letters/evaluate", "numerals/evaluate"]
