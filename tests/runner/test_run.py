"""What `python -m runner run` does from the plan to the last line: real processes, fake steps.

python -m pytest tests/runner/test_run.py
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from runner import typed
from tests.serving import runner_with

from .conftest import VERSION, Checkout, Terminal, given_to

FLAGS_OF_EVERY_STEP = [
    "--rows=100", "--eval-rows=50", "--optimizer=sgd", "--batch-size=8", "--epochs=2", "--validation-split=0.5",
    "--seed=7", "--threads=2", "--registry=model-registry", "--collection=mine", "--policy=better", "--no-cache",
]  # fmt: skip


def test_plan_names_every_step_in_order_and_starts_nothing(checkout: Checkout) -> None:
    code, output = checkout.runner("plan", "--use-case", "glyphs", "--epochs", "2")
    assert code == 0
    commands = [line.strip() for line in output.splitlines() if " -m steps." in line]
    assert [command.split()[3] for command in commands] == [
        "steps.build", "steps.train", "steps.link", "steps.evaluate", "steps.promote",
    ]  # fmt: skip
    assert "--dataset=DATASET --epochs=2" in commands[1]
    assert checkout.calls() == []
    assert not checkout.folder.exists()


def test_run_prints_the_plan_before_it_starts_a_step(checkout: Checkout) -> None:
    _, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert output.index("The plan for glyphs") < output.index("build says this on standard error")


def test_the_question_says_that_the_code_was_not_committed(checkout: Checkout) -> None:
    (checkout.root / ".gitignore").write_text("__pycache__/\n.modelgate/\ncalls.jsonl\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], cwd=checkout.root, check=True)
    assert "committed" not in checkout.runner("run", "--use-case", "glyphs")[1]
    (checkout.root / "steps" / "new.py").touch()
    output = checkout.runner("run", "--use-case", "glyphs")[1]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout.root, capture_output=True, text=True).stdout
    line = f"\nThe code was not committed: it has changes since commit {head[:12]}.\n"
    assert output.index(line) < output.index("glyphs-dev:v3 waits for an approval")
    assert line in checkout.runner("approve", APPROVE="ada")[1]


def test_each_step_gets_what_the_one_before_made(checkout: Checkout) -> None:
    code, _ = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 0
    assert checkout.steps() == ["build", "train", "link", "evaluate", "promote"]
    assert given_to(checkout, "build") == []
    assert given_to(checkout, "train") == ["--dataset=local/p/glyphs_dataset:v0"]
    assert given_to(checkout, "link") == ["--model=local/p/glyphs_model:v0"]
    version = "--version=local-org/wandb-registry-model/glyphs-dev:v3"
    assert given_to(checkout, "evaluate") == [version, "--dataset=local/p/glyphs_dataset:v0"]
    assert given_to(checkout, "promote") == ["--evidence=local/p/glyphs_evaluation:v7", "--approver=ada"]
    assert all("--use-case=glyphs" in checkout.call(name)["argv"] for name in checkout.steps())


def test_every_flag_goes_to_the_steps_that_know_it_and_to_no_other(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case=glyphs", *FLAGS_OF_EVERY_STEP)
    assert given_to(checkout, "build") == ["--rows=100", "--eval-rows=50", "--no-cache"]
    assert given_to(checkout, "train")[1:] == [
        "--optimizer=sgd", "--batch-size=8", "--epochs=2", "--validation-split=0.5", "--seed=7", "--threads=2",
        "--no-cache",
    ]  # fmt: skip
    assert given_to(checkout, "link")[1:] == ["--registry=model-registry", "--collection=mine"]
    assert given_to(checkout, "evaluate")[2:] == ["--collection=mine", "--policy=better", "--no-cache"]
    checkout.runner("approve", "--approver=ada")
    assert given_to(checkout, "promote")[1:] == ["--registry=model-registry", "--collection=mine", "--approver=ada"]


def test_last_lines_say_seconds_what_was_reused_and_where_the_run_is(checkout: Checkout) -> None:
    checkout.behave(build={"sleep_s": 0.1})
    _, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    table = output[output.index("step       seconds") :].splitlines()
    assert table[1].split()[0] == "build" and float(table[1].split()[1]) > 0
    assert table[1].split()[2:] == ["reused", "local/p/glyphs_dataset:v0"]
    assert "reused" not in table[2]
    assert table[3].strip() == "http://x/runs/train"
    assert table[-3:] == [
        "To open these pages: make serve",
        "",
        "production of glyphs is glyphs-dev:v3, approved by ada.",
    ]


def test_report_and_page_are_shown_before_the_approval(checkout: Checkout) -> None:
    _, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    report, page, approved = (
        output.index("# The report"),
        output.index("http://x/page-of-v3"),
        output.index("approved by ada"),
    )
    assert report < page < approved


def test_without_terminal_and_name_run_stops_at_the_approval(checkout: Checkout) -> None:
    code, output = checkout.runner("run", "--use-case", "glyphs")
    assert code == 0
    assert checkout.steps()[-1] == "evaluate"
    assert "glyphs-dev:v3 waits for an approval: there is no terminal to ask on." in output
    assert output.splitlines()[-1] == "  make approve USE_CASE=glyphs APPROVE=NAME"
    assert "committed" not in output  # there is no git here
    assert checkout.everything_ended()


def test_approve_promotes_later_what_run_left_open(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve", "--approver", "grace hopper")
    assert code == 0
    assert given_to(checkout, "promote") == ["--evidence=local/p/glyphs_evaluation:v7", "--approver=grace hopper"]
    assert "# The report" in output
    assert checkout.state()["pending"] is None


def test_approve_again_changes_nothing(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    checkout.runner("approve", APPROVE="ada")
    code, output = checkout.runner("approve", APPROVE="ada")
    assert (code, checkout.steps().count("promote")) == (1, 1)
    assert "error: nothing waits for an approval: glyphs-dev:v3 was promoted at 2" in output
    evidence = "--evidence=local/p/glyphs_evaluation:v7"  # as the button on the pages names it
    code, output = checkout.runner("approve", evidence, APPROVE="ada")
    assert (code, checkout.steps().count("promote")) == (0, 1)
    assert "glyphs-dev:v3 was promoted at 2" in output


def test_approve_before_any_run_says_what_to_type(checkout: Checkout) -> None:
    code, output = checkout.runner("approve", APPROVE="ada")
    assert code == 1
    assert "hint: begin with: make run" in output
    assert checkout.calls() == []


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[2Jb", "x" * 200, "clear; time make run"])
def test_approver_must_be_a_name(checkout: Checkout, name: str) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve", "--approver", name)
    assert "promote" not in checkout.steps()
    assert code == 2
    assert ("is not a person's name" if name else "nothing was approved") in output


def test_approve_without_a_name_and_a_terminal_says_first_that_nothing_was_approved(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve")
    assert code == 2
    assert output.splitlines() == [
        "",
        "error: nothing was approved: glyphs-dev:v3 of glyphs waits, and there is no terminal to ask on",
        "hint: make approve USE_CASE=glyphs APPROVE=NAME; to read the report first: make serve",
    ]


def test_unchanged_asks_nobody_and_promotes_nothing(checkout: Checkout) -> None:
    result = {"verdict": "unchanged", "headline": "unchanged: the same model", "production": "o/r/glyphs-dev:v3"}
    checkout.behave(evaluate={"result": result | {"evidence": None}})
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 0
    assert checkout.steps()[-1] == "evaluate"
    assert output.splitlines()[-1] == "unchanged: the same model (glyphs-dev:v3). There is nothing to approve."
    assert checkout.state()["pending"] is None


def test_failing_verdict_shows_its_reasons_and_asks_nobody(checkout: Checkout) -> None:
    reasons = ["floor: 0.31 is below 0.90"]
    checkout.behave(evaluate={"result": {"verdict": "fail", "headline": "fail: worse", "reasons": reasons}, "exit": 1})
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 1
    assert checkout.steps()[-1] == "evaluate"
    assert "# The report" in output
    assert "\nfail: worse\n" in output
    assert output.splitlines()[-1] == "  - floor: 0.31 is below 0.90"
    assert checkout.runner("approve", APPROVE="ada")[0] == 1


@pytest.mark.parametrize("exit_code", [1, 2, 3])
def test_exit_code_of_a_failing_step_is_the_runners(checkout: Checkout, exit_code: int) -> None:
    error = {"name": "x", "message": "the reason of the step", "hint": ""}
    checkout.behave(train={"error": error, "exit": exit_code})
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == exit_code
    assert checkout.steps() == ["build", "train"]
    assert f"error: train stopped with exit code {exit_code}" in output
    assert output.index("the reason of the step") < output.index("error: train stopped")
    assert "Traceback" not in output
    assert checkout.everything_ended()


@pytest.mark.parametrize("stdout", ["", "epoch 1\n{}", "[1, 2]", '{"digest": "m"}'])
def test_step_without_its_one_json_object_is_refused(checkout: Checkout, stdout: str) -> None:
    checkout.behave(train={"stdout": stdout})
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert (code, checkout.steps()) == (1, ["build", "train"])
    assert "this is a bug in the step" in output


def test_only_a_run_that_has_finished_steps_says_that_the_next_one_reuses_them(checkout: Checkout) -> None:
    error = {"error": {"name": "x", "message": "the file is an HTML page", "hint": "look"}, "exit": 3}
    reused = "hint: the next run reuses the finished steps"
    checkout.behave(build=error)
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert (code, output.splitlines()[-1]) == (3, "error: build stopped with exit code 3; see the error above")
    checkout.behave(train=error)
    assert checkout.runner("run", "--use-case", "glyphs")[1].splitlines()[-1] == reused
    assert reused not in checkout.runner("run", "--use-case", "glyphs", "--no-cache")[1]


@pytest.mark.parametrize("name", ["source_unavailable", "source_unreadable", "data_failed"])
def test_a_variable_that_data_py_reads_and_config_toml_does_not_name_is_named(checkout: Checkout, name: str) -> None:
    """The person has set the variable, but the step does not see it: only the runner can say so."""
    data = checkout.root / "usecases" / "glyphs" / "data.py"
    data.write_text(data.read_text() + '\nROWS = (os.environ.get("ROWS_CSV"), os.environ.get("NOT_SET"), "HOME")\n')
    checkout.behave(build={"error": {"name": name, "message": "there are no rows", "hint": "look"}, "exit": 3})
    code, output = checkout.runner("run", "--use-case", "glyphs", ROWS_CSV="rows.csv")
    assert code == 3
    line = "ROWS_CSV is set, but [data] env in usecases/glyphs/config.toml does not name it, so data.py cannot see it."
    assert f"\n{line}\nTo let it, write below [data]: env = [" in output
    assert '"ROWS_CSV"]' in output and output.count("is set, but") == 1
    config = checkout.root / "usecases" / "glyphs" / "config.toml"
    text = config.read_text()
    config.write_text(
        text.replace("env = [", 'env = ["ROWS_CSV", ') if "env = [" in text else f'{text}\n[data]\nenv = ["ROWS_CSV"]\n'
    )
    assert "is set, but" not in checkout.runner("run", "--use-case", "glyphs", ROWS_CSV="rows.csv")[1]


def test_a_hyperparameter_of_the_config_is_a_flag_of_run_and_of_train(checkout: Checkout) -> None:
    config = checkout.root / "usecases" / "glyphs" / "config.toml"
    config.write_text(config.read_text().replace("[train]", "[train]\nlearning_rate = 0.1\naugment = false"))
    output = checkout.runner("run", "--use-case", "glyphs", "--help")[1]
    assert "hyperparameters of glyphs" in output and "--learning-rate" in output and "(default: 0.1)" in output
    checkout.runner("run", "--use-case", "glyphs", "--learning-rate=0.02", "--augment=true")
    assert given_to(checkout, "train")[1:] == ["--learning-rate=0.02", "--augment=true"]
    code, output = checkout.runner("run", "--use-case", "glyphs", "--learning-rate", "fast")
    assert (code, "'fast' must be a number" in output) == (2, True)


def test_a_config_that_is_wrong_is_said_before_anything_starts(checkout: Checkout) -> None:
    config = checkout.root / "usecases" / "glyphs" / "config.toml"
    config.write_text(config.read_text().replace("no_worse", "no_wrose"))
    code, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert (code, checkout.calls()) == (2, [])
    assert "usecases/glyphs/config.toml: gate.policy" in output and "did you mean no_worse?" in output
    assert "Traceback" not in output


def test_the_only_use_case_is_the_default(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / "usecases" / "remote")
    assert "The plan for glyphs:" in checkout.runner("plan")[1]


def test_of_several_without_a_default_one_has_to_be_named(checkout: Checkout) -> None:
    config = checkout.root / "usecases" / "remote" / "config.toml"
    config.write_text(config.read_text().replace("default = true", ""))
    code, output = checkout.runner("run")
    assert (code, checkout.calls()) == (2, [])
    assert "there are several use cases: glyphs, remote" in output


def test_unknown_use_case_is_refused_with_the_known_ones(checkout: Checkout) -> None:
    code, output = checkout.runner("run", "--use-case", "../etc")
    assert code == 2
    assert "there are: glyphs, remote" in output
    assert checkout.calls() == []


def test_promotion_that_was_refused_waits_no_longer(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "production_moved", "message": "m", "hint": "h"}, "exit": 1})
    code, _ = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert code == 1
    assert checkout.state()["pending"] is None


def test_promotion_with_the_wrong_key_waits_for_the_right_one(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "alias_refused", "message": "m", "hint": "h"}, "exit": 1})
    assert checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")[0] == 1
    checkout.behave()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state()["production"]["approver"] == "ada"


def test_promotion_that_could_not_reach_the_server_waits_on(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "unreachable", "message": "m", "hint": "h"}, "exit": 3})
    assert checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")[0] == 3
    checkout.behave()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state()["production"]["approver"] == "ada"


def test_rollback_evaluates_the_version_before_and_asks(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    code, _ = checkout.runner("rollback", "--reason", "-wrong labels", APPROVE="grace")
    assert code == 0
    assert checkout.steps()[5:] == ["evaluate", "promote"]
    assert given_to(checkout, "evaluate") == ["--version=previous", "--policy=rollback"]
    assert given_to(checkout, "promote")[1:] == ["--approver=grace", "--reason=-wrong labels"]


def test_rollback_without_a_name_waits_with_its_reason(checkout: Checkout) -> None:
    assert checkout.runner("rollback", "--use-case=glyphs", "--version", "v1", "--reason", "why")[0] == 0
    checkout.runner("approve", APPROVE="ada")
    assert given_to(checkout, "evaluate")[0] == "--version=v1"
    assert given_to(checkout, "promote")[1:] == ["--approver=ada", "--reason=why"]


def test_predict_gets_the_files_and_the_use_case_of_the_last_run(checkout: Checkout) -> None:
    flags = ("--input=rows.csv", "--output=answers.parquet")
    for command in (["predict", *flags], ["serve-model"]):
        code, output = checkout.runner(*command)
        assert (code, output) == (1, "Nothing has run here yet. To begin: make run\n")
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    code, output = checkout.runner("predict", *flags)
    assert (code, given_to(checkout, "predict")) == (0, list(flags))
    assert '"rows": 3' in output
    assert checkout.everything_ended()


def test_in_a_pipe_an_answer_is_all_of_standard_output(checkout: Checkout) -> None:
    def audit() -> str:
        command = [*runner_with(checkout.changes), "audit"]
        return subprocess.run(command, cwd=checkout.root, env=checkout.env(), capture_output=True, text=True).stdout

    assert audit() == ""
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    with socket.create_server(("127.0.0.1", checkout.port())):
        assert "registry" in json.loads(audit())


def test_on_a_terminal_an_answer_is_only_what_the_step_says(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    for command in (["audit"], ["predict", "--input=rows.csv", "--output=answers.parquet"]):
        terminal = Terminal(checkout, *command)
        assert terminal.exit_code() == 0
        assert f"{command[0]} says this on standard error" in terminal.output and "{" not in terminal.output


def test_audit_asks_the_embedded_server_and_passes_its_flags_and_exit_code_on(checkout: Checkout) -> None:
    code, output = checkout.runner("audit")
    assert (code, output) == (0, "Nothing has run here yet. To begin: make run\n")
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.behave(audit={"result": {"findings": ["x"]}, "exit": 1})
    services = ("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
    flags = ("--deployed", *services[:2], "--deployed", services[2])
    code, output = checkout.runner("audit", "--verify", "--on=2026-11-23", "--html", "page.html", *flags)
    assert code == 1
    assert '"findings": ["x"]' in output and "audit says this on standard error" in output
    call = checkout.call("audit")
    assert [word for word in call["argv"] if not word.startswith("--out")] == [
        "--use-case=glyphs", "--on=2026-11-23", "--verify", "--html=page.html",
        *(f"--deployed={url}" for url in services),
    ]  # fmt: skip
    assert call["env"]["WANDB_BASE_URL"] == f"http://127.0.0.1:{checkout.port()}"


def test_the_line_that_is_printed_is_the_line_that_runs(checkout: Checkout) -> None:
    _, planned = checkout.runner("plan", "--use-case", "glyphs", "--epochs", "2")
    _, output = checkout.runner("run", "--use-case", "glyphs", "--epochs", "2", APPROVE="ada")
    printed = [shlex.split(line)[1:] for line in output.splitlines() if re.match(r"  \+ ", line)]
    assert len(printed) == 5
    for command in printed:
        call = checkout.call(command[2].removeprefix("steps."))
        assert command == [sys.executable, "-m", f"steps.{call['name']}", *call["argv"]]
    # The plan has the same lines, with a name for what does not exist yet.
    for line, step in zip([line for line in planned.splitlines() if " -m steps." in line], printed, strict=True):
        args = shlex.split(line)[1:]
        assert [word.partition("=")[0] for word in args] == [word.partition("=")[0] for word in step]


def test_the_plan_and_the_progress_count_the_same_steps(checkout: Checkout) -> None:
    _, output = checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    assert re.findall(r"^  (\d)\. (\w+)", output, re.MULTILINE) == re.findall(
        r"^\[(\d)/5\] (\w+)", output, re.MULTILINE
    )
    _, output = checkout.runner("rollback", APPROVE="ada")
    assert re.findall(r"^\[(\d/\d)\]", output, re.MULTILINE) == ["1/2", "2/2"]


def test_approve_with_nothing_open_says_what_is_true(checkout: Checkout) -> None:
    checkout.behave(train={"error": {"name": "x", "message": "m", "hint": ""}, "exit": 1})
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve", APPROVE="ada")
    assert (code, "nothing waits for an approval: the last run stopped at train: m\n" in output) == (1, True)
    assert output.endswith("hint: to try again: make run USE_CASE=glyphs\n")
    checkout.behave(evaluate={"result": {"verdict": "fail", "reasons": ["r"]}, "exit": 1})
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve", APPROVE="ada")
    assert (code, "glyphs-dev:v3 did not pass" in output) == (1, True)
    checkout.behave(evaluate={"result": {"verdict": "unchanged", "evidence": None, "production": VERSION}})
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("approve", APPROVE="ada")
    assert (code, "glyphs-dev:v3, which is the model already in production" in output) == (1, True)
    checkout.behave()
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    code, output = checkout.runner("approve", APPROVE="grace")
    assert (code, "glyphs-dev:v3 was promoted at 2" in output, "approved by ada" in output) == (1, True, True)
    moved = {"name": "production_moved", "message": "compared with v1, and production is now v2", "hint": "h"}
    checkout.behave(promote={"error": moved, "exit": 1})
    output = checkout.runner("run", "--use-case", "glyphs", "--epochs", "7", APPROVE="ada")[1]
    again = 'make run USE_CASE=glyphs APPROVE=ada ARGS="--epochs 7"'
    assert output.endswith(f"hint: to evaluate glyphs-dev:v3 again: {again}\n")
    code, output = checkout.runner("approve", APPROVE="ada")
    assert code == 1
    assert "promote refused it: compared with v1, and production is now v2\n" in output
    assert output.endswith(f"hint: to evaluate it again: {again}\n")


@pytest.mark.parametrize(
    "command", [[], ["run"], ["approve"], ["rollback"], ["serve"], ["status"], ["audit"], ["prune"], ["clean"]]
)
def test_help_gives_an_example(checkout: Checkout, command: list[str]) -> None:
    code, output = checkout.runner(*command, "--help")
    assert code == 0
    assert "example: python -m runner" in output


# --- a use case's own packages ---------------------------------------------------------------------------------------
def test_what_a_use_case_adds_is_installed_before_its_first_step_and_for_no_other(checkout):
    """A small program replaces setup.sh; test_setup.py tests the real one."""
    (checkout.root / "usecases/glyphs/requirements.txt").write_text("tinyhtml==1.3.0 --hash=sha256:0\n")
    (checkout.root / "runner/setup.sh").write_text('echo "$@" >asked; [ ! -e calls.jsonl ] || exit 7\n')
    code, output = checkout.runner("run", "--use-case=remote")
    assert code == 0, output
    assert not (checkout.root / "asked").exists()
    (checkout.root / "calls.jsonl").unlink()
    code, output = checkout.runner("run", "--use-case=glyphs")
    assert code == 0, output
    assert (checkout.root / "asked").read_text() == "packages glyphs\n"


def test_what_cannot_be_installed_ends_the_run_before_anything_is_started(checkout):
    (checkout.root / "usecases/glyphs/requirements.txt").write_text("tinyhtml==1.3.0 --hash=sha256:0\n")
    (checkout.root / "runner/setup.sh").write_text("exit 1\n")
    code, output = checkout.runner("run", "--use-case=glyphs")
    assert code == 1
    assert "error: the packages of usecases/glyphs/requirements.txt could not be installed" in output
    assert checkout.calls() == []


def test_packages_without_a_lock_are_refused_with_what_to_type(checkout):
    (checkout.root / "usecases/glyphs/requirements.in").write_text("tinyhtml\n")
    code, output = checkout.runner("run", "--use-case=glyphs")
    assert code == 2
    assert "usecases/glyphs/requirements.in has no lock next to it (usecases/glyphs/requirements.txt)" in output
    assert "hint: create the lock: make lock" in output and "Traceback" not in output


def test_a_run_that_was_interrupted_names_the_line_that_continues_it(checkout: Checkout) -> None:
    checkout.behave(build={"sleep_s": 600})
    runner = checkout.start("run", "--use-case", "glyphs", "--epochs", "3", APPROVE="Ada Lovelace")
    checkout.wait_for("build")
    runner.send_signal(signal.SIGINT)
    line = "make run USE_CASE=glyphs APPROVE='Ada Lovelace' ARGS=\"--epochs 3\""
    assert runner.communicate(timeout=60)[0].endswith(f"To continue: {line}\n")
    output = checkout.runner("status")[1]
    assert f"was interrupted before the first step finished   (to continue: {line})" in output
    assert f"to continue: {line}" in checkout.runner("approve", APPROVE="ada")[1]


def test_the_line_that_continues_names_the_use_case_that_was_asked_for_before_anything_ran():
    argv, environ = ["run", "--epochs", "3"], {"USE_CASE": "glyphs", "RUNNER": "docker"}
    line = 'make run USE_CASE=glyphs RUNNER=docker ARGS="--epochs 3"'
    assert typed.format_again(argv, environ, None) == line
    flag = 'make run RUNNER=docker ARGS="--epochs 3 --use-case other"'
    assert typed.format_again([*argv, "--use-case", "other"], environ, None) == flag


def test_a_promotion_that_was_interrupted_names_the_line_that_completes_it(checkout: Checkout) -> None:
    checkout.behave(promote={"sleep_s": 600})
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for("promote")
    runner.send_signal(signal.SIGINT)
    output = runner.communicate(timeout=60)[0]
    assert output.endswith("To complete the promotion: make approve USE_CASE=glyphs APPROVE=ada\n")


@pytest.mark.parametrize(
    ("flags", "problem", "hint"),
    [
        (["--epoch", "5"], "run has no flag --epoch", "did you mean --epochs? to list"),
        (["--batch_size=8"], "run has no flag --batch_size", "did you mean --batch-size? to list"),
        (["--zzz=1"], "run has no flag --zzz", "to list"),
        (["epochs=3"], "'epochs=3' is not a flag, nor the value of one", "to list"),
    ],
)
def test_an_unknown_flag_is_answered_with_the_one_that_may_be_meant(
    checkout: Checkout, flags: list[str], problem: str, hint: str
) -> None:
    code, output = checkout.runner("run", "--use-case", "glyphs", *flags)
    assert (code, checkout.calls()) == (2, [])
    assert output.splitlines()[-2:] == [
        f"error: {problem}",
        f"hint: {hint} the flags: make run USE_CASE=glyphs ARGS=--help",
    ]
