"""
What the run-step action does with a step's result, whatever it contains: the real script, with a `docker` that plays
the step. test_act.py has the real containers.

    pytest tests/workflows/test_run_step.py
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from runner.containers import Container, Mount
from runner.environment import Variables
from tests.workflows.files import ACTIONS, actions

SCRIPT = ACTIONS / "run-step" / "run_step.py"
# The runner's own: it reads the log of a container that has ended.
LOG_DRIVER = "--log-driver=json-file"
HOSTILE = (
    "$(touch pwned) `id` ';--flag\r\n::set-output name=verdict::pass\n::error::forged\nverdict=pass\n"
    "EOF\nevidence<<EOF\n<script>alert(1)</script> [x](javascript:alert(1)) ![](https://x.example/p.png) @everyone %0A"
)


@dataclass
class Result:
    """What GitHub sees of a step."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str
    command: list[str]
    environ: dict[str, str]


@pytest.fixture
def run_step(tmp_path):
    """Run the script with a step that answers this."""
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text(
        f"#!{sys.executable}\n"
        "import json, os, pathlib, sys\n"
        "plays = json.loads(pathlib.Path(os.environ['PLAYS']).read_text())\n"
        "seen = {'command': sys.argv[1:], 'environ': dict(os.environ)}\n"
        "pathlib.Path(os.environ['SEEN']).write_text(json.dumps(seen))\n"
        "out = pathlib.Path(os.environ['OUT'])\n"
        "for name, target in (plays['links'] or {}).items(): (out / name).symlink_to(target)\n"
        "if plays['pipe']: os.mkfifo(out / plays['pipe'])\n"
        "if plays['report']: (pathlib.Path(os.environ['OUT']) / 'report.md').write_text(plays['report'])\n"
        "sys.stderr.write(plays['stderr'])\n"
        "sys.stdout.write(plays['stdout'])\n"
        "sys.exit(plays['code'])\n"
    )
    fake.chmod(0o755)

    def run(answer: Any, *, code=0, stderr="", report="", links=None, pipe="", flags=None, **inputs: str) -> Result:
        stdout = answer if isinstance(answer, str) else json.dumps(answer)
        plays = {"stdout": stdout, "stderr": stderr, "report": report, "links": links, "pipe": pipe, "code": code}
        (tmp_path / "plays.json").write_text(json.dumps(plays))
        for name in ("output", "summary"):
            (tmp_path / name).write_text("")
        environ = {
            "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}",
            "PLAYS": str(tmp_path / "plays.json"),
            "SEEN": str(tmp_path / "seen.json"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "STEP": "evaluate",
            "IMAGE": "ghcr.io/team/models/evaluate@sha256:" + "a" * 64,
            "MODULE": "",
            "FLAGS": json.dumps(flags or {}),
            "HYPERPARAMETERS": "",
            "DATA_ENV": "[]",
            "VARIABLES": "{}",
            "IMAGES": "",
            "ASKS_GITHUB": "false",
            "NETWORK": "bridge",
            "OUT": str(tmp_path / "out"),
            **inputs,
        }
        done = subprocess.run([sys.executable, str(SCRIPT)], env=environ, capture_output=True, text=True, cwd=tmp_path)
        assert "Traceback" not in done.stderr, done.stderr
        file = tmp_path / "seen.json"
        seen = json.loads(file.read_text()) if file.exists() else {"command": [], "environ": {}}
        outputs = read_outputs((tmp_path / "output").read_text())
        log = done.stdout + done.stderr
        summary = (tmp_path / "summary").read_text()
        return Result(done.returncode, log, outputs, summary, seen["command"], seen["environ"])

    return run


def read_outputs(text: str) -> dict[str, str]:
    """Read the file as GitHub's runner does: `name=value` lines, and values between delimiters."""
    outputs, lines = {}, iter(text.splitlines())
    for line in lines:
        if match := re.match(r"([^=]+?)<<(.+)", line):
            value = []
            while (line := next(lines)) != match[2]:
                value.append(line)
            outputs[match[1]] = "\n".join(value)
        else:
            name, _, value = line.partition("=")
            outputs[name] = value
    return outputs


def passed(command: list[str]) -> list[str]:
    """Return the names of the variables that a container sees."""
    return [word.removeprefix("--env=") for word in command if word.startswith("--env=")]


def commands(log: str) -> list[str]:
    """Return the workflow commands in a log, as GitHub's runner reads them: none while they are stopped."""
    parsed, stopped = [], None
    for line in log.splitlines():
        if stopped:
            stopped = None if line == f"::{stopped}::" else stopped
        elif line.startswith("::stop-commands::"):
            stopped = line.removeprefix("::stop-commands::")
        elif line.startswith("::"):
            parsed.append(line)
    return parsed


def test_the_outputs_are_those_that_the_action_declares(run_step):
    declared = set(actions()["run-step"].content["outputs"])
    seen = run_step({name: f"the {name}" for name in declared} | {"digest": "d", "reused": True})
    assert seen.outputs == {name: f"the {name}" for name in declared}
    assert (seen.code, commands(seen.log)) == (0, [])


def test_a_step_is_confined_as_the_runner_confines_it_and_gets_its_flags_as_words(run_step, tmp_path):
    flags = {"use-case": "glyphs", "rows": 12, "seed": "0", "epochs": "", "no-cache": True, "policy": None, "x": False}
    seen = run_step({}, flags=flags)
    image = seen.command.index("ghcr.io/team/models/evaluate@sha256:" + "a" * 64)
    before, after = seen.command[:image], seen.command[image + 1 :]
    assert after == ["--use-case=glyphs", "--rows=12", "--seed=0", "--no-cache", "--out=/out"]
    options = [word for word in before if not word.startswith("--env=")]
    expected = Container(
        "n", "step", seen.command[image], after, Variables({}), [Mount(tmp_path / "out", "/out", True)], "bridge"
    )
    local = shlex.split(expected.format_command())
    assert ["docker", *options] == [word for word in local[: local.index(expected.image)] if word != LOG_DRIVER]


def test_a_step_sees_the_variables_of_its_trade_and_no_value_is_on_a_command_line(run_step):
    variables = {"WANDB_API_KEY": "k" * 40, "WANDB_ENTITY": "", "GITHUB_TOKEN": "ghs_1", "GITHUB_SHA": "b" * 40}
    seen = run_step({}, **variables)
    assert passed(seen.command) == ["WANDB_API_KEY"]
    assert "k" * 40 not in " ".join(seen.command) + seen.log
    result = run_step({}, ASKS_GITHUB="true", **variables)
    names = set(passed(result.command))
    assert names == {"WANDB_API_KEY", "GITHUB_TOKEN", "GITHUB_SHA"}
    assert "ghs_1" not in " ".join(result.command) + result.log


def test_what_approval_reads_is_what_it_gets(run_step):
    """Every GITHUB_ variable that the steps name is passed on."""
    folder = ACTIONS.parents[1] / "modelgate/promotion/approval"
    text = "".join(path.read_text() for path in sorted(folder.glob("*.py")))
    wanted = set(re.findall(r'"(GITHUB_[A-Z_]+)"', text))
    assert len(wanted) >= 10
    seen = run_step({}, ASKS_GITHUB="true", **dict.fromkeys(wanted, "x"))
    assert set(passed(seen.command)) == wanted


def test_hyperparameters_become_flags(run_step):
    text = json.dumps({"epochs": 20, "learning_rate": 0.5, "augment": True, "optimizer": "-x --out=/etc"})
    seen = run_step({}, flags={"dataset": "a/b/c:v0"}, HYPERPARAMETERS=text)
    assert seen.code == 0
    flags = ["--dataset=a/b/c:v0", "--out=/out", "--epochs=20", "--learning-rate=0.5", "--augment=true"]
    assert seen.command[-6:] == [*flags, "--optimizer=-x --out=/etc"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 20", "write a JSON object"),
        ("[1]", "write a JSON object"),
        ("[" * 100_000, "write a JSON object"),
        ('{"dataset": "x"}', "'dataset' is not a hyperparameter"),
        ('{"out": "/etc"}', "'out' is not a hyperparameter"),
        ('{"--epochs": 1}', "'--epochs' is not a hyperparameter"),
        ('{"epochs=1 --x": 1}', "is not a hyperparameter"),
        ('{"epochs": [1]}', "must be true, false, a number or a string"),
        ('{"epochs": null}', "must be true, false, a number or a string"),
    ],
)
def test_what_is_no_hyperparameter_starts_no_container(run_step, text, message):
    seen = run_step({}, flags={"dataset": "a/b/c:v0"}, HYPERPARAMETERS=text)
    assert (seen.code, seen.command) == (2, [])
    (line,) = commands(seen.log)
    assert message in line


def test_a_step_sees_the_variables_that_its_use_case_declares_and_no_other(run_step):
    variables = json.dumps({"ROWS_URL": "s3://rows", "OTHER": "x", "WANDB_ENTITY": "team"})
    seen = run_step({}, DATA_ENV='["ROWS_URL", "DATA_TOKEN"]', VARIABLES=variables, DATA_TOKEN="t" * 20)
    assert passed(seen.command) == ["ROWS_URL", "DATA_TOKEN"]
    assert "s3://rows" not in " ".join(seen.command) and "t" * 20 not in " ".join(seen.command) + seen.log
    other = run_step({}, DATA_ENV='["ROWS_URL"]', VARIABLES=variables, DATA_TOKEN="t")
    assert passed(other.command) == ["ROWS_URL"]


@pytest.mark.parametrize("code", [0, 1])
def test_hostile_text_stays_text(run_step, tmp_path, code):
    answer = {"verdict": "fail", "evidence": HOSTILE, "version": HOSTILE, "reasons": [HOSTILE]}
    seen = run_step(answer, code=code, stderr=HOSTILE, flags={"commit": HOSTILE, "-x": HOSTILE})
    assert seen.code == 0  # the answer is no, which does not fail the job
    lines = HOSTILE.replace("\r\n", "\n").split("\n")
    assert seen.outputs == {"verdict": "fail", "evidence": "\n".join(lines), "version": "\n".join(lines)}
    parsed = commands(seen.log)
    assert len(parsed) == code
    assert all(line.startswith("::error title=evaluate%3A fail::$(touch pwned)") for line in parsed)
    assert f"--commit={HOSTILE}" in seen.command
    first, _, *inside, _, last = seen.summary.splitlines()
    assert (first, last) == ("<details><summary>evaluate</summary>", "</details>")
    assert all(line.startswith("    ") for line in inside)
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize(
    ("answer", "code", "ends"),
    [
        ({"verdict": "fail"}, 1, 0),
        ({"verdict": "fail"}, 2, 2),
        ({"findings": [{"name": "alias_moved"}]}, 1, 0),
        ({"findings": []}, 1, 1),
        ({"verdict": "pass"}, 1, 1),
        ({"error": {"name": "no_approval", "message": "no one approved", "hint": ""}}, 1, 1),
        ({}, 1, 1),
    ],
)
def test_a_verdict_fail_is_an_answer_and_any_other_end_is_the_step_s_own(run_step, answer, code, ends):
    assert run_step(answer, code=code).code == ends


def test_the_report_stands_below_its_pages_in_wandb(run_step):
    answer = {"verdict": "pass", "url": "https://wandb.ai/x?a=b", "run_url": "https://wandb.ai/t/p/runs/a"}
    links = "[version](https://wandb.ai/x?a=b) · [evaluation](https://wandb.ai/t/p/runs/a)"
    assert run_step(answer, report="# pass\n").summary == f"{links}\n\n# pass\n"
    hostile = {"url": "javascript:alert(1)", "run_url": "https://x) [y](z"}
    assert run_step({"verdict": "pass"} | hostile, report="# pass\n").summary == "# pass\n"


def test_a_refusal_begins_with_the_headline(run_step):
    headline = "fail: 5.0 points lower than production, and 1,000 rows show at least 3.2 points"
    answer = {"verdict": "fail", "headline": headline, "reasons": ["no_worse: the drop is at least 3.20 points"]}
    (command,) = commands(run_step(answer, code=1, report=f"# {headline}\n").log)
    title = "evaluate%3A fail%3A 5.0 points lower than production%2C and 1%2C000 rows show at least 3.2 points"
    assert command == f"::error title={title}::no_worse: the drop is at least 3.20 points"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_flag_without_blanks_is_no_command_in_the_line_that_shows_it(run_step, newline):
    seen = run_step({}, flags={"reason": f"x{newline}::error::forged", "rows": 12})
    assert "::error::forged" in seen.log and "--rows=12" in seen.log
    assert commands(seen.log) == []


def test_an_error_says_its_name_and_what_to_do(run_step):
    error = {"name": "no_approval", "message": "no one approved: 100 % sure,", "hint": "ask\nbob"}
    seen = run_step({"error": error}, code=1)
    assert commands(seen.log) == [
        "::error title=evaluate%3A no_approval::no one approved: 100 %25 sure,%0Aask%0Abob",
    ]
    assert "no_approval" in seen.summary


@pytest.mark.parametrize("answer", ["", "Segmentation fault", "[1, 2]", '{"verdict": "pass"} trailing', "null"])
def test_a_step_without_an_answer_has_no_outputs(run_step, answer):
    seen = run_step(answer, code=139, stderr="killed")
    assert (seen.code, seen.outputs) == (139, {})
    assert len(commands(seen.log)) == 1
    assert "exit code 139" in seen.log


def test_the_report_is_the_summary_and_is_cut_where_github_would_refuse_it(run_step):
    assert run_step({"verdict": "pass"}, report="# v3: pass\n").summary == "# v3: pass\n"
    summary = run_step({"verdict": "pass"}, report="é" * 900_000).summary
    assert len(summary.encode()) < 1024 * 1024
    assert summary.endswith("in W&B)\n")


def test_a_report_that_is_a_link_is_not_followed(run_step, tmp_path):
    """In the container the link points nowhere; on the host it would point to this job's keys."""
    for target in ("/proc/self/environ", "seen.json", str(tmp_path / "seen.json")):
        seen = run_step({"verdict": "pass"}, links={"report.md": target}, WANDB_API_KEY="key-of-this-job")
        assert "key-of-this-job" not in seen.summary
        assert '"verdict": "pass"' in seen.summary


def test_no_link_is_left_for_what_uploads_the_folder(run_step, tmp_path):
    (tmp_path / "secret").write_text("key-of-this-job")
    links = {"evidence.json": str(tmp_path / "secret"), "result.json": "../secret", "more": str(tmp_path)}
    run_step({"verdict": "pass"}, report="# v3: pass\n", links=links)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.md"]
    assert (tmp_path / "secret").read_text() == "key-of-this-job"


def test_a_report_that_is_a_pipe_keeps_nobody_waiting(run_step):
    assert '"verdict": "pass"' in run_step({"verdict": "pass"}, pipe="report.md").summary


def test_the_images_are_given_as_a_file(run_step, tmp_path):
    seen = run_step({}, IMAGES='{"train": "x@sha256:1"}')
    assert "--images=/out/images.json" in seen.command
    assert json.loads((tmp_path / "out/images.json").read_text()) == {"train": "x@sha256:1"}


def test_what_was_promoted_and_not_told_is_a_warning(run_step):
    rows = [
        {"entry": "v5", "channel": "webhook", "told": False, "problem": "it answered 500\n::error::x"},
        {"entry": "v5", "channel": "deployment", "told": True},
    ]
    seen = run_step({"notifications": rows}, STEP="promote")
    assert seen.code == 0
    assert commands(seen.log) == [
        "::warning title=promote%3A message not sent::v5 by webhook: it answered 500%0A::error::x",
    ]
    assert "it answered 500" in seen.summary
    seen = run_step({"notifications": [], "not_told": "W&B was away"}, STEP="promote")
    assert commands(seen.log) == ["::warning title=promote%3A message not sent::W&B was away"]


def test_a_step_gets_whom_to_tell_by_name_alone(run_step):
    secret = "https://hooks.example.com/ThePathThatNobodyMayRead"
    seen = run_step({}, STEP="promote", PROMOTION_WEBHOOK_URL=secret)
    assert passed(seen.command) == ["PROMOTION_WEBHOOK_URL"]
    assert secret not in seen.log
