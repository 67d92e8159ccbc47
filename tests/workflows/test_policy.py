"""
The rules that every workflow here keeps, over the real files. A rule counts the places it looked at, and catches a
violation that is planted in a copy of the text.

    pytest tests/workflows/test_policy.py

act knows no environment, permission, timeout or concurrency, and no linter knows which secret belongs where: what
GitHub would enforce is held here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from runner import pipeline
from tests.workflows.files import ROOT, Workflow, actions, workflows

STEPS = [*pipeline.candidate([]), pipeline.PROMOTE]
# Which job may write what. Everything else may read at most.
MAY_WRITE = {
    ("model.yml", "images"): {"packages"},
    ("predict.yml", "images"): {"packages"},
    ("model.yml", "report"): {"checks", "pull-requests"},
    ("model.yml", "promote"): {"deployments"},
    ("model.yml", "audit"): {"issues"},
    ("pipeline.yml", "done"): {"checks"},
    ("model.yml", "attest"): {"attestations", "id-token", "packages"},
    ("judge.yml", "judge"): {"checks"},
    ("comment.yml", "comment"): {"checks", "pull-requests"},
    ("docs.yml", "deploy"): {"id-token", "pages"},
    ("release.yml", "images"): {"packages"},
    ("release.yml", "attest"): {"attestations", "id-token", "packages"},
    ("release.yml", "release"): {"contents"},
}
# What these keep with the workflow run is for people, or for the next job: no comment draws from it.
NO_REPORT = {"ci.yml", "docs.yml", "release.yml"}
PAGES = "github-pages"
# Which environment's jobs may name which secret. The second key's is that of the use case.
PRODUCTION = "${{ inputs.environment }}"
SECRETS = {"DATA_TOKEN": "training", "WANDB_API_KEY": "training", "WANDB_PROMOTE_KEY": PRODUCTION}
SECRETS |= dict.fromkeys(("PROMOTION_DISPATCH_TOKEN", "PROMOTION_WEBHOOK_SECRET", "PROMOTION_WEBHOOK_URL"), PRODUCTION)
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


def called(job: dict[str, Any]) -> str | None:
    """The workflow file of ours that a job calls."""
    return job["uses"].removeprefix("./.github/workflows/") if "uses" in job else None


def environment_of(job: dict[str, Any]) -> str:
    environment = job.get("environment", "")
    return environment["name"] if isinstance(environment, dict) else environment


def actions_are_pinned(files: Files) -> Found:
    """By a full SHA with the version next to it, and one action by one SHA everywhere; our own from the checkout."""
    versions: dict[str, str] = {}
    for file in every(files):
        for line in file.text.splitlines():
            if not (found := re.search(r"^\s*-? *uses: *(\S+)(.*)$", line)):
                continue
            use, comment = found[1], found[2]
            if use.startswith(("./.github/actions/", "./.github/workflows/")):
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
        for step in job.get("steps", []):
            if step.get("uses") != "./.github/actions/run-step":
                continue
            image = "promote" if step["with"].get("module") == "steps.audit" else step["with"]["step"]
            wanted = f"${{{{ fromJSON(needs.images.outputs.images).{image} }}}}"
            yield name, None if step["with"]["image"] == wanted else step["with"]["image"]


def images_that_are_there_are_verified(files: Files) -> Found:
    """Where images are attested, whoever takes those that are there asks who built each; the jobs that do may ask."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            if step.get("uses") == "./.github/actions/push-images":
                attest = step["with"].get("attest") == "${{ vars.ATTEST }}"
                good = attest and job["permissions"].get("attestations") == "read"
                yield f"{file.name}: {name}", None if good else f"{file.name}: {name}"
    steps = {step.get("id"): step for _, step in files["push-images"].steps()}
    asked = steps.get("attested", {}).get("env", {}).get("ATTEST")
    yield "push-images: attested", None if asked == "${{ inputs.attest }}" else f"it asks with {asked}"
    for name, wanted in (("VERIFY", "${{ steps.attested.outputs.attested }}"), ("GH_TOKEN", "${{ github.token }}")):
        given = steps["push"]["env"].get(name)
        yield f"push-images: {name}", None if given == wanted else f"{name}: {given}"


def what_is_done_is_written_once(files: Files) -> Found:
    """
    The login to the image registry, the attestation and the push of images are each one step of one file. And no two
    steps follow each other in two places: together they are an action. A checkout does not count, which each job needs.
    """
    for name in ("docker/login-action@", "actions/attest@", "/push_images.py", "/attested.py"):
        where = [where for file in every(files) for where, step in file.steps() if name in str(step)]
        yield name, None if len(where) == 1 else f"{name}: {where}"
    seen: dict[tuple[str, str], str] = {}
    for where, steps in sequences(files):
        done = [what_it_does(step) for step in steps if not step.get("uses", "").startswith("actions/checkout@")]
        for pair in itertools.pairwise(done):
            yield where, f"{where}: {pair} is in {seen[pair]}, too" if pair in seen else None
            seen[pair] = where


def sequences(files: Files) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The steps of every job, and of every action."""
    for file in every(files):
        yield file.name, file.said.get("runs", {}).get("steps", [])
    for file, name, job in jobs(files):
        yield f"{file.name}: {name}", job.get("steps", [])


def what_it_does(step: dict[str, Any]) -> str:
    """One of our own actions, and of run-step which step; one of others, with what it gets; or a shell."""
    use, given = step.get("uses", ""), step.get("with", {})
    if use.startswith("./"):
        return f"{use} {given.get('step', '')}"
    return f"{use} {given}" if use else f"{step['run']} {step.get('env', {}).get('SCRIPT', '')}"


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
            allowed = how == "read" or called(job) or what in MAY_WRITE.get((file.name, name), ())
            yield name, None if reason and allowed else f"{name}: {what}: {how}"


def a_call_permits_what_is_called(files: Files) -> Found:
    """A called workflow gets no more than its caller gives, and needs all of it: what its jobs need, added up."""
    for file, name, job in jobs(files):
        if of := called(job):
            needed: dict[str, str] = {}
            for other in files[of].jobs.values():
                for what, how in other["permissions"].items():
                    needed[what] = "write" if "write" in (how, needed.get(what)) else how
            yield f"{file.name}: {name}", None if job["permissions"] == needed else f"{file.name}: {name}: {needed}"


def only_our_own_is_called_with_secrets(files: Files) -> Found:
    """`secrets: inherit` is how a called job gets those of its environment, so only a workflow of ours is called."""
    for file, name, job in jobs(files):
        if "uses" in job:
            good = called(job) in files and job.get("secrets") == "inherit"
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}: {job['uses']}"


def a_model_stops_no_other(files: Files) -> Found:
    """Models are a matrix of calls, each with outputs of its own, and a failure of one does not cancel the others."""
    wanted = "${{ fromJSON(needs.changed.result == 'success' && needs.changed.outputs.models || '[]') }}"
    for file, name, job in jobs(files):
        if called(job) == "model.yml":
            good = job["strategy"] == {"fail-fast": "false", "matrix": {"model": wanted}}
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}: {job['strategy']}"


def a_use_case_chooses_its_runners(files: Files) -> Found:
    """Those of `train` and `evaluate` are what `[runs_on]` says, which their caller passes on; the rest are hosted."""
    for file, name, job in jobs(files):
        if called(job) == "model.yml":
            given = job["with"].get("runs-on")
            yield f"{file.name}: {name}", None if given == "${{ toJSON(matrix.model.runs-on) }}" else f"{given}"
        if not called(job):
            chosen = file.name == "model.yml" and name in ("train", "evaluate")
            wanted = f"${{{{ fromJSON(inputs.runs-on).{name} }}}}" if chosen else "ubuntu-24.04"
            yield f"{file.name}: {name}", None if job["runs-on"] == wanted else f"{file.name}: {name}: {job['runs-on']}"


def a_check_has_one_name(files: Files) -> Found:
    """A ruleset knows a check by its job's name alone, so no two jobs of a pull request share one."""
    seen: dict[str, str] = {}
    for file, name, job in jobs(files):
        if {"pull_request", "merge_group"} & file.said["on"].keys():
            first = seen.setdefault(job["name"], f"{file.name}: {name}")
            yield first, None if first == f"{file.name}: {name}" else f"{file.name}: {name} is called like {first}"


def a_job_ends(files: Files) -> Found:
    for _, name, job in jobs(files):
        if called(job):
            continue  # each of its jobs ends
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
        for secret in names_of_secrets(job.get("steps", [])):
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
    """A job in `training` gets its key and makes no record of a deployment; a promotion and the site make one."""
    for file, name, job in jobs(files):
        if environment := job.get("environment"):
            deploys = not (isinstance(environment, dict) and environment.get("deployment") == "false")
            may = environment_of(job) == PRODUCTION or (file.name, environment_of(job)) == ("docs.yml", PAGES)
            yield name, None if deploys == may else f"{file.name}: {name}"


def an_approval_waits_apart(files: Files) -> Found:
    """What waits for a reviewer holds its group for up to 30 days: it is a group of its own, and nothing ends it."""
    for file, name, job in jobs(files):
        if environment_of(job) == PRODUCTION:
            wanted = {"group": "promote-${{ github.run_id }}-${{ inputs.use-case }}", "cancel-in-progress": "false"}
            yield name, None if job.get("concurrency") == wanted else f"{name}: {job.get('concurrency')}"
        if called(job) == "model.yml":
            above = file.said["concurrency"]
            alone = "github.run_id" in above["group"]
            yield file.name, None if alone else f"{file.name}: {above['group']}"


def promote_asks_github(files: Files) -> Found:
    """Every promotion waits in its environment, next to a link to the version; asks GitHub who approved; names none."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            given = step.get("with", {})
            if given.get("step") != "promote":
                continue
            good = (
                job.get("environment") == {"name": PRODUCTION, "url": "${{ needs.evaluate.outputs.url }}"}
                and given.get("asks-github") == "true"
                and "\"approval\": ${{ toJSON(vars.APPROVAL || 'github') }}" in given["flags"]
                and "approver" not in given["flags"]
            )
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}"


def the_comment_gets_its_files(files: Files) -> Found:
    """
    What is kept for the comment is every file that it draws from, of one step's folder, and no other, under the name of
    the use case. GitHub refuses a re-run's upload under a name that is there, unless it says `overwrite`.
    """
    script = (ROOT / ".github/actions/report/report.py").read_text(encoding="utf-8")
    wanted = set(re.findall(r'"(\w+\.(?:json|md))"', script))
    for file in of_workflows(files):
        for where, step in file.steps():
            if "artifact@" not in step.get("uses", "") or file.name in NO_REPORT:
                continue
            if file.name == "predict.yml":  # its answers are for people, and no comment draws from them
                kept = {path.rpartition("/")[2] for path in step["with"]["path"].splitlines()}
                yield where, None if kept == {"answers.parquet", "result.json"} else where
            elif step["uses"].startswith("actions/upload-artifact@"):
                paths = [path.rpartition("/") for path in step["with"]["path"].splitlines()]
                alike = len({folder for folder, _, _ in paths}) == 1 and step["with"].get("overwrite") == "true"
                named = re.fullmatch(r"report-\$\{\{ (inputs\.use-case|matrix\.model\.name) \}\}", step["with"]["name"])
                yield where, None if alike and named and {name for _, _, name in paths} == wanted else where
            else:
                named = step["with"]["pattern"].startswith("report-")
                yield where, None if named and step["with"]["path"] == "${{ runner.temp }}/reports" else where


def values_reach_flags_as_json(files: Files) -> Found:
    """A flag's value is `${{ toJSON(...) }}` or a literal: no text of anybody ends the string it stands in."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            for line in step.get("with", {}).get("flags", "").strip().strip("{}").strip().splitlines():
                good = re.fullmatch(
                    r' *"[a-z][a-z0-9-]*": (\$\{\{ toJSON\([^{}]+\) \}\}|"[\w/.-]*"|true|false),?', line
                )
                yield f"{file.name}: {name}", None if good else line.strip()


def what_was_judged_is_promoted(files: Files) -> Found:
    """Promote gets the hash of the evidence: its name may be of another file by the time of the approval."""
    file = files["model.yml"]
    (step,) = [one["with"] for one in file.jobs["promote"]["steps"] if one.get("with", {}).get("step") == "promote"]
    wanted = '"evidence-sha256": ${{ toJSON(needs.evaluate.outputs.evidence_sha256) }}'
    yield "promote", None if wanted in step["flags"] else "no hash of the evidence"
    given = file.jobs["evaluate"]["outputs"].get("evidence_sha256")
    yield "evaluate", None if given == "${{ steps.run.outputs.evidence_sha256 }}" else "it gives no hash"


def jobs_are_the_steps(files: Files) -> Found:
    """model.yml has a job per step, in order, which takes what the runner's step takes and gives what it gives."""
    file = files["model.yml"]
    names = [name for name in file.jobs if name in {step.name for step in STEPS}]
    yield file.name, None if names == [step.name for step in STEPS] else f"the jobs are {names}"
    maker = {output: step.name for step in STEPS for output in step.outputs}
    for step in STEPS:
        job = file.jobs.get(step.name, {"needs": [], "steps": [{"with": {"step": "", "flags": ""}}]})
        ran = [given["with"] for given in job["steps"] if given.get("with", {}).get("step") == step.name]
        yield step.name, None if len(ran) == 1 else f"{step.name} runs {len(ran)} times"
        flags = ran[0]["flags"] if ran else ""
        for name in step.inputs:
            of = f"needs.{maker[name]}.outputs.{name}"
            if step.name == "evaluate":  # a version that exists has no build and no link before it
                of = f"inputs.version || {of}" if name == "version" else f"inputs.version == '' && {of} || ''"
            wanted = f'"{name}": ${{{{ toJSON({of}) }}}}'
            yield step.name, None if wanted in flags and maker[name] in job["needs"] else f"{step.name}: {name}"
        for name in step.outputs:
            wanted = f"${{{{ steps.run.outputs.{name} }}}}"
            yield step.name, None if job.get("outputs", {}).get(name) == wanted else f"{step.name} gives no {name}"
        known = {"use_case", "approval", "reason", *step.inputs, *step.flags}
        for flag in re.findall(r'"([a-z-]+)":', flags):
            yield step.name, None if flag.replace("-", "_") in known else f"{step.name} has no flag {flag}"


# --- what starts a workflow, and what ends it ------------------------------------------------------------------------


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


def test_each_job_of_the_tests_makes_its_environment_with_its_own_python():
    """A runner has several, of which the newest would be taken: then no job tests the oldest."""
    said = files()["ci.yml"].said["jobs"]["test"]
    (step,) = [step for step in said["steps"] if step.get("run") == ".ci/run tests"]
    assert step["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert said["strategy"]["matrix"]["python"][0] == "3.11"


class Rule(NamedTuple):
    """A rule, the least number of places it must have looked at, and a violation: in file, this text for that."""

    check: Callable[[Files], Found]
    places: int
    file: str
    old: str
    new: str


PUSH = "      - name: Push the image\n"
TWO_OF_PIPELINE = """      - uses: ./.github/actions/find-use-cases
      - uses: ./.github/actions/touches-judge
"""
RULES = [
    Rule(actions_are_pinned, 20, "ci.yml", "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "v7"),
    Rule(actions_are_pinned, 20, "ci.yml", " # v7.0.1", ""),
    Rule(actions_are_pinned, 20, "ci.yml", "3d3c42e5", "aaaaaaaa"),
    Rule(images_are_pinned, 12, "model.yml", "images.outputs.images).train }}", "images.outputs.images).build }}"),
    Rule(images_are_pinned, 12, "model.yml", "${{ fromJSON(needs.images.outputs.images).link }}", "link:latest"),
    Rule(
        images_are_pinned,
        12,
        "model.yml",
        "    needs: images\n    runs",
        "    container: x\n    needs: images\n    runs",
    ),
    Rule(images_that_are_there_are_verified, 5, "model.yml", "          attest: ${{ vars.ATTEST }}\n", ""),
    Rule(
        images_that_are_there_are_verified,
        5,
        "predict.yml",
        "      attestations: read # who built an existing image",
        "      #",
    ),
    Rule(images_that_are_there_are_verified, 5, "push-images", "ATTEST: ${{ inputs.attest }}", 'ATTEST: ""'),
    Rule(
        images_that_are_there_are_verified,
        5,
        "push-images",
        "${{ steps.attested.outputs.attested }}\n        GH",
        "\n        GH",
    ),
    Rule(images_that_are_there_are_verified, 5, "push-images", "        GH_TOKEN: ${{ github.token }}", "        #"),
    Rule(what_is_done_is_written_once, 20, "predict.yml", PUSH, TWO_OF_PIPELINE + PUSH),
    Rule(what_is_done_is_written_once, 20, "ci.yml", "run: .ci/run lint", "run: .ci/run share_of_prove"),
    Rule(what_is_done_is_written_once, 20, "push-images", "./.github/actions/log-in", "docker/login-action@v4"),
    Rule(nothing_is_permitted_by_default, 2, "ci.yml", "permissions: {}\n\nconc", "permissions: read-all\n\nconc"),
    Rule(a_job_says_what_it_may_and_why, 20, "model.yml", "contents: read # the files", "contents: write # the files"),
    Rule(a_job_says_what_it_may_and_why, 20, "model.yml", " # who approved this workflow run", ""),
    Rule(a_job_says_what_it_may_and_why, 20, "release.yml", "contents: read # the code", "contents: write # the code"),
    Rule(
        a_job_says_what_it_may_and_why, 20, "docs.yml", "contents: read # the documents", "pages: write # the documents"
    ),
    Rule(a_job_says_what_it_may_and_why, 20, "ci.yml", "    permissions:\n      contents: read # the code\n", ""),
    Rule(a_job_ends, 10, "model.yml", "    timeout-minutes: 350\n", ""),
    Rule(a_checkout_keeps_no_token, 9, "model.yml", "persist-credentials: false", "persist-credentials: true"),
    Rule(no_expression_in_shell, 5, "ci.yml", 'echo "$RESULTS"', 'echo "${{ github.head_ref }}"'),
    Rule(shell_is_short, 5, "ci.yml", '          echo "$RESULTS"\n', '          echo "$RESULTS"\n' * 10),
    Rule(a_step_has_a_name, 20, "ci.yml", "- name: Lint\n        run", "- run"),
    Rule(a_secret_stays_in_its_environment, 15, "model.yml", "secrets.WANDB_API_KEY", "secrets.WANDB_PROMOTE_KEY"),
    Rule(a_secret_stays_in_its_environment, 15, "model.yml", "      name: training\n", "      name: testing\n"),
    Rule(only_promote_deploys, 5, "model.yml", "      deployment: false # promote alone deploys\n", ""),
    Rule(only_promote_deploys, 5, "docs.yml", "      name: github-pages\n", "      name: elsewhere\n"),
    Rule(
        only_promote_deploys,
        5,
        "model.yml",
        "      name: ${{ inputs.environment }}\n",
        "      name: ${{ inputs.environment }}\n      deployment: false\n",
    ),
    Rule(
        a_secret_stays_in_its_environment,
        15,
        "model.yml",
        "  WANDB_ENTITY:",
        "  KEY: ${{ secrets.WANDB_API_KEY }}\n  WANDB_ENTITY:",
    ),
    Rule(no_trigger_runs_strangers_code_with_secrets, 2, "ci.yml", "  pull_request:\n", "  pull_request_target:\n"),
    Rule(an_approval_waits_apart, 3, "model.yml", "group: promote-${{ github.run_id }}-", "group: promote-"),
    Rule(an_approval_waits_apart, 3, "pipeline.yml", "number || github.run_id }}", "number }}"),
    Rule(promote_asks_github, 1, "model.yml", "toJSON(vars.APPROVAL || 'github')", "toJSON(github.actor)"),
    Rule(promote_asks_github, 1, "model.yml", "name: ${{ inputs.environment }}", "name: production"),
    Rule(promote_asks_github, 1, "model.yml", "      url: ${{ needs.evaluate.outputs.url }}\n", ""),
    Rule(values_reach_flags_as_json, 20, "model.yml", "${{ toJSON(inputs.policy) }}", '"${{ inputs.policy }}"'),
    Rule(what_was_judged_is_promoted, 2, "model.yml", '"evidence-sha256": ', '"evidence-sha1": '),
    Rule(what_was_judged_is_promoted, 2, "model.yml", "      evidence_sha256: ${{", "      evidence_hash: ${{"),
    Rule(the_comment_gets_its_files, 4, "model.yml", "            ${{ runner.temp }}/evaluate/evidence.json\n", ""),
    Rule(the_comment_gets_its_files, 4, "pipeline.yml", "out/evaluate/evidence.json", "out/evaluate/evidence.txt"),
    Rule(the_comment_gets_its_files, 4, "model.yml", "          overwrite: true # a re-run", "          # a re-run"),
    Rule(jobs_are_the_steps, 30, "model.yml", "  link:\n    name: link", "  tie:\n    name: link"),
    Rule(jobs_are_the_steps, 30, "model.yml", '"rows":', '"lines":'),
    Rule(jobs_are_the_steps, 30, "model.yml", "toJSON(needs.train.outputs.model)", "toJSON('latest')"),
    Rule(a_call_permits_what_is_called, 2, "pipeline.yml", "      id-token: write # att", "      id-token: read # att"),
    Rule(a_call_permits_what_is_called, 2, "promote.yml", "      packages: write # the images\n", ""),
    Rule(a_call_permits_what_is_called, 2, "model.yml", "      id-token: write # it", "      issues: write # it"),
    Rule(only_our_own_is_called_with_secrets, 2, "pipeline.yml", "./.github/workflows/model.yml", "a/b/x.yml@main"),
    Rule(only_our_own_is_called_with_secrets, 2, "promote.yml", "secrets: inherit", "secrets: {}"),
    Rule(a_model_stops_no_other, 2, "pipeline.yml", "fail-fast: false #", "fail-fast: true #"),
    Rule(a_use_case_chooses_its_runners, 20, "model.yml", "${{ fromJSON(inputs.runs-on).train }}", "ubuntu-24.04"),
    Rule(a_use_case_chooses_its_runners, 20, "model.yml", "(inputs.runs-on).evaluate", "(inputs.runs-on).train"),
    Rule(a_use_case_chooses_its_runners, 20, "pipeline.yml", "toJSON(matrix.model.runs-on)", "'{}'"),
    Rule(a_use_case_chooses_its_runners, 20, "judge.yml", "runs-on: ubuntu-24.04", "runs-on: self-hosted"),
    Rule(a_check_has_one_name, 5, "pipeline.yml", "    name: models\n", "    name: done\n"),
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
    page = (ROOT / "docs/how-to/github.md").read_text()
    section = page.partition("## Permissions, secrets, variables")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:3] == "| `"]
    said = {name: row[1] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    given: dict[str, set[str]] = {}
    for _, name, job in jobs(files()):
        for what, how in ({} if called(job) else job["permissions"]).items():
            given.setdefault(f"{what}: {how}", set()).add(name)
    secrets, variables = ({*re.findall(rf"\b{kind}\.(\w+)", str(files()))} for kind in ("secrets", "vars"))
    assert said.keys() == given.keys() | secrets | variables
    everybody = {name for _, name, job in jobs(files()) if not called(job)}
    for permission, who in given.items():
        named = set(re.findall(r"`(\w+)(?:\.yml)?`", said[permission]))
        named |= {step.name for step in STEPS} if said[permission].startswith("the steps") else set()
        assert who == (everybody - named if said[permission].startswith("all but") else named), permission
    environments = {name: said[name].partition("`, ")[0].strip("`") for name in secrets}
    assert environments == {name: where.replace(PRODUCTION, "production") for name, where in SECRETS.items()}
