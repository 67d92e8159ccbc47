"""
The rules of every workflow, applied to the real files. A rule counts the places that it checked, and catches a
violation that is planted in a copy of the text.

    pytest tests/workflows/test_policy.py

act does not know environments, permissions, timeouts and concurrency, and no linter knows which secret belongs where:
this file checks what GitHub would enforce.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.workflows.files import ROOT, Workflow, actions, workflows
from tests.workflows.rules import (
    PRODUCTION,
    SECRETS,
    STEPS,
    Files,
    Findings,
    a_call_permits_what_is_called,
    a_check_has_one_name,
    a_checkout_keeps_no_token,
    a_job_ends,
    a_job_says_what_it_may_and_why,
    a_model_stops_no_other,
    a_secret_stays_in_its_environment,
    a_step_has_a_name,
    a_use_case_chooses_its_runners,
    actions_are_pinned,
    an_approval_waits_apart,
    called,
    images_are_pinned,
    images_that_are_there_are_verified,
    jobs,
    jobs_are_the_steps,
    no_expression_in_shell,
    no_trigger_runs_strangers_code_with_secrets,
    nothing_is_permitted_by_default,
    only_our_own_is_called_with_secrets,
    only_promote_deploys,
    promote_asks_github,
    shell_is_short,
    the_comment_gets_its_files,
    values_reach_flags_as_json,
    what_is_done_is_written_once,
    what_was_judged_is_promoted,
)


# --- what starts a workflow, and what ends it ------------------------------------------------------------------------
def test_closing_a_pull_request_ends_the_run_that_waits_for_it():
    """The event belongs to the workflow whose group is the pull request's, and it cancels what runs in the group."""
    workflow = files()["pipeline.yml"].content
    assert workflow["on"]["pull_request"]["types"] == ["opened", "synchronize", "reopened", "closed"]
    assert workflow["concurrency"] == {
        "group": "pipeline-${{ github.event.pull_request.number || github.run_id }}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
    }


def test_the_check_that_a_ruleset_requires_also_runs_in_a_merge_queue():
    assert {"pull_request", "merge_group"} <= files()["ci.yml"].content["on"].keys()


def test_each_job_of_the_tests_makes_its_environment_with_its_own_python():
    """A runner has several Pythons and would use the newest: then no job would test the oldest."""
    job = files()["ci.yml"].content["jobs"]["test"]
    (step,) = [step for step in job["steps"] if step.get("run") == ".ci/run tests"]
    assert step["env"] == {"PYTHON": "python${{ matrix.python }}"}
    assert job["strategy"]["matrix"]["python"][0] == "3.11"


class Rule(NamedTuple):
    """A rule, how many places it must check at least, and a violation: in `file`, `new` replaces `old`."""

    check: Callable[[Files], Findings]
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
    Rule(only_promote_deploys, 5, "model.yml", "      deployment: false # only promote deploys\n", ""),
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
    *(
        Rule(no_trigger_runs_strangers_code_with_secrets, 2, "judge.yml", old, new)
        for old, new in (
            (
                "          sparse-checkout: .github/actions\n",
                "          ref: ${{ github.event.pull_request.head.sha }}\n",
            ),
            ("      contents: read # the action", "      contents: write # the action"),
            ("    timeout-minutes: 10\n", "    environment: training\n"),
            ("${{ github.token }}", "${{ secrets.DATA_TOKEN }}"),
            ("run: python3 .github/actions/", "run: make -C .github/actions/"),
        )
    ),
    Rule(a_check_has_one_name, 5, "judge.yml", "    name: judge untouched\n", "    name: models\n"),
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
    findings = list(rule.check(of))
    return len(findings), [wrong for _, wrong in findings if wrong]


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
    documented = {name: row[1] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}
    granted: dict[str, set[str]] = {}
    for _, name, job in jobs(files()):
        for permission_name, access in ({} if called(job) else job["permissions"]).items():
            granted.setdefault(f"{permission_name}: {access}", set()).add(name)
    secrets, variables = ({*re.findall(rf"\b{kind}\.(\w+)", str(files()))} for kind in ("secrets", "vars"))
    assert documented.keys() == granted.keys() | secrets | variables
    everybody = {name for _, name, job in jobs(files()) if not called(job)}
    for permission, who in granted.items():
        named = set(re.findall(r"`(\w+)(?:\.yml)?`", documented[permission]))
        named |= {step.name for step in STEPS} if documented[permission].startswith("the steps") else set()
        assert who == (everybody - named if documented[permission].startswith("all but") else named), permission
    environments = {name: documented[name].partition("`, ")[0].strip("`") for name in secrets}
    assert environments == {name: where.replace(PRODUCTION, "production") for name, where in SECRETS.items()}


def test_the_page_says_how_long_each_job_of_ci_may_take():
    page = (ROOT / "docs/how-to/github.md").read_text()
    table = page.partition("| job of `ci.yml` | minutes |")[2].partition("\n\n")[0]
    listed = {name: (rest, minutes) for name, rest, minutes in re.findall(r"^\| `(\w+)`(.*) \| (\d+) \|$", table, re.M)}
    jobs = workflows()["ci.yml"].jobs
    assert {name: minutes for name, (_, minutes) in listed.items()} == {
        name: job["timeout-minutes"].split()[0] for name, job in jobs.items()
    }
    assert {name for name, (rest, _) in listed.items() if rest == ", for each of two versions of Python"} == {
        name for name, job in jobs.items() if len(job.get("strategy", {}).get("matrix", {}).get("python", [])) == 2
    }


def test_a_copy_may_delete_the_tests_of_ci_as_the_page_says():
    """`done` then needs `lint` alone, and its shell still refuses what did not succeed."""
    page = (ROOT / "docs/how-to/github.md").read_text()
    assert "delete the jobs `test`, `prove` and `coverage` from\n`ci.yml`, and write `needs: [lint]`" in page
    done = workflows()["ci.yml"].jobs["done"]
    assert set(done["needs"]) == {"lint", "test", "prove"}
    (step,) = done["steps"]
    for results, code in (
        ("success", 0),
        ("success success success", 0),
        ("success failure success", 1),
        ("success skipped", 1),
        ("cancelled", 1),
        ("", 1),
    ):
        command = ["bash", "-e", "-c", step["run"]]
        assert subprocess.run(command, env={"RESULTS": results}, stdout=subprocess.DEVNULL).returncode == code
