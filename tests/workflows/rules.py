"""
The rules of every workflow here. Each goes over the files and yields the places that it checked, and what is wrong
there. test_policy.py applies them to the real files and to planted violations.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runner import pipeline
from tests.workflows.files import ROOT, Workflow

STEPS = [*pipeline.list_candidate_steps([]), pipeline.PROMOTE]

# Which job may write what. Everything else may only read.
MAY_WRITE = {
    ("model.yml", "images"): {"packages"},
    ("predict.yml", "images"): {"packages"},
    ("model.yml", "report"): {"checks", "pull-requests"},
    ("model.yml", "promote"): {"deployments"},
    ("model.yml", "audit"): {"issues"},
    ("pipeline.yml", "models"): {"checks"},
    ("model.yml", "attest"): {"attestations", "id-token", "packages"},
    ("comment.yml", "comment"): {"checks", "pull-requests"},
    ("docs.yml", "deploy"): {"id-token", "pages"},
    ("release.yml", "images"): {"packages"},
    ("release.yml", "attest"): {"attestations", "id-token", "packages"},
    ("release.yml", "release"): {"contents"},
}

# What these upload to the workflow run is for people or for the next job: no comment uses it.
NO_REPORT = {"ci.yml", "docs.yml", "release.yml"}
PAGES = "github-pages"

# Which environment's jobs may name which secret. The second key is in the use case's environment.
PRODUCTION = "${{ inputs.environment }}"
SECRETS = {"DATA_TOKEN": "training", "WANDB_API_KEY": "training", "WANDB_PROMOTE_KEY": PRODUCTION}
SECRETS |= dict.fromkeys(("PROMOTION_DISPATCH_TOKEN", "PROMOTION_WEBHOOK_SECRET", "PROMOTION_WEBHOOK_URL"), PRODUCTION)
MAX_SHELL_LINES = 10
Files = Mapping[str, Workflow]
Findings = Iterator[tuple[str, str | None]]  # a place that was checked, and what is wrong there, or None


def every(files: Files) -> list[Workflow]:
    return [*files.values()]


def of_workflows(files: Files) -> list[Workflow]:
    return [file for file in files.values() if file.jobs]


def jobs(files: Files) -> Iterator[tuple[Workflow, str, dict[str, Any]]]:
    for file in of_workflows(files):
        for name, job in file.jobs.items():
            yield file, name, job


def called(job: dict[str, Any]) -> str | None:
    """Return our workflow file that a job calls."""
    return job["uses"].removeprefix("./.github/workflows/") if "uses" in job else None


def environment_of(job: dict[str, Any]) -> str:
    environment = job.get("environment", "")
    return environment["name"] if isinstance(environment, dict) else environment


def actions_are_pinned(files: Files) -> Findings:
    """Actions are pinned by a full SHA, the same everywhere, with the version next to it; our own are local."""
    versions: dict[str, str] = {}
    for file in every(files):
        for line in file.text.splitlines():
            if not (match := re.search(r"^\s*-? *uses: *(\S+)(.*)$", line)):
                continue
            use, comment = match[1], match[2]
            if use.startswith(("./.github/actions/", "./.github/workflows/")):
                yield file.name, None
                continue
            name, _, sha = use.partition("@")
            good = re.fullmatch(r"[0-9a-f]{40}", sha) and re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
            same = versions.setdefault(name, f"{sha}{comment}") == f"{sha}{comment}"
            yield file.name, None if good and same else line.strip()


def images_are_pinned(files: Files) -> Findings:
    """A step's image is its own and comes by digest from the job `images`; no job runs in a `container:`."""
    for _, name, job in jobs(files):
        yield name, "runs in a container" if "container" in job or "services" in job else None
        for step in job.get("steps", []):
            if step.get("uses") != "./.github/actions/run-step":
                continue
            image = "promote" if step["with"].get("module") == "steps.audit" else step["with"]["step"]
            wanted = f"${{{{ fromJSON(needs.images.outputs.images).{image} }}}}"
            yield name, None if step["with"]["image"] == wanted else step["with"]["image"]


def images_that_are_there_are_verified(files: Files) -> Findings:
    """If images are attested, a job that reuses an image checks who built it, and has the permission for that."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            if step.get("uses") == "./.github/actions/push-images":
                attest = step["with"].get("attest") == "${{ vars.ATTEST }}"
                good = attest and job["permissions"].get("attestations") == "read"
                yield f"{file.name}: {name}", None if good else f"{file.name}: {name}"
    steps = {step.get("id"): step for _, step in files["push-images"].steps()}
    mode = steps.get("attested", {}).get("env", {}).get("ATTEST")
    yield "push-images: attested", None if mode == "${{ inputs.attest }}" else f"it asks with {mode}"
    for name, wanted in (("VERIFY", "${{ steps.attested.outputs.attested }}"), ("GH_TOKEN", "${{ github.token }}")):
        value = steps["push"]["env"].get(name)
        yield f"push-images: {name}", None if value == wanted else f"{name}: {value}"


def what_is_done_is_written_once(files: Files) -> Findings:
    """
    The login to the image registry, the attestation and the push of images are each one step of one file. And no two
    steps follow each other in two places: together they are an action. A checkout does not count, which each job needs.
    """
    for name in ("docker/login-action@", "actions/attest@", "/push_images.py", "/attested.py"):
        location = [location for file in every(files) for location, step in file.steps() if name in str(step)]
        yield name, None if len(location) == 1 else f"{name}: {location}"
    seen: dict[tuple[str, str], str] = {}
    for location, steps in sequences(files):
        done = [what_it_does(step) for step in steps if not step.get("uses", "").startswith("actions/checkout@")]
        for pair in itertools.pairwise(done):
            yield location, f"{location}: {pair} is in {seen[pair]}, too" if pair in seen else None
            seen[pair] = location


def sequences(files: Files) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the steps of every job, and of every action."""
    for file in every(files):
        yield file.name, file.content.get("runs", {}).get("steps", [])
    for file, name, job in jobs(files):
        yield f"{file.name}: {name}", job.get("steps", [])


def what_it_does(step: dict[str, Any]) -> str:
    """Return what a step does: our action (and run-step's step), a third-party one with its inputs, or a shell."""
    use, inputs = step.get("uses", ""), step.get("with", {})
    if use.startswith("./"):
        return f"{use} {inputs.get('step', '')}"
    return f"{use} {inputs}" if use else f"{step['run']} {step.get('env', {}).get('SCRIPT', '')}"


def nothing_is_permitted_by_default(files: Files) -> Findings:
    for file in of_workflows(files):
        yield file.name, None if file.content.get("permissions") == {} else "permissions at the top are not {}"


def a_job_says_what_it_may_and_why(files: Files) -> Findings:
    """A job has its own permissions, each with a reason on its line, and writes only what this file's list allows."""
    for file, name, job in jobs(files):
        permissions = job.get("permissions")
        if not isinstance(permissions, dict):
            yield name, "no permissions of its own"
            continue
        yield name, None
        for permission, access in permissions.items():
            reason = re.search(rf"^ {{6}}{permission}: {access} # \S.{{6,}}$", file.text_of(name), re.MULTILINE)
            allowed = access == "read" or called(job) or permission in MAY_WRITE.get((file.name, name), ())
            yield name, None if reason and allowed else f"{name}: {permission}: {access}"


def a_call_permits_what_is_called(files: Files) -> Findings:
    """A called workflow gets no more than its caller gives, and needs all of it: what its jobs need, added up."""
    for file, name, job in jobs(files):
        if of := called(job):
            needed: dict[str, str] = {}
            for other in files[of].jobs.values():
                for permission, access in other["permissions"].items():
                    needed[permission] = "write" if "write" in (access, needed.get(permission)) else access
            yield f"{file.name}: {name}", None if job["permissions"] == needed else f"{file.name}: {name}: {needed}"


def only_our_own_is_called_with_secrets(files: Files) -> Findings:
    """`secrets: inherit` is how a called job gets those of its environment, so only a workflow of ours is called."""
    for file, name, job in jobs(files):
        if "uses" in job:
            good = called(job) in files and job.get("secrets") == "inherit"
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}: {job['uses']}"


def a_model_stops_no_other(files: Files) -> Findings:
    """Models are a matrix of calls, each with outputs of its own, and a failure of one does not cancel the others."""
    wanted = "${{ fromJSON(needs.changed.result == 'success' && needs.changed.outputs.models || '[]') }}"
    for file, name, job in jobs(files):
        if called(job) == "model.yml":
            good = job["strategy"] == {"fail-fast": "false", "matrix": {"model": wanted}}
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}: {job['strategy']}"


def a_use_case_chooses_its_runners(files: Files) -> Findings:
    """`train` and `evaluate` run where `[runs_on]` says, which their caller passes on; the other jobs are hosted."""
    for file, name, job in jobs(files):
        if called(job) == "model.yml":
            runs_on = job["with"].get("runs-on")
            yield f"{file.name}: {name}", None if runs_on == "${{ toJSON(matrix.model.runs-on) }}" else f"{runs_on}"
        if not called(job):
            chosen = file.name == "model.yml" and name in ("train", "evaluate")
            wanted = f"${{{{ fromJSON(inputs.runs-on).{name} }}}}" if chosen else "ubuntu-24.04"
            yield f"{file.name}: {name}", None if job["runs-on"] == wanted else f"{file.name}: {name}: {job['runs-on']}"


def a_check_has_one_name(files: Files) -> Findings:
    """A ruleset knows a check by its job's name alone, so no two jobs of a pull request share one."""
    seen: dict[str, str] = {}
    for file, name, job in jobs(files):
        if {"pull_request", "pull_request_target", "merge_group"} & file.content["on"].keys():
            first = seen.setdefault(job["name"], f"{file.name}: {name}")
            yield first, None if first == f"{file.name}: {name}" else f"{file.name}: {name} is called like {first}"


def a_job_ends(files: Files) -> Findings:
    for _, name, job in jobs(files):
        if called(job):
            continue  # each of its jobs has a timeout
        minutes = job.get("timeout-minutes", "")
        yield name, None if minutes.isdigit() and int(minutes) <= 360 else f"{name} has no timeout"


def a_checkout_keeps_no_token(files: Files) -> Findings:
    for file in every(files):
        for location, step in file.steps():
            if step.get("uses", "").startswith("actions/checkout@"):
                keeps_token = step.get("with", {}).get("persist-credentials") != "false"
                yield location, location if keeps_token else None


def no_expression_in_shell(files: Files) -> Findings:
    for file in every(files):
        for location, step in file.steps():
            if "run" in step:
                yield location, location if "${{" in step["run"] else None


def shell_is_short(files: Files) -> Findings:
    for file in every(files):
        for location, step in file.steps():
            if "run" in step:
                yield location, location if len(step["run"].strip().splitlines()) > MAX_SHELL_LINES else None


def a_step_has_a_name(files: Files) -> Findings:
    for file in every(files):
        for location, step in file.steps():
            yield location, None if step.get("name", "")[:1].isupper() else location


def a_secret_stays_in_its_environment(files: Files) -> Findings:
    """This includes the token: only the step that needs it has it in `env:` or `with:`, not a job or a workflow."""
    for file in of_workflows(files):
        outside = {key: value for key, value in file.content.items() if key != "jobs"}
        yield file.name, "a secret for every job" if names_of_secrets(outside) else None
    for _, name, job in jobs(files):
        shared = {key: value for key, value in job.items() if key != "steps"}
        yield name, f"{name}: a secret for every step" if names_of_secrets(shared) else None
        for secret in names_of_secrets(job.get("steps", [])):
            yield name, None if SECRETS.get(secret) == environment_of(job) else f"{name} names {secret}"


def names_of_secrets(value: object) -> set[str]:
    text = str(value)
    return set(re.findall(r"secrets\.(\w+)", text)) | (
        {"?"} if re.search(r"secrets\[|toJSON\(secrets", text) else set()
    )


def no_trigger_runs_strangers_code_with_secrets(files: Files) -> Findings:
    """
    `pull_request_target` starts judge.yml alone: it checks out main's actions, of no other commit or repository, may
    only read, is in no environment, names no secret, and runs only those actions.
    """
    for file in of_workflows(files):
        if "pull_request_target" not in file.content["on"]:
            yield file.name, None
            continue
        checkout, *others = [step for _, step in file.steps()]
        good = (
            file.name == "judge.yml"
            and all(
                job["permissions"] == {"contents": "read"} and "environment" not in job for job in file.jobs.values()
            )
            and not names_of_secrets(file.content)
            and checkout["uses"].startswith("actions/checkout@")
            and checkout["with"] == {"persist-credentials": "false", "sparse-checkout": ".github/actions"}
            and all(re.fullmatch(r"python3 \.github/actions/[\w/.-]+", step.get("run", "")) for step in others)
        )
        yield file.name, None if good else f"{file.name}: pull_request_target"


def only_promote_deploys(files: Files) -> Findings:
    """A job in `training` gets its key and makes no record of a deployment; a promotion and the site make one."""
    for file, name, job in jobs(files):
        if environment := job.get("environment"):
            deploys = not (isinstance(environment, dict) and environment.get("deployment") == "false")
            may = environment_of(job) == PRODUCTION or (file.name, environment_of(job)) == ("docs.yml", PAGES)
            yield name, None if deploys == may else f"{file.name}: {name}"


def an_approval_waits_apart(files: Files) -> Findings:
    """A job that waits for a reviewer holds its group for up to 30 days: it has its own, and nothing cancels it."""
    for file, name, job in jobs(files):
        if environment_of(job) == PRODUCTION:
            wanted = {"group": "promote-${{ github.run_id }}-${{ inputs.use-case }}", "cancel-in-progress": "false"}
            yield name, None if job.get("concurrency") == wanted else f"{name}: {job.get('concurrency')}"
        if called(job) == "model.yml":
            above = file.content["concurrency"]
            alone = "github.run_id" in above["group"]
            yield file.name, None if alone else f"{file.name}: {above['group']}"


def promote_asks_github(files: Files) -> Findings:
    """Every promotion waits in its environment, links to the version, asks GitHub who approved, and names no one."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            inputs = step.get("with", {})
            if inputs.get("step") != "promote":
                continue
            good = (
                job.get("environment") == {"name": PRODUCTION, "url": "${{ needs.evaluate.outputs.url }}"}
                and inputs.get("asks-github") == "true"
                and "\"approval\": ${{ toJSON(vars.APPROVAL || 'github') }}" in inputs["flags"]
                and "approver" not in inputs["flags"]
            )
            yield f"{file.name}: {name}", None if good else f"{file.name}: {name}"


def the_comment_gets_its_files(files: Files) -> Findings:
    """
    The upload for the comment has exactly the files that the comment uses, from one step's folder, under the name of
    the use case. Without `overwrite`, GitHub refuses a re-run's upload under an existing name.
    """
    script = (ROOT / ".github/actions/report/report.py").read_text(encoding="utf-8")
    wanted = set(re.findall(r'"(\w+\.(?:json|md))"', script))
    for file in of_workflows(files):
        for location, step in file.steps():
            if "artifact@" not in step.get("uses", "") or file.name in NO_REPORT:
                continue
            if file.name == "predict.yml":  # its answers are for people, and no comment uses them
                uploaded = {path.rpartition("/")[2] for path in step["with"]["path"].splitlines()}
                yield location, None if uploaded == {"answers.parquet", "result.json"} else location
            elif step["uses"].startswith("actions/upload-artifact@"):
                paths = [path.rpartition("/") for path in step["with"]["path"].splitlines()]
                alike = len({folder for folder, _, _ in paths}) == 1 and step["with"].get("overwrite") == "true"
                named = re.fullmatch(r"report-\$\{\{ (inputs\.use-case|matrix\.model\.name) \}\}", step["with"]["name"])
                yield location, None if alike and named and {name for _, _, name in paths} == wanted else location
            else:
                named = step["with"]["pattern"].startswith("report-")
                yield location, None if named and step["with"]["path"] == "${{ runner.temp }}/reports" else location


def values_reach_flags_as_json(files: Files) -> Findings:
    """A flag's value is `${{ toJSON(...) }}` or a literal, so no text can end the string that contains it."""
    for file, name, job in jobs(files):
        for step in job.get("steps", []):
            for line in step.get("with", {}).get("flags", "").strip().strip("{}").strip().splitlines():
                good = re.fullmatch(
                    r' *"[a-z][a-z0-9-]*": (\$\{\{ toJSON\([^{}]+\) \}\}|"[\w/.-]*"|true|false),?', line
                )
                yield f"{file.name}: {name}", None if good else line.strip()


def what_was_judged_is_promoted(files: Files) -> Findings:
    """Promote gets the hash of the evidence: by the time of the approval, its name may mean another file."""
    file = files["model.yml"]
    (step,) = [item["with"] for item in file.jobs["promote"]["steps"] if item.get("with", {}).get("step") == "promote"]
    wanted = '"evidence-sha256": ${{ toJSON(needs.evaluate.outputs.evidence_sha256) }}'
    yield "promote", None if wanted in step["flags"] else "no hash of the evidence"
    output = file.jobs["evaluate"]["outputs"].get("evidence_sha256")
    yield "evaluate", None if output == "${{ steps.run.outputs.evidence_sha256 }}" else "it gives no hash"


def jobs_are_the_steps(files: Files) -> Findings:
    """model.yml has a job per step, in order, with the inputs and outputs of the runner's step."""
    file = files["model.yml"]
    names = [name for name in file.jobs if name in {step.name for step in STEPS}]
    yield file.name, None if names == [step.name for step in STEPS] else f"the jobs are {names}"
    maker = {output: step.name for step in STEPS for output in step.outputs}
    for step in STEPS:
        job = file.jobs.get(step.name, {"needs": [], "steps": [{"with": {"step": "", "flags": ""}}]})
        ran = [item["with"] for item in job["steps"] if item.get("with", {}).get("step") == step.name]
        yield step.name, None if len(ran) == 1 else f"{step.name} runs {len(ran)} times"
        flags = ran[0]["flags"] if ran else ""
        for name in step.inputs:
            of = f"needs.{maker[name]}.outputs.{name}"
            if step.name == "evaluate":  # an existing version needs no build and no link
                of = f"inputs.version || {of}" if name == "version" else f"inputs.version == '' && {of} || ''"
            wanted = f'"{name}": ${{{{ toJSON({of}) }}}}'
            yield step.name, None if wanted in flags and maker[name] in job["needs"] else f"{step.name}: {name}"
        for name in step.outputs:
            wanted = f"${{{{ steps.run.outputs.{name} }}}}"
            yield step.name, None if job.get("outputs", {}).get(name) == wanted else f"{step.name} gives no {name}"
        known = {"use_case", "approval", "reason", *step.inputs, *step.flags}
        for flag in re.findall(r'"([a-z-]+)":', flags):
            yield step.name, None if flag.replace("-", "_") in known else f"{step.name} has no flag {flag}"
