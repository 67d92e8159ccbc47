"""
The repository's own workflow files under act, with the real actions, scripts, images and steps: what a push, a pull
request and a dispatch do, and what stops a promotion. test_act_paths.py has more paths.

    pytest tests/workflows/test_act.py               a push, and an approved pull request
    pytest tests/workflows/test_act.py -m prove      after them, a dispatch of a model too poor for the gate, and rows
                                                     that the version in production answers

test_act_judge.py has a pull request that makes the gate pass. test_act_order.py has it, too, and the rows, with a
`docker` that plays the steps.

What act does not know (environments, permissions, concurrency, filters) is in test_policy.py. All tests share one image
registry. The first test builds and pushes the images, which takes most of the time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from tests import own
from tests.workflows import acting
from tests.workflows.acting import ONE_JOB_AT_A_TIME, STANDINS, UNKNOWN_TO_ACT
from tests.workflows.files import ROOT

pytestmark = pytest.mark.timeout(1800)  # building and pushing the images, on a machine that has none of them

STEPS = ["build", "train", "link", "evaluate", "promote"]
TEAMS = own.cells  # a table and scikit-learn; test_act_paths.py has images and Keras
WITHOUT = acting.SERVER
CELLS = {"use_case": "cells", "promote": True, "no_cache": False}
POOR = {"C": 1e-6, "seed": 7}
ENVIRONMENT = "production-cells"
REGISTRY = "local-org/wandb-registry-model/cells-dev"


@pytest.fixture(scope="module")
def at_a_laptop(able, tmp_path_factory):
    """`make run` on the same files, started first so that it runs in parallel with the first workflow."""
    folder = tmp_path_factory.mktemp("laptop")
    clone = own.clone(folder / "clone")
    TEAMS(clone)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "CELLS_EVERY": "7"}
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "runner", "run", "--approver", "ada"]
        process = subprocess.Popen(command, cwd=clone, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield lambda: laptop_s_answer(process, clone, folder / "log")
    finally:
        process.terminate()
        process.wait(120)


def laptop_s_answer(process, clone, log):
    assert process.wait(acting.DEADLINE_S) == 0, log.read_text()
    return json.loads((clone / ".modelgate/out/link/result.json").read_text())["digest"]


@pytest.fixture(scope="module")
def pushed(at_a_laptop, workspace):
    """A push that no one approves."""
    workspace.github.answers[workspace.github.at] = {"visibility": "public"}
    ran = workspace.act("push")
    workspace.github.answers[workspace.github.at] = {"visibility": "private"}
    return ran


@pytest.fixture(scope="module")
def pulled(pushed, workspace, yes):
    """A pull request that changes only words in the model's code, approved by someone other than its author."""
    before, model = workspace.production(), "usecases/cells/model.py"
    text = (workspace.repository / model).read_text() + "# Better.\n"
    return before, workspace.pull_request({model: text}, approvals=[yes("bob", "Reads well.", ENVIRONMENT)])


@pytest.fixture(scope="module")
def dispatched(pulled, workspace, yes):
    """A dispatch by hand, with flags that make a model too poor for the gate; someone approves anyway."""
    inputs = CELLS | {"hyperparameters": json.dumps(POOR), "policy": "no_worse"}
    head = acting.git(workspace.repository, "rev-parse", "main")
    return head, workspace.act("workflow_dispatch", inputs=inputs, approvals=[yes("bob", environment=ENVIRONMENT)])


@pytest.fixture(scope="module")
def rows(pulled, workspace):
    """A committed file of rows that were not part of the evaluation."""
    program = "from usecases.cells import data; data.load(369, 200).x_eval.to_csv('rows.csv', index=False)"
    environ = {"PATH": os.environ["PATH"], "CELLS_EVERY": "7"}
    subprocess.run([sys.executable, "-c", program], cwd=workspace.repository, env=environ, check=True)
    acting.commit(workspace.repository, "Rows")
    yield {"input": "rows.csv", "use_case": "cells", "version": "", "unapproved": False}
    acting.git(workspace.repository, "reset", "-q", "--hard", "HEAD~1")


@pytest.fixture(scope="module")
def answered(rows, workspace):
    """The rows, answered by the version in production."""
    return workspace.act(
        "workflow_dispatch", workflow="predict.yml", inputs=rows
    ), workspace.folder / f"artifacts/{workspace.runs}"


def test_a_push_goes_as_far_as_the_approval_and_promotes_nothing_without_one(pushed, workspace):
    assert [pushed.jobs.get(name) for name in ["images", *STEPS]] == ["success"] * 5 + ["failure"], pushed.log[-3000:]
    assert pushed.code == 1
    assert "no one approved the environment" in pushed.job_logs["promote"]
    assert pushed.outputs["evaluate"]["verdict"] == "pass"


def test_each_step_ran_in_its_image_by_digest(pushed):
    images = json.loads(pushed.outputs["images"]["images"])
    assert sorted(images) == sorted(STEPS)
    for name in STEPS:
        assert f"team/models/{name}@sha256:" in images[name]
        assert "docker run --rm --read-only" in pushed.job_logs[name]
        assert images[name] in pushed.job_logs[name]


def test_what_was_pushed_is_attested_by_digest(pushed):
    images = json.loads(pushed.outputs["images"]["images"])
    new = [f"{item['name']}@{item['digest']}" for item in json.loads(pushed.outputs["images"]["pushed"])]
    assert set(new) >= set(images.values())
    frameworks = {item.rpartition("@")[0].rpartition("/")[2] for item in set(new) - set(images.values())}
    assert frameworks == {"sklearn"}  # the images that they are built on
    output = "".join(pushed.job_logs[name] for name in pushed.job_logs if name.startswith("attest"))
    assert set(re.findall(r"^to attest - (\S+)$", output, re.MULTILINE)) == set(new)


def test_the_evidence_names_the_images_and_the_workflow_run(pushed, workspace):
    name = pushed.outputs["evaluate"]["evidence"]
    evidence = workspace.ask(f"json.load(open(api.artifact({name!r}).get_entry('evidence.json').download()))")
    assert evidence["images"] == json.loads(pushed.outputs["images"]["images"])
    assert evidence["commit"] == acting.git(workspace.repository, "rev-parse", "HEAD")
    assert (evidence["github"]["repository"], evidence["github"]["approvals"]) == (acting.REPOSITORY, 0)


def test_the_evidence_of_a_pull_request_names_commits_that_outlive_its_merge(pulled, workspace):
    name = pulled[1].outputs["evaluate"]["evidence"]
    evidence = workspace.ask(f"json.load(open(api.artifact({name!r}).get_entry('evidence.json').download()))")
    assert (evidence["git"]["pull_request"], evidence["git"]["base"]) == (
        7,
        acting.git(workspace.repository, "rev-parse", "main"),
    )
    assert re.fullmatch("[0-9a-f]{40}", evidence["git"]["head"])
    assert evidence["git"]["head"] not in (evidence["git"]["commit"], evidence["git"]["base"])


def test_what_was_approved_in_a_pull_request_is_promoted(pulled, pushed, workspace):
    before, ran = pulled
    assert before == []
    assert (ran.code, ran.jobs["promote"]) == (0, "success"), ran.log[-3000:]
    assert ran.outputs["promote"]["version"] == pushed.outputs["link"]["version"]
    assert '"approver": "bob"' in ran.job_logs["promote"]
    assert workspace.production() == ["v0"]
    entries = workspace.ask(
        "[v.metadata['entry'] for v in api.artifacts('promotion', 'vision/model-registry-dev/cells_promotions')]"
    )
    url = f"https://github.com/{acting.REPOSITORY}/actions/runs/4702/attempts/1"
    assert [(entry["approver"], entry["comment"], entry["approval_url"]) for entry in entries] == [
        ("bob", "Reads well.", url)
    ]
    (status,) = workspace.github.deployed
    assert (status["state"], status["log_url"]) == ("success", url)
    assert re.match(r"digest [0-9a-f]{32}, ledger entry v0 \([0-9a-f]{12}\), ", status["description"])


def test_the_pull_request_wrote_one_comment(pulled, workspace):
    assert pulled[1].jobs["report"] == "success"
    workspace.has_the_one_comment("POST")


def test_what_a_stranger_wrote_stays_text(pulled, workspace):
    """Title, branch and commit message passed through every job, and nothing in them was executed."""
    workspace.keeps_as_text(pulled[1])


def test_of_images_that_are_there_only_that_of_promote_is_pushed_again(pulled):
    pushed = [item["name"].rpartition("/")[2] for item in json.loads(pulled[1].outputs["images"]["pushed"])]
    assert pushed == ["promote", "train", "evaluate"]  # they have model.py; evaluate reads it and does not run it


def test_push_pull_request_and_a_laptop_give_the_same_model(pulled, pushed, workspace, at_a_laptop):
    reused = ['"reused": true' in pulled[1].job_logs[name] for name in ("build", "train", "link")]
    assert reused == [True, False, True]
    assert pulled[1].outputs["link"]["version"] == pushed.outputs["link"]["version"]
    assert workspace.ask(f"api.artifact({pushed.outputs['link']['version']!r}).digest") == at_a_laptop()


@pytest.mark.prove
def test_a_gate_that_says_no_stops_the_promotion(dispatched, workspace):
    head, ran = dispatched
    assert (ran.code, ran.jobs["evaluate"], "promote" in ran.jobs) == (0, "success", False)
    assert ran.outputs["evaluate"]["verdict"] == "fail"
    ends = {check["head_sha"]: check["conclusion"] for check in workspace.github.checks}
    assert ends[head] == "failure"  # the push had set it to success
    assert workspace.production() == ["v0"]


@pytest.mark.prove
def test_the_inputs_of_a_dispatch_reach_the_steps(dispatched, workspace):
    metadata = workspace.ask(f"dict(api.artifact({dispatched[1].outputs['train']['model']!r}).metadata)")
    assert {name: metadata[name] for name in POOR} == POOR


@pytest.mark.prove
def test_rows_are_answered_by_what_is_in_production_and_the_answers_are_kept(answered, workspace):
    ran, artifact = answered
    assert (ran.code, ran.jobs) == (0, {"images of predict": "success", "predict": "success"}), ran.log[-3000:]
    answers = pq.read_table(artifact / "answers-cells" / "answers.parquet")
    assert answers.num_rows == 200
    assert answers.column_names == ["row", "answer", "p_malignant", "p_benign", "version", "ledger_entry"]
    promoted = workspace.ask(f"api.artifact('{REGISTRY}:production').version")
    assert set(answers["version"].to_pylist()) == {f"{REGISTRY}:{promoted}"}
    assert set(answers["ledger_entry"].to_pylist()) == {"v0"}
    assert json.loads((artifact / "answers-cells" / "result.json").read_text())["rows"] == 200


@pytest.mark.prove
def test_an_alias_that_was_moved_by_hand_fails_the_job_and_keeps_no_answers(answered, rows, workspace):
    workspace.move_by_hand(workspace.link_by_hand("wandb-registry-model/cells-dev"))
    try:
        ran = workspace.act("workflow_dispatch", workflow="predict.yml", inputs=rows)
    finally:
        workspace.move_by_hand(f"{REGISTRY}:v0")
    assert (ran.code, ran.jobs["predict"]) == (1, "failure"), ran.log[-3000:]
    assert '"name": "moved_outside"' in ran.job_logs["predict"]
    assert not (workspace.folder / f"artifacts/{workspace.runs}").exists()


def test_what_ran_is_what_is_tracked(pushed, workspace):
    """
    The files that act ran are this repository's, byte for byte, except for the line that act does not know and the one
    that it needs for a matrix; only third-party actions were replaced.
    """
    tracked = subprocess.run(["git", "ls-files", ".github"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = tracked.stdout.split()
    assert len(names) >= 8
    for name in names:
        ran, ours = ((root / name).read_text(encoding="utf-8") for root in (workspace.repository, ROOT))
        assert ran.replace(ONE_JOB_AT_A_TIME, "") == ours.replace(UNKNOWN_TO_ACT, ""), name
    left_out = [name for name in names if UNKNOWN_TO_ACT in (ROOT / name).read_text()]
    assert left_out == [".github/workflows/model.yml", ".github/workflows/predict.yml"]
    others = {name.rpartition("/")[2] for name in acting.others_actions().values()}
    assert {path.name for path in STANDINS.iterdir()} <= others
