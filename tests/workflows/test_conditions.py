"""
The truth table of every `if:`, by GitHub's own evaluator: who is asked, and which job runs when.

    pytest tests/workflows/test_conditions.py
"""

from __future__ import annotations

import pytest

from tests.workflows.files import workflows
from tests.workflows.own_parser import holds

MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"


def github(event, ref=MAIN, head="team/models", login="ada", action=None, **more):
    """Return the context of a workflow run; a pull request is from this repository, unless `head` says otherwise."""
    context = {"event_name": event, "ref": ref, "repository": "team/models", "event": {"action": action, **more}}
    if event == "pull_request":
        pull = {"head": {"repo": {"full_name": head}}, "user": {"login": login}}
        context |= {"ref": PULL, "event": {"action": action or "opened", "pull_request": pull}}
    return {"github": context}


def ended(**results):
    """Return the context of the earlier jobs."""
    return {"needs": {name: {"result": result, "outputs": {}} for name, result in results.items()}}


def condition(file, job):
    return workflows()[file].jobs[job]["if"]


# --- who is asked ----------------------------------------------------------------------------------------------------

# What makes promote wait for a reviewer: event, ref, verdict, promote of a dispatch, touches the judge, PROMOTE_FROM,
# APPROVAL.
ASKS = {
    ("push", MAIN, "pass", False, "false", "", ""): True,
    ("push", MAIN, "pass", False, "false", "main", ""): True,
    ("push", MAIN, "pass", False, "false", "main", "merge"): True,
    ("push", MAIN, "unchanged", False, "false", "", ""): False,
    ("push", MAIN, "fail", False, "false", "", ""): False,
    ("push", MAIN, "", False, "false", "", ""): False,
    ("schedule", MAIN, "pass", True, "false", "", ""): True,
    ("schedule", MAIN, "unchanged", True, "false", "", ""): False,
    ("repository_dispatch", MAIN, "pass", True, "false", "", ""): True,
    ("repository_dispatch", MAIN, "fail", True, "false", "", ""): False,
    ("workflow_dispatch", MAIN, "pass", True, "false", "", ""): True,
    ("workflow_dispatch", MAIN, "pass", False, "false", "", ""): False,
    ("workflow_dispatch", MAIN, "unchanged", True, "false", "", ""): False,
    ("workflow_dispatch", MAIN, "fail", True, "false", "", ""): False,
    ("workflow_dispatch", "refs/heads/easy", "pass", True, "false", "", ""): False,
    ("workflow_dispatch", "refs/tags/main", "pass", True, "false", "", ""): False,
    ("pull_request", PULL, "pass", False, "false", "", ""): True,
    ("pull_request", PULL, "pass", False, "false", "pr", "github"): True,
    ("pull_request", PULL, "pass", False, "false", "main", ""): False,
    ("pull_request", PULL, "pass", False, "false", "", "merge"): False,
    ("pull_request", PULL, "pass", False, "false", "pr", "merge"): False,
    ("pull_request", PULL, "pass", False, "true", "", ""): False,
    ("pull_request", PULL, "pass", False, "", "", ""): False,
    ("pull_request", PULL, "unchanged", False, "false", "", ""): False,
}


@pytest.mark.parametrize("case", ASKS)
def test_promote_asks_whom_it_should(case):
    event, ref, verdict, promote, touches, promote_from, method = case
    contexts = github(event, ref) | {"vars": {"PROMOTE_FROM": promote_from, "APPROVAL": method}}
    contexts |= {"inputs": {"promote": promote, "touches-judge": touches}}
    contexts |= {"needs": {"evaluate": {"result": "success", "outputs": {"verdict": verdict}}}}
    asks = condition("model.yml", "promote")
    assert holds(asks, contexts) == ASKS[case]
    assert holds(asks, contexts, failure=True) == ASKS[case]  # build, train and link were skipped for a version
    assert not holds(asks, contexts, cancelled=True)
    contexts["needs"]["evaluate"]["result"] = "failure"
    assert not holds(asks, contexts, failure=True)


# --- which job runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "head", "login", "action", "jobs"),
    [
        ("push", "", "", None, ["changed", "model", "models"]),
        ("merge_group", "", "", None, ["changed", "model", "models"]),
        ("schedule", "", "", None, ["changed", "model", "models"]),
        ("workflow_dispatch", "", "", None, ["changed", "model", "models"]),
        ("pull_request", "team/models", "ada", "opened", ["changed", "model", "models"]),
        ("pull_request", "team/models", "ada", "closed", []),
        ("pull_request", "eve/models", "eve", "synchronize", ["changed", "fork", "models"]),
        ("pull_request", "eve/models", "eve", "closed", []),
        ("pull_request", "team/models", "dependabot[bot]", "reopened", ["changed", "fork", "models"]),
        ("pull_request", "team/models", "dependabot[bot]", "closed", []),
        ("pull_request", "eve/models", "dependabot[bot]", "opened", ["changed", "fork", "models"]),
    ],
)
@pytest.mark.parametrize("models", ['[{"name": "mnist"}]', "[]"])
def test_who_has_no_secrets_runs_the_loop_without(event, head, login, action, jobs, models):
    """Exactly one of the two ways to judge a model is taken; none if a pull request is closed or touches no model."""
    pipeline = workflows()["pipeline.yml"]
    contexts = github(event, head=head, login=login, action=action)
    contexts |= {"needs": {"changed": {"result": "success", "outputs": {"models": models}}}}
    runs = {name: holds(job["if"], contexts) for name, job in pipeline.jobs.items()}
    runs = {name: runs[name] and (name in ("changed", "models") or runs["changed"]) for name in runs}
    expected = [name for name in jobs if models != "[]" or name in ("changed", "models")]
    assert [name for name in pipeline.jobs if runs[name]] == expected


def test_the_last_job_runs_whatever_became_of_the_others():
    pipeline = workflows()["pipeline.yml"]
    assert pipeline.jobs["models"]["needs"] == [name for name in pipeline.jobs if name != "models"]
    for status in ("success", "failure", "cancelled"):
        assert holds(condition("pipeline.yml", "models"), github("push"), **{status: True})
        assert holds(condition("ci.yml", "done"), github("push"), **{status: True})


@pytest.mark.parametrize(
    ("version", "images", "link", "build", "evaluate"),
    [
        ("", "success", "success", True, True),
        ("", "success", "failure", True, False),
        ("", "success", "skipped", True, False),
        ("", "failure", "skipped", True, False),
        ("v3", "success", "skipped", False, True),
        ("v3", "failure", "skipped", False, False),
    ],
)
def test_a_version_that_exists_is_evaluated_without_being_trained(version, images, link, build, evaluate):
    contexts = ended(images=images, link=link) | {"inputs": {"version": version}}
    assert holds(condition("model.yml", "build"), contexts) == build
    assert holds(condition("model.yml", "evaluate"), contexts, failure=True) == evaluate
    assert not holds(condition("model.yml", "evaluate"), contexts, cancelled=True)


@pytest.mark.parametrize(
    ("pushed", "attested", "attests"),
    [
        ('[{"name": "x"}]', "true", True),
        ('[{"name": "x"}]', "false", False),
        ("[]", "true", False),
    ],
)
def test_what_was_pushed_is_attested_where_images_are(pushed, attested, attests):
    outputs = {"pushed": pushed, "attested": attested}
    contexts = github("schedule") | {"needs": {"images": {"result": "success", "outputs": outputs}}}
    assert holds(condition("model.yml", "attest"), contexts) == attests


@pytest.mark.parametrize("event", ["schedule", "push", "pull_request", "workflow_dispatch", "repository_dispatch"])
def test_ledgers_are_verified_once_a_week(event):
    assert holds(condition("model.yml", "audit"), github(event)) == (event == "schedule")


@pytest.mark.parametrize(
    ("requested", "variable", "answers"), [("", "", False), ("rows.csv", "", True), ("", "rows.csv", True)]
)
def test_rows_are_answered_if_somebody_named_them(requested, variable, answers):
    contexts = github("schedule") | {"inputs": {"input": requested}, "vars": {"PREDICT_INPUT": variable}}
    assert holds(condition("predict.yml", "images"), contexts) == answers


@pytest.mark.parametrize(("variable", "publishes"), [("true", True), ("", False), ("false", False)])
def test_the_site_is_published_only_where_somebody_asked_for_it(variable, publishes):
    assert holds(condition("docs.yml", "site"), {"vars": {"PUBLISH_DOCS": variable}}) == publishes


@pytest.mark.parametrize(
    ("images", "attest", "releases"),
    [
        ("success", "success", True),
        ("success", "skipped", True),
        ("success", "failure", False),
        ("success", "cancelled", False),  # it took too long
        ("failure", "skipped", False),
        ("skipped", "skipped", False),
    ],
)
def test_a_release_is_published_without_attestations_and_not_after_a_failure(images, attest, releases):
    assert holds(condition("release.yml", "release"), ended(images=images, attest=attest)) == releases


@pytest.mark.parametrize(("attested", "attests"), [("true", True), ("false", False)])
def test_a_release_is_attested_where_images_are(attested, attests):
    contexts = {"needs": {"images": {"result": "success", "outputs": {"attested": attested}}}}
    assert holds(condition("release.yml", "attest"), contexts) == attests


def test_a_report_is_made_even_if_a_job_failed_and_not_of_a_run_that_a_newer_commit_ended():
    assert holds(condition("model.yml", "report"), {}, failure=True)
    assert holds(condition("model.yml", "report"), {}, success=True)
    assert not holds(condition("model.yml", "report"), {}, cancelled=True)


@pytest.mark.parametrize(
    ("event", "head", "branch", "conclusion", "comments"),
    [
        ("pull_request", "eve/models", "better", "success", True),
        ("pull_request", "eve/models", "better", "failure", True),
        ("pull_request", "eve/models", "better", "action_required", False),
        ("pull_request", "eve/models", "better", "cancelled", False),
        ("pull_request", "eve/models", "better", "skipped", False),
        ("pull_request", "team/models", "dependabot/pip/wandb-1", "success", True),
        ("pull_request", "team/models", "better", "success", False),
        ("push", "team/models", "main", "success", False),
    ],
)
def test_main_comments_for_who_may_not(event, head, branch, conclusion, comments):
    run = {"event": event, "conclusion": conclusion, "head_branch": branch, "head_repository": {"full_name": head}}
    assert holds(condition("comment.yml", "comment"), github("workflow_run", workflow_run=run)) == comments


FOUND = {"needs": {"changed": {"result": "success"}}}
MISSING = {"needs": {"changed": {"result": "failure"}}}
UNTOUCHED = next(step["if"] for _, step in workflows()["pipeline.yml"].steps() if "untouched" in step.get("with", {}))


STEPS = {
    UNTOUCHED: [
        (FOUND | github("merge_group"), True),
        (FOUND | github("pull_request"), True),
        (FOUND | github("pull_request", head="eve/models"), False),
        (FOUND | github("pull_request", login="dependabot[bot]"), False),
        (FOUND | github("push"), False),
        (MISSING | github("pull_request"), False),
    ],
    "always()": [({}, True)],
    "needs.evaluate.result != 'skipped'": [(ended(evaluate="failure"), True), (ended(evaluate="skipped"), False)],
}


@pytest.mark.parametrize("text", STEPS)
def test_a_step_runs_when_it_should(text):
    for contexts, expected in STEPS[text]:
        assert holds(text, contexts, failure="always" in text, success="always" not in text) == expected


def test_every_condition_is_in_a_table_here():
    jobs = {
        (file, name) for file, workflow in workflows().items() for name, job in workflow.jobs.items() if "if" in job
    }
    assert jobs == {
        ("ci.yml", "done"),
        ("comment.yml", "comment"),
        *(("model.yml", name) for name in ("attest", "audit", "build", "evaluate", "promote", "report")),
        *(("pipeline.yml", name) for name in ("changed", "fork", "model", "models")),
        ("predict.yml", "images"),
        ("docs.yml", "site"),
        *(("release.yml", name) for name in ("attest", "release")),
    }
    steps = {step["if"] for workflow in workflows().values() for _, step in workflow.steps() if "if" in step}
    assert steps == STEPS.keys()
