"""
The rules that every workflow here keeps, over the real files. A rule counts the places it looked at, and catches a
violation that is planted in a copy of the text.

    pytest tests/workflows/test_policy.py

act knows no environment, permission, timeout or concurrency, and no linter knows which secret belongs where: what
GitHub would enforce is held here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from runner import pipeline
from tests.workflows.files import ROOT, Workflow, actions, workflows

STEPS = [*pipeline.candidate([]), pipeline.PROMOTE]
# Which job may write what. Everything else may read at most.
MAY_WRITE = {
    ("pipeline.yml", "images"): {"packages"},
    ("pipeline.yml", "comment"): {"pull-requests"},
    ("pipeline.yml", "attest"): {"attestations", "id-token", "packages"},
    ("promote.yml", "images"): {"packages"},
    ("promote.yml", "attest"): {"attestations", "id-token", "packages"},
    ("comment.yml", "comment"): {"pull-requests"},
}
# Which environment's jobs may name which secret.
SECRETS = {"DATA_TOKEN": "training", "WANDB_API_KEY": "training", "WANDB_PROMOTE_KEY": "production"}
MAX_SHELL_LINES = 10

Files = Mapping[str, Workflow]
Found = Iterator[tuple[str, str | None]]  # a place that was looked at, and what is wrong there, or None


# --- the rules -------------------------------------------------------------------------------------------------------


def every(files: Files) -> list[Workflow]:
    return [*files.values()]


def of_workflows(files: Files) -> list[Workflow]:
    return [file for file in files.values() if file.jobs]


def jobs(files: Files) -> Iterator[tuple[Workflow, str, dict[str, Any]]]:
    for file in of_workflows(files):
        for name, job in file.jobs.items():
            yield file, name, job


def environment_of(job: dict[str, Any]) -> str:
    environment = job.get("environment", "")
    return environment["name"] if isinstance(environment, dict) else environment


def actions_are_pinned(files: Files) -> Found:
    """By a full SHA with the version beside it, and one action by one SHA everywhere; our own from the checkout."""
    versions: dict[str, str] = {}
    for file in every(files):
        for line in file.text.splitlines():
            if not (found := re.search(r"^\s*-? *uses: *(\S+)(.*)$", line)):
                continue
            use, comment = found[1], found[2]
            if use.startswith("./.github/actions/"):
                yield file.name, None
                continue
            name, _, sha = use.partition("@")
            good = re.fullmatch(r"[0-9a-f]{40}", sha) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
            same = versions.setdefault(name, f"{sha}{comment}") == f"{sha}{comment}"
            yield file.name, None if good and same else line.strip()


def images_are_pinned(files: Files) -> Found:
    """A step's image comes by digest from the job `images`, and it is that step's; no job runs in a `container:`."""
    for _, name, job in jobs(files):
        yield name, "runs in a container" if "container" in job or "services" in job else None
        for step in job["steps"]:
            if step.get("uses") != "./.github/actions/run-step":
                continue
            wanted = f"${{{{ fromJSON(needs.images.outputs.images).{step['with']['step']} }}}}"
            yield name, None if step["with"]["image"] == wanted else step["with"]["image"]


def nothing_is_permitted_by_default(files: Files) -> Found:
    for file in of_workflows(files):
        yield file.name, None if file.said.get("permissions") == {} else "permissions at the top are not {}"


def a_job_says_what_it_may_and_why(files: Files) -> Found:
    """Its own permissions, each with a reason on its line; writing only where this file's list says so."""
    for file, name, job in jobs(files):
        permissions = job.get("permissions")
        if not isinstance(permissions, dict):
            yield name, "no permissions of its own"
            continue
        yield name, None
        for what, how in permissions.items():
            reason = re.search(rf"^ {{6}}{what}: {how} # \S.{{6,}}$", file.text_of(name), re.MULTILINE)
            allowed = how == "read" or what in MAY_WRITE.get((file.name, name), ())
            yield name, None if reason and allowed else f"{name}: {what}: {how}"


def a_job_ends(files: Files) -> Found:
    for _, name, job in jobs(files):
        minutes = job.get("timeout-minutes", "")
        yield name, None if minutes.isdigit() and int(minutes) <= 360 else f"{name} has no timeout"


def a_checkout_keeps_no_token(files: Files) -> Found:
    for file in every(files):
        for where, step in file.steps():
            if step.get("uses", "").startswith("actions/checkout@"):
                kept = step.get("with", {}).get("persist-credentials") != "false"
                yield where, where if kept else None


def no_expression_in_shell(files: Files) -> Found:
    for file in every(files):
        for where, step in file.steps():
            if "run" in step:
                yield where, where if "${{" in step["run"] else None


def shell_is_short(files: Files) -> Found:
    for file in every(files):
        for where, step in file.steps():
            if "run" in step:
                yield where, where if len(step["run"].strip().splitlines()) > MAX_SHELL_LINES else None


def a_step_has_a_name(files: Files) -> Found:
    for file in every(files):
        for where, step in file.steps():
            yield where, None if step.get("name", "")[:1].isupper() else where


def a_secret_stays_in_its_environment(files: Files) -> Found:
    """Also the token: the step that needs it has it in `env:` or `with:`, and no job or workflow has it for all."""
    for file in of_workflows(files):
        outside = {key: value for key, value in file.said.items() if key != "jobs"}
        yield file.name, "a secret for every job" if names_of_secrets(outside) else None
    for _, name, job in jobs(files):
        shared = {key: value for key, value in job.items() if key != "steps"}
        yield name, f"{name}: a secret for every step" if names_of_secrets(shared) else None
        for secret in names_of_secrets(job["steps"]):
            yield name, None if SECRETS.get(secret) == environment_of(job) else f"{name} names {secret}"


def names_of_secrets(said: object) -> set[str]:
    text = str(said)
    return set(re.findall(r"secrets\.(\w+)", text)) | (
        {"?"} if re.search(r"secrets\[|toJSON\(secrets", text) else set()
    )


def no_trigger_runs_strangers_code_with_secrets(files: Files) -> Found:
    for file in of_workflows(files):
        yield file.name, "pull_request_target" if "pull_request_target" in file.said["on"] else None


def only_promote_deploys(files: Files) -> Found:
    """A job in `training` gets its key and makes no record of a deployment; a promotion makes one."""
    for file, name, job in jobs(files):
        if environment := job.get("environment"):
            deploys = not (isinstance(environment, dict) and environment.get("deployment") == "false")
            yield name, None if deploys == (environment_of(job) == "production") else f"{file.name}: {name}"


def an_approval_waits_apart(files: Files) -> Found:
    """What waits for a reviewer holds its group for up to 30 days: it is a group of its own, and nothing ends it."""
    for file, name, job in jobs(files):
        if environment_of(job) != "production":
            continue
        wanted = {"group": "promote-${{ github.run_id }}", "cancel-in-progress": "false"}
        yield name, None if job.get("concurrency") == wanted else f"{name}: {job.get('concurrency')}"
        above = file.said["concurrency"]
        alone = "github.run_id" in above["group"]
        yield file.name, None if alone else f"{file.name}: {above['group']}"


def promote_asks_github(files: Files) -> Found:
    """Every promotion waits in `production`, beside a link to the version; asks GitHub who approved; names nobody."""
    for file, name, job in jobs(files):
        for step in job["steps"]:
            given = step.get("with", {})
            if given.get("step") != "promote":
                continue
            good = (
                job.get("environment") == {"name": "production", "url": "${{ needs.evaluate.outputs.url }}"}
                and given.get("asks-github") == "true"
                and "\"approval\": ${{ toJSON(vars.APPROVAL || 'github') }}" in given["flags"]
                and "approver" not in given["flags"]
            )
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}"


def the_comment_gets_its_files(files: Files) -> Found:
    """
    What is kept for the comment is every file that it draws from, of one step's folder, and no other. GitHub refuses a
    re-run's upload under a name that is there, unless it says `overwrite`.
    """
    script = (ROOT / ".github/actions/comment/comment.py").read_text(encoding="utf-8")
    wanted = set(re.findall(r'"(\w+\.(?:json|md))"', script))
    for file in of_workflows(files):
        for where, step in file.steps():
            if step.get("with", {}).get("name") != "report" or "path" not in step["with"]:
                continue
            if step["uses"].startswith("actions/upload-artifact@"):
                paths = [path.rpartition("/") for path in step["with"]["path"].splitlines()]
                alike = len({folder for folder, _, _ in paths}) == 1 and step["with"].get("overwrite") == "true"
                yield where, None if alike and {name for _, _, name in paths} == wanted else where
            else:
                yield where, None if step["with"]["path"] == "${{ runner.temp }}/report" else where


def values_reach_flags_as_json(files: Files) -> Found:
    """A flag's value is `${{ toJSON(...) }}` or a literal: no text of anybody ends the string it stands in."""
    for file, name, job in jobs(files):
        for step in job["steps"]:
            for line in step.get("with", {}).get("flags", "").strip().strip("{}").strip().splitlines():
                good = re.fullmatch(r' *"[a-z-]+": (\$\{\{ toJSON\([^{}]+\) \}\}|"[\w-]*"|true|false),?', line)
                yield f"{file.name}: {name}", None if good else line.strip()


def jobs_are_the_steps(files: Files) -> Found:
    """pipeline.yml has a job a step, in order, which takes what the runner's step takes and gives what it gives."""
    file = files["pipeline.yml"]
    names = [name for name in file.jobs if name in {step.name for step in STEPS}]
    yield file.name, None if names == [step.name for step in STEPS] else f"the jobs are {names}"
    maker = {output: step.name for step in STEPS for output in step.outputs}
    for step in STEPS:
        job = file.jobs.get(step.name, {"needs": [], "steps": [{"with": {"step": "", "flags": ""}}]})
        called = [given["with"] for given in job["steps"] if given.get("with", {}).get("step") == step.name]
        yield step.name, None if len(called) == 1 else f"{step.name} runs {len(called)} times"
        flags = called[0]["flags"] if called else ""
        for name in step.inputs:
            wanted = f'"{name}": ${{{{ toJSON(needs.{maker[name]}.outputs.{name}) }}}}'
            yield step.name, None if wanted in flags and maker[name] in job["needs"] else f"{step.name}: {name}"
        for name in step.outputs:
            wanted = f"${{{{ steps.run.outputs.{name} }}}}"
            yield step.name, None if job.get("outputs", {}).get(name) == wanted else f"{step.name} gives no {name}"
        known = {"use_case", "approval", *step.inputs, *step.flags}
        for flag in re.findall(r'"([a-z-]+)":', flags):
            yield step.name, None if flag.replace("-", "_") in known else f"{step.name} has no flag {flag}"


# --- who is asked ----------------------------------------------------------------------------------------------------

MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"
# What makes promote wait for a reviewer: event, ref, verdict, promote of a dispatch, touches the judge, PROMOTE_FROM,
# APPROVAL.
ASKS = {
    ("push", MAIN, "pass", None, "false", "", ""): True,
    ("push", MAIN, "pass", None, "false", "main", ""): True,
    ("push", MAIN, "pass", None, "false", "main", "merge"): True,
    ("push", MAIN, "unchanged", None, "false", "", ""): False,
    ("push", MAIN, "fail", None, "false", "", ""): False,
    ("push", MAIN, "", None, "false", "", ""): False,
    ("workflow_dispatch", MAIN, "pass", True, "false", "", ""): True,
    ("workflow_dispatch", MAIN, "pass", False, "false", "", ""): False,
    ("workflow_dispatch", MAIN, "fail", True, "false", "", ""): False,
    ("workflow_dispatch", "refs/heads/easy", "pass", True, "false", "", ""): False,
    ("workflow_dispatch", "refs/tags/main", "pass", True, "false", "", ""): False,
    ("pull_request", PULL, "pass", None, "false", "", ""): True,
    ("pull_request", PULL, "pass", None, "false", "pr", "github"): True,
    ("pull_request", PULL, "pass", None, "false", "main", ""): False,
    ("pull_request", PULL, "pass", None, "false", "", "merge"): False,
    ("pull_request", PULL, "pass", None, "false", "pr", "merge"): False,
    ("pull_request", PULL, "pass", None, "true", "", ""): False,
    ("pull_request", PULL, "pass", None, "", "", ""): False,
    ("pull_request", PULL, "unchanged", None, "false", "", ""): False,
}


@pytest.mark.parametrize("case", ASKS)
def test_promote_asks_whom_it_should(case):
    event, ref, verdict, promote, touches, promote_from, how = case
    values = {
        "needs.evaluate.outputs.verdict": verdict,
        "needs.images.outputs.touches-judge": touches,
        "github.event_name": event,
        "github.ref": ref,
        "vars.PROMOTE_FROM": promote_from,
        "vars.APPROVAL": how,
        "inputs.promote": promote,
    }
    assert holds(files()["pipeline.yml"].jobs["promote"]["if"], values) == ASKS[case]


@pytest.mark.parametrize(
    ("ref", "verdict", "asks"),
    [
        (MAIN, "pass", True),
        (MAIN, "unchanged", False),
        (MAIN, "fail", False),
        (MAIN, "", False),
        ("refs/heads/easy", "pass", False),
    ],
)
def test_a_version_is_promoted_by_hand_from_main_alone(ref, verdict, asks):
    values = {"needs.evaluate.outputs.verdict": verdict, "github.ref": ref}
    assert holds(files()["promote.yml"].jobs["promote"]["if"], values) == asks


def holds(condition: str, values: Mapping[str, Any]) -> bool:
    """A job's `if:`, whose operators mean in Python what they mean on GitHub for these values."""
    for name, value in values.items():
        assert name in condition
        condition = condition.replace(name, repr(value))
    return bool(eval(condition.replace("&&", "and").replace("||", "or"), {"__builtins__": {}}))  # noqa: S307


@pytest.mark.parametrize(
    ("event", "head", "login", "action", "job"),
    [
        ("push", "", "", "", ["images"]),
        ("workflow_dispatch", "", "", "", ["images"]),
        ("pull_request", "team/models", "ada", "opened", ["images"]),
        ("pull_request", "team/models", "ada", "closed", []),
        ("pull_request", "eve/models", "eve", "synchronize", ["fork"]),
        ("pull_request", "eve/models", "eve", "closed", []),
        ("pull_request", "team/models", "dependabot[bot]", "reopened", ["fork"]),
        ("pull_request", "team/models", "dependabot[bot]", "closed", []),
        ("pull_request", "eve/models", "dependabot[bot]", "opened", ["fork"]),
    ],
)
def test_who_has_no_secrets_runs_the_loop_without(event, head, login, action, job):
    """Of the two jobs that a workflow run can begin with, exactly this one runs; none when a pull request is closed."""
    values = {
        "github.event.action": action,
        "github.event.pull_request.head.repo.full_name": head,
        "github.event.pull_request.user.login": login,
        "github.event_name": event,
        "github.repository": "team/models",
    }
    pipeline = files()["pipeline.yml"]
    assert [name for name in ("images", "fork") if holds(pipeline.jobs[name]["if"], values)] == job
    begins = [name for name, job in pipeline.jobs.items() if "needs" not in job]
    assert begins == ["images", "fork"]


def test_closing_a_pull_request_ends_the_run_that_waits_for_it():
    """It is an event of the workflow whose group is that of the pull request, and it ends what runs there."""
    said = files()["pipeline.yml"].said
    assert said["on"]["pull_request"]["types"] == ["opened", "synchronize", "reopened", "closed"]
    assert said["concurrency"] == {
        "group": "pipeline-${{ github.event.pull_request.number || github.run_id }}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
    }


def test_the_check_that_a_ruleset_requires_also_runs_in_a_merge_queue():
    assert {"pull_request", "merge_group"} <= files()["ci.yml"].said["on"].keys()


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
    values = {
        "github.event.workflow_run.conclusion": conclusion,
        "startsWith(github.event.workflow_run.head_branch, 'dependabot/')": branch.startswith("dependabot/"),
        "github.event.workflow_run.head_repository.full_name": head,
        "github.event.workflow_run.event": event,
        "github.repository": "team/models",
    }
    assert holds(files()["comment.yml"].jobs["comment"]["if"], values) == comments


class Rule(NamedTuple):
    """A rule, the least number of places it must have looked at, and a violation: in file, this text for that."""

    check: Callable[[Files], Found]
    places: int
    file: str
    old: str
    new: str


RULES = [
    Rule(actions_are_pinned, 20, "ci.yml", "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7"),
    Rule(actions_are_pinned, 20, "ci.yml", " # v7.0.1", ""),
    Rule(actions_are_pinned, 20, "ci.yml", "3d3c42e5", "aaaaaaaa"),
    Rule(images_are_pinned, 15, "pipeline.yml", "images.outputs.images).train }}", "images.outputs.images).build }}"),
    Rule(images_are_pinned, 15, "pipeline.yml", "${{ fromJSON(needs.images.outputs.images).link }}", "link:latest"),
    Rule(images_are_pinned, 15, "pipeline.yml", "    environment:\n", "    container: python:3.11\n    environment:\n"),
    Rule(nothing_is_permitted_by_default, 2, "ci.yml", "permissions: {}\n\nconc", "permissions: read-all\n\nconc"),
    Rule(
        a_job_says_what_it_may_and_why, 20, "pipeline.yml", "contents: read # the files", "contents: write # the files"
    ),
    Rule(a_job_says_what_it_may_and_why, 20, "pipeline.yml", " # who approved this workflow run", ""),
    Rule(a_job_says_what_it_may_and_why, 20, "ci.yml", "    permissions:\n      contents: read # the code\n", ""),
    Rule(a_job_ends, 10, "pipeline.yml", "    timeout-minutes: 350\n", ""),
    Rule(a_checkout_keeps_no_token, 9, "pipeline.yml", "persist-credentials: false", "persist-credentials: true"),
    Rule(no_expression_in_shell, 5, "ci.yml", 'echo "$RESULTS"', 'echo "${{ github.head_ref }}"'),
    Rule(shell_is_short, 5, "ci.yml", '          echo "$RESULTS"\n', '          echo "$RESULTS"\n' * 10),
    Rule(a_step_has_a_name, 20, "ci.yml", "- name: Lint\n        run", "- run"),
    Rule(a_secret_stays_in_its_environment, 15, "pipeline.yml", "secrets.WANDB_API_KEY", "secrets.WANDB_PROMOTE_KEY"),
    Rule(a_secret_stays_in_its_environment, 15, "pipeline.yml", "      name: training\n", "      name: testing\n"),
    Rule(only_promote_deploys, 6, "pipeline.yml", "      deployment: false # promote alone deploys\n", ""),
    Rule(
        only_promote_deploys,
        6,
        "promote.yml",
        "      name: production\n",
        "      name: production\n      deployment: false\n",
    ),
    Rule(
        a_secret_stays_in_its_environment,
        15,
        "pipeline.yml",
        "  WANDB_ENTITY:",
        "  KEY: ${{ secrets.WANDB_API_KEY }}\n  WANDB_ENTITY:",
    ),
    Rule(no_trigger_runs_strangers_code_with_secrets, 2, "ci.yml", "  pull_request:\n", "  pull_request_target:\n"),
    Rule(an_approval_waits_apart, 2, "pipeline.yml", "group: promote-${{ github.run_id }}", "group: promote"),
    Rule(an_approval_waits_apart, 2, "pipeline.yml", "number || github.run_id }}", "number }}"),
    Rule(promote_asks_github, 2, "pipeline.yml", "toJSON(vars.APPROVAL || 'github')", "toJSON(github.actor)"),
    Rule(promote_asks_github, 2, "pipeline.yml", "name: production", "name: training"),
    Rule(promote_asks_github, 2, "promote.yml", "      url: ${{ needs.evaluate.outputs.url }}\n", ""),
    Rule(values_reach_flags_as_json, 20, "pipeline.yml", "${{ toJSON(inputs.policy) }}", '"${{ inputs.policy }}"'),
    Rule(the_comment_gets_its_files, 4, "pipeline.yml", "            ${{ runner.temp }}/evaluate/evidence.json\n", ""),
    Rule(the_comment_gets_its_files, 4, "pipeline.yml", "out/evaluate/evidence.json", "out/evaluate/evidence.txt"),
    Rule(the_comment_gets_its_files, 4, "pipeline.yml", "          overwrite: true # a re-run", "          # a re-run"),
    Rule(jobs_are_the_steps, 30, "pipeline.yml", "  link:\n    name: link", "  tie:\n    name: link"),
    Rule(jobs_are_the_steps, 30, "pipeline.yml", '"rows":', '"lines":'),
    Rule(jobs_are_the_steps, 30, "pipeline.yml", "toJSON(needs.link.outputs.version)", "toJSON('latest')"),
]


def files() -> dict[str, Workflow]:
    return {**workflows(), **actions()}


def violations(rule: Rule, of: Files) -> tuple[int, list[str]]:
    found = list(rule.check(of))
    return len(found), [wrong for _, wrong in found if wrong]


@pytest.mark.parametrize("rule", {rule.check: rule for rule in RULES}.values(), ids=lambda rule: rule.check.__name__)
def test_the_rule_holds(rule):
    looked_at, wrong = violations(rule, files())
    assert wrong == []
    assert looked_at >= rule.places


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.check.__name__}-{rule.new.strip()[:24]}")
def test_a_violation_that_is_planted_is_caught(rule):
    real = files()
    text = real[rule.file].text
    assert rule.old in text
    planted = {**real, rule.file: Workflow(rule.file, text.replace(rule.old, rule.new, 1))}
    assert violations(rule, planted)[1]


def test_the_page_names_every_permission_secret_and_variable_and_no_other():
    page = (ROOT / "docs/github.md").read_text()
    section = page.partition("## Permissions, secrets, variables")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"]
    said = {name: row[1] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    given: dict[str, set[str]] = {}
    for _, name, job in jobs(files()):
        for what, how in job["permissions"].items():
            given.setdefault(f"{what}: {how}", set()).add(name)
    secrets, variables = ({*re.findall(rf"\b{kind}\.(\w+)", str(files()))} for kind in ("secrets", "vars"))
    assert said.keys() == given.keys() | secrets | variables
    everybody = {name for _, name, _ in jobs(files())}
    for permission, who in given.items():
        named = set(re.findall(r"`(\w+)(?:\.yml)?`", said[permission]))
        named |= {step.name for step in STEPS} if said[permission] == "the steps" else set()
        assert who == (everybody - named if said[permission].startswith("all but") else named), permission
    assert {name: said[name].partition("`, ")[0].strip("`") for name in secrets} == SECRETS
