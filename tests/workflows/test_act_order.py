"""
Which jobs run with which inputs, for two models and every event: the real workflows and actions under act, with a
`docker` that plays the steps. test_act.py and test_act_paths.py have the same paths with the real images.

    pytest tests/workflows/test_act_order.py
"""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from tests import own
from tests.workflows import acting
from tests.workflows.github import GitHub

# Has every image, pushes any, and answers as the steps do; `plays.json` next to it says which verdicts and findings,
# and whether the image registry has the images, too. Only a step needs Python, which takes ten times as long to start.
DOCKER = """#!/bin/sh
here=$(dirname "$0")
case $1 in
manifest)
    for reference; do :; done
    [ -e "$here/has_images" ] || { echo "no such manifest: $reference" >&2; exit 1; }
    echo '{"Descriptor": {"digest": "sha256:%(there)s"}}'
    ;;
info) echo "[]" ;;
push) echo "${2##*:}: digest: sha256:%(pushed)s size: 2200" ;;
run) exec %(python)s -I -S "$here/step.py" "$@" ;;
esac
"""
STEP = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent
words, plays = sys.argv[1:], json.loads((here / "plays.json").read_text())
image = next(word for word in words[1:] if not word.startswith("--"))
step = "audit" if "--entrypoint=python" in words else image.rpartition("/")[2].partition("@")[0]
rest = words[words.index(image) + 1 :]
flags = dict(word[2:].partition("=")[::2] for word in rest if word.startswith("--"))
use_case = flags["use-case"]
with (here / "ran.jsonl").open("a") as file:
    file.write(json.dumps({"step": step, "flags": flags}) + "\\n")
name = f"acme/models/{use_case}_{step}:v1"
answer = {"build": {"dataset": name}, "train": {"model": name}, "link": {"version": name}}.get(step, {})
if step == "evaluate":
    verdict = plays["verdicts"][use_case]
    answer = {"verdict": verdict, "evidence": name, "url": "https://wandb.ai/v", "headline": f"{verdict}: as it plays"}
if step == "audit":
    answer = {"findings": plays["findings"]}
out = next(word for word in words if word.startswith("--mount=")).partition("source=")[2].partition(",")[0]
if step == "predict":  # the rows are where the flag says, and the answers are kept
    rows = pathlib.Path(out) / pathlib.Path(flags["input"]).name
    (pathlib.Path(out) / pathlib.Path(flags["output"]).name).write_text(rows.read_text().upper())
(pathlib.Path(out) / "result.json").write_text(json.dumps(answer))
print(json.dumps(answer))
sys.exit(answer.get("verdict") == "fail" or bool(answer.get("findings")))
"""
# Finds an attestation of every image except train's, and records each call and its token.
GH = """
import json, os, pathlib, sys
with (pathlib.Path(__file__).parent / "asked.jsonl").open("a") as file:
    file.write(json.dumps([*sys.argv[1:], os.environ["GH_TOKEN"]]) + "\\n")
sys.exit("/train@" in sys.argv[3] and "no attestations found")
"""
SENDER = {"login": "eve"}


class Workspace:
    """Two models, a docker that plays the steps, and a fake GitHub."""

    def __init__(self, folder, root, github):
        self.folder, self.root, self.github = folder, root, github
        (folder / "bin").mkdir()
        docker = DOCKER % {"python": sys.executable, "there": "e" * 64, "pushed": "d" * 64}
        for name, program in (("docker", docker), ("gh", f"#!{sys.executable}\n{GH}"), ("step.py", STEP)):
            played = folder / "bin" / name
            played.write_text(program)
            played.chmod(0o755)
        self.play()

    def play(self, findings=(), has_images=False, **verdicts):
        verdicts = {"letters": "pass", "numerals": "pass"} | verdicts
        plays = {"verdicts": verdicts, "findings": list(findings)}
        (self.folder / "bin/plays.json").write_text(json.dumps(plays))
        if has_images:
            (self.folder / "bin/has_images").touch()

    def act(self, event, workflow="pipeline.yml", **payload):
        """Run a workflow; return it with the steps that ran: (step, use case) to their flags."""
        (self.folder / "bin/ran.jsonl").write_text("")
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)
        environ = {"GITHUB_API_URL": self.github.url, "GITHUB_RUN_ID": "4711"}
        environ["TEST_ARTIFACTS"] = str(self.folder / "artifacts")
        ran = acting.act(
            self.root,
            event,
            home=self.folder / "home",
            workflow=workflow,
            payload=payload,
            environ=environ,
            variables={"IMAGE_REGISTRY": "localhost:5000"},
            secrets={
                "WANDB_API_KEY": "key-of-training",
                "WANDB_PROMOTE_KEY": "second-key",
                "GITHUB_TOKEN": "ghs_token",
            },
        )
        rows = map(json.loads, (self.folder / "bin/ran.jsonl").read_text().splitlines())
        return ran, {(row["step"], row["flags"]["use-case"]): row["flags"] for row in rows}

    def change(self, *names):
        for name in names:
            with (self.root / name).open("a") as file:
                file.write("# Better.\n")
        return acting.commit(self.root, "Better")

    def pull_request(self, *names, action="opened"):
        """Run a pull request that changes these files, merged as GitHub does it."""
        acting.git(self.root, "switch", "-q", "-c", "better")
        head = self.change(*names)
        acting.git(self.root, "switch", "-q", "--detach", "main")
        acting.git(self.root, "merge", "-q", "--no-ff", "-m", "Merge", head)
        side = {"ref": "better", "sha": head, "repo": {"full_name": acting.REPOSITORY}}
        pull = {"number": 7, "user": SENDER, "head": side, "base": {"ref": "main"}}
        try:
            return self.act("pull_request", action=action, number=7, pull_request=pull)
        finally:
            acting.git(self.root, "switch", "-q", "--force", "main")
            acting.git(self.root, "branch", "-q", "-D", "better")

    def ends(self):
        """Return how each model's check run ended last."""
        return {check["name"]: check["conclusion"] for check in self.github.checks}


@pytest.fixture(scope="module")
def two_models(tmp_path_factory):
    """A repository with two models."""

    def add_second(root):
        own.letters(root)
        shutil.copytree(root / "usecases/letters", root / "usecases/numerals")
        config = root / "usecases/numerals/config.toml"
        text = config.read_text().replace("letters-dev", "numerals-dev")
        config.write_text(f'{text}\n[approval]\nenvironment = "production-numerals"\n')

    return acting.copy_of_repository(tmp_path_factory.mktemp("made") / "repository", add_second, acting.SERVER)


@pytest.fixture
def workspace(tmp_path, two_models, monkeypatch):
    github, first = GitHub(acting.REPOSITORY), acting.git(two_models, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    yield Workspace(tmp_path, two_models, github)
    github.close()
    acting.return_to(two_models, first)


WHOLE = ["build", "evaluate", "link", "promote", "train"]


def steps(ran, use_case):
    return sorted(step for step, name in ran if name == use_case)


def test_a_pull_request_runs_the_model_that_it_touches_and_says_so_of_the_other(workspace):
    ran, did = workspace.pull_request("usecases/letters/model.py")
    assert (ran.code, ran.jobs["models"]) == (0, "success"), ran.log[-3000:]
    assert (steps(did, "letters"), steps(did, "numerals")) == (WHOLE, [])
    assert did["evaluate", "letters"]["version"] == "acme/models/letters_link:v1"
    assert workspace.ends() == {"model gate (letters)": "success", "model gate (numerals)": "neutral"}
    (comment,) = workspace.github.comments
    assert comment["body"].startswith("<!-- modelgate letters -->\n\n`letters` ✅ **pass**: as it plays\n")


def test_a_pull_request_that_touches_its_judge_is_evaluated_and_merged_first(workspace):
    ran, did = workspace.pull_request("usecases/letters/behaviour.py")
    assert (ran.code, ran.outputs["changed"]["touches"]) == (0, "true"), ran.log[-3000:]
    assert steps(did, "letters") == ["build", "evaluate", "link", "train"]
    assert workspace.ends() == {"model gate (letters)": "success", "model gate (numerals)": "neutral"}


def test_of_two_models_one_that_fails_stops_no_other(workspace):
    workspace.play(letters="fail")
    before = acting.git(workspace.root, "rev-parse", "HEAD")
    workspace.change("modelgate/errors.py")
    ran, did = workspace.act("push", before=before)
    assert ran.code == 0, ran.job_logs["images"] or ran.log[-3000:]
    assert (steps(did, "letters"), steps(did, "numerals")) == (WHOLE[:3] + WHOLE[4:], WHOLE)
    assert did["promote", "numerals"]["evidence"] == "acme/models/numerals_evaluate:v1"
    assert workspace.ends() == {"model gate (letters)": "failure", "model gate (numerals)": "success"}


@pytest.mark.prove
def test_a_pull_request_of_two_models_has_a_comment_on_each(workspace):
    ran, _ = workspace.pull_request("usecases/letters/model.py", "usecases/numerals/model.py")
    assert ran.code == 0, ran.log[-3000:]
    first = sorted(comment["body"].splitlines()[0] for comment in workspace.github.comments)
    assert first == ["<!-- modelgate letters -->", "<!-- modelgate numerals -->"]


def test_a_change_that_touches_no_model_and_a_merge_queue_start_no_job_of_one(workspace):
    ran, did = workspace.pull_request("README.md")
    assert (ran.code, did, set(ran.jobs)) == (0, {}, {"changed", "models"}), ran.log[-3000:]
    workspace.github.checks.clear()
    ran, did = workspace.act("merge_group")
    assert (ran.code, did, set(ran.jobs)) == (0, {}, {"changed", "models"}), ran.log[-3000:]
    assert set(workspace.ends().values()) == {"neutral"} and len(workspace.ends()) == 2


def test_a_closed_pull_request_starts_nothing(workspace):
    ran, did = workspace.pull_request("usecases/letters/model.py", action="closed")
    assert (ran.code, ran.jobs, did) == (0, {}, {})


def test_main_judges_the_files_of_a_commit_that_is_not_checked_out(workspace):
    main, head = acting.git(workspace.root, "rev-parse", "HEAD"), "a" * 40
    pull = {"number": 7, "head": {"ref": "better", "sha": head}, "base": {"ref": "main"}}
    for name, result in (("README.md", "success"), (".github/workflows/pipeline.yml", "failure")):
        answer = {"merge_base_commit": {"sha": main}, "files": [{"filename": name}]}
        workspace.github.answers[f"{workspace.github.at}/compare/{main}...{head}"] = answer
        ran, _ = workspace.act("pull_request_target", "judge.yml", action="opened", number=7, pull_request=pull)
        assert ran.jobs == {"judge untouched": result}, ran.log[-3000:]
    assert name in ran.job_logs["judge untouched"]


def test_a_dispatch_of_what_does_not_exist_ends_in_the_first_job(workspace):
    ran, did = workspace.act(
        "workflow_dispatch", inputs={"use_case": "nothing", "promote": "true", "no_cache": "false"}
    )
    assert (ran.code, did, ran.jobs) == (1, {}, {"changed": "failure", "models": "failure"})
    assert "there are: letters, numerals" in ran.job_logs["changed"]


def test_once_a_week_every_model_is_built_and_its_ledger_verified(workspace):
    workspace.play(findings=[{"name": "alias_moved", "message": "by hand"}], letters="unchanged")
    ran, did = workspace.act("schedule")
    assert ran.code == 0, ran.job_logs["images"] or ran.log[-3000:]
    assert steps(did, "letters") == ["audit", "build", "evaluate", "link", "train"]
    assert steps(did, "numerals") == ["audit", *WHOLE]
    assert did["audit", "letters"]["verify"] == ""
    assert [issue["state"] for issue in workspace.github.issues] == ["open", "open"]  # test_issue.py closes one


def test_where_images_are_attested_one_that_is_there_is_taken_only_with_an_attestation(workspace):
    workspace.play(has_images=True)
    workspace.github.answers[workspace.github.at] = {"visibility": "public"}
    inputs = {"use_case": "letters", "version": "v3", "reason": "Wrong labels.", "policy": "rollback"}
    ran, _ = workspace.act("workflow_dispatch", "promote.yml", inputs=inputs)
    assert ran.code == 0, ran.job_logs["images"] or ran.log[-3000:]
    calls = [json.loads(line) for line in (workspace.folder / "bin/asked.jsonl").read_text().splitlines()]
    assert {(*call[3:-1], call[-1]) for call in calls} == {
        ("--repo", acting.REPOSITORY, "--source-ref", "refs/heads/main", "ghs_token")
    }
    images = [call[2].rpartition("/")[2].partition("@")[0] for call in calls]
    assert images == ["build", "train", "link", "evaluate", "keras"]
    pushed = [item["name"].rpartition("/")[2] for item in json.loads(ran.outputs["images"]["pushed"])]
    assert pushed == ["promote", "train"]
    assert sum(name.startswith("attest") for name in ran.jobs) == len(pushed)
    used = json.loads(ran.outputs["images"]["images"])
    assert {name: used[name][-1] for name in ("build", "train")} == {"build": "e", "train": "d"}


def test_an_automation_proposes_a_version_that_is_evaluated_alone(workspace):
    version = "acme/wandb-registry-model/numerals-dev:v3"
    payload = {"event_author": "ada", "artifact_version_string": version, "artifact_collection_name": "numerals-dev"}
    ran, did = workspace.act("repository_dispatch", "promote.yml", action="LINK_ARTIFACT", client_payload=payload)
    assert ran.code == 0, ran.job_logs["images"] or ran.log[-3000:]
    assert sorted(did) == [("evaluate", "numerals"), ("promote", "numerals")]
    assert did["evaluate", "numerals"]["version"] == version
    assert not {"policy", "dataset"} & did["evaluate", "numerals"].keys()
    assert did["promote", "numerals"]["reason"] == "W&B automation LINK_ARTIFACT by ada"
    forged = payload | {"artifact_collection_name": "letters-dev"}
    ran, did = workspace.act("repository_dispatch", "promote.yml", action="LINK_ARTIFACT", client_payload=forged)
    assert (ran.code, did) == (1, {})


def test_a_rollback_file_brings_the_version_that_it_names(workspace):
    before = acting.git(workspace.root, "rev-parse", "HEAD")
    (workspace.root / "usecases/letters/rollback.toml").write_text('version = "v3"\nreason = "Wrong labels."\n')
    acting.commit(workspace.root, "Go back")
    ran, did = workspace.act("push", before=before)
    assert ran.code == 0, ran.job_logs["images"] or ran.log[-3000:]
    assert sorted(did) == [("evaluate", "letters"), ("promote", "letters")]
    assert {key: did["evaluate", "letters"][key] for key in ("version", "policy")} == {
        "version": "v3",
        "policy": "rollback",
    }
    assert did["promote", "letters"]["reason"] == "Wrong labels."


def test_a_file_of_the_repository_is_answered_and_the_answers_are_kept(workspace):
    (workspace.root / "rows.csv").write_text("rows")
    acting.commit(workspace.root, "Rows")
    inputs = {"input": "rows.csv", "use_case": "numerals", "version": "", "unapproved": "false"}
    ran, did = workspace.act("workflow_dispatch", "predict.yml", inputs=inputs)
    assert ran.code == 0, ran.log[-3000:]
    flags = {"use-case": "numerals", "input": "/out/rows.csv", "output": "/out/answers.parquet", "out": "/out"}
    assert did == {("predict", "numerals"): flags}
    artifact = workspace.folder / "artifacts/answers-numerals"
    assert sorted(path.name for path in artifact.iterdir()) == ["answers.parquet", "result.json"]
    assert (artifact / "answers.parquet").read_text() == "ROWS"


def test_a_file_of_rows_that_is_not_there_is_named_before_anything_is_answered(workspace):
    inputs = {"input": "data/rows.csv", "use_case": "numerals", "version": "", "unapproved": "false"}
    ran, did = workspace.act("workflow_dispatch", "predict.yml", inputs=inputs)
    assert (ran.code, ran.jobs["predict"], did) == (1, "failure", {}), ran.log[-3000:]
    assert "there is no such file in this repository" in ran.job_logs["predict"]
