"""What `python -m runner run` does from the plan to the last line: real processes, fake steps.

python -m pytest tests/runner/test_run.py
"""

from __future__ import annotations

import pytest

from .conftest import Checkout

FLAGS_OF_EVERY_STEP = [
    "--rows=100", "--eval-rows=50", "--optimizer=sgd", "--batch-size=8", "--epochs=2", "--validation-split=0.5",
    "--seed=7", "--threads=2", "--registry=model-registry", "--collection=mine", "--policy=better", "--no-cache",
]  # fmt: skip
UNAVAILABLE = {"name": "mnist_unavailable", "message": "no route to the download", "hint": "set MNIST_NPZ"}


def given_to(checkout: Checkout, name: str) -> list[str]:
    """The flags of a step, without the two that every step gets."""
    return [word for word in checkout.call(name)["argv"] if not word.startswith(("--use-case=", "--out="))]


def test_plan_names_every_step_in_order_and_starts_nothing(checkout: Checkout) -> None:
    code, said = checkout.runner("plan", "--use-case", "digits", "--epochs", "2")
    assert code == 0
    commands = [line.strip() for line in said.splitlines() if "+ python -m" in line]
    assert [command.split()[3] for command in commands] == [
        "steps.build", "steps.train", "steps.link", "steps.evaluate", "steps.promote",
    ]  # fmt: skip
    assert "--dataset=DATASET --epochs=2" in commands[1]
    assert checkout.calls() == []
    assert not checkout.folder.exists()


def test_run_prints_the_plan_before_it_starts_a_step(checkout: Checkout) -> None:
    _, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert said.index("The plan for digits") < said.index("build says this on standard error")


def test_each_step_gets_what_the_one_before_made(checkout: Checkout) -> None:
    code, _ = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert code == 0
    assert checkout.steps() == ["build", "train", "link", "evaluate", "promote"]
    assert given_to(checkout, "build") == []
    assert given_to(checkout, "train") == ["--dataset=local/p/digits_dataset:v0"]
    assert given_to(checkout, "link") == ["--model=local/p/digits_model:v0"]
    version = "--version=local-org/wandb-registry-model/digits-dev:v3"
    assert given_to(checkout, "evaluate") == [version, "--dataset=local/p/digits_dataset:v0"]
    assert given_to(checkout, "promote") == ["--evidence=local/p/digits_evaluation:v7", "--approver=ada"]
    assert all("--use-case=digits" in checkout.call(name)["argv"] for name in checkout.steps())


def test_every_flag_goes_to_the_steps_that_know_it_and_to_no_other(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case=digits", *FLAGS_OF_EVERY_STEP)
    assert given_to(checkout, "build") == ["--rows=100", "--eval-rows=50", "--no-cache"]
    assert given_to(checkout, "train")[1:] == [
        "--optimizer=sgd", "--batch-size=8", "--epochs=2", "--validation-split=0.5", "--seed=7", "--threads=2",
        "--no-cache",
    ]  # fmt: skip
    assert given_to(checkout, "link")[1:] == ["--registry=model-registry", "--collection=mine"]
    assert given_to(checkout, "evaluate")[2:] == ["--policy=better", "--no-cache"]


def test_last_lines_say_seconds_what_was_reused_and_where_the_run_is(checkout: Checkout) -> None:
    checkout.behave(build={"sleep_s": 0.1})
    _, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    table = said[said.index("step       seconds") :].splitlines()
    assert table[1].split()[0] == "build" and float(table[1].split()[1]) > 0
    assert table[1].split()[2:] == ["reused", "local/p/digits_dataset:v0"]
    assert "reused" not in table[2]
    assert table[3].strip() == "http://x/runs/train"
    assert table[-1] == "production of digits is digits-dev:v3, approved by ada."


def test_report_and_page_are_shown_before_the_approval(checkout: Checkout) -> None:
    _, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    report, page, approved = (
        said.index("# The report"),
        said.index("http://x/page-of-v3"),
        said.index("approved by ada"),
    )
    assert report < page < approved


def test_without_terminal_and_name_run_stops_at_the_approval(checkout: Checkout) -> None:
    code, said = checkout.runner("run", "--use-case", "digits")
    assert code == 0
    assert checkout.steps()[-1] == "evaluate"
    assert "make approve APPROVE=NAME" in said.splitlines()[-1]
    assert checkout.everything_ended()


def test_approve_promotes_later_what_run_left_open(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "digits")
    code, said = checkout.runner("approve", "--approver", "grace hopper")
    assert code == 0
    assert given_to(checkout, "promote") == ["--evidence=local/p/digits_evaluation:v7", "--approver=grace hopper"]
    assert "# The report" in said
    assert checkout.state()["pending"] is None


def test_approve_again_changes_nothing(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "digits")
    checkout.runner("approve", APPROVE="ada")
    code, said = checkout.runner("approve", APPROVE="ada")
    assert (code, checkout.steps().count("promote")) == (0, 1)
    assert "Nothing waits" in said


def test_approve_before_any_run_says_what_to_type(checkout: Checkout) -> None:
    code, said = checkout.runner("approve", APPROVE="ada")
    assert code == 2
    assert "hint: first: make run" in said
    assert checkout.calls() == []


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[2Jb", "x" * 200])
def test_approver_must_be_a_name(checkout: Checkout, name: str) -> None:
    checkout.runner("run", "--use-case", "digits")
    code, said = checkout.runner("approve", "--approver", name)
    assert "promote" not in checkout.steps()
    if name:
        assert code == 2 and "is no approver's name" in said
    else:
        assert code == 0 and "waits for an approval" in said


def test_unchanged_asks_nobody_and_promotes_nothing(checkout: Checkout) -> None:
    checkout.behave(evaluate={"result": {"verdict": "unchanged", "evidence": None, "production": "o/r/digits-dev:v3"}})
    code, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert code == 0
    assert checkout.steps()[-1] == "evaluate"
    assert said.splitlines()[-1].startswith("unchanged: digits-dev:v3")
    assert checkout.state()["pending"] is None


def test_failing_verdict_shows_its_reasons_and_asks_nobody(checkout: Checkout) -> None:
    reasons = ["floor_accuracy: 0.31 is below 0.90"]
    checkout.behave(evaluate={"result": {"verdict": "fail", "reasons": reasons}, "exit": 1})
    code, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert code == 1
    assert checkout.steps()[-1] == "evaluate"
    assert "# The report" in said
    assert said.splitlines()[-1] == "  - floor_accuracy: 0.31 is below 0.90"
    assert checkout.runner("approve", APPROVE="ada")[0] == 1


@pytest.mark.parametrize("exit_code", [1, 2, 3])
def test_exit_code_of_a_failing_step_is_the_runners(checkout: Checkout, exit_code: int) -> None:
    error = {"name": "x", "message": "the reason of the step", "hint": ""}
    checkout.behave(train={"error": error, "exit": exit_code})
    code, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert code == exit_code
    assert checkout.steps() == ["build", "train"]
    assert f"error: train stopped with exit code {exit_code}" in said
    assert said.index("the reason of the step") < said.index("error: train stopped")
    assert "Traceback" not in said
    assert checkout.everything_ended()


@pytest.mark.parametrize("stdout", ["", "epoch 1\n{}", "[1, 2]", '{"digest": "m"}'])
def test_step_without_its_one_json_object_is_refused(checkout: Checkout, stdout: str) -> None:
    checkout.behave(train={"stdout": stdout})
    code, said = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert (code, checkout.steps()) == (1, ["build", "train"])
    assert "this is a bug in the step" in said


def test_digits_takes_the_place_of_mnist_when_nobody_asked(checkout: Checkout) -> None:
    # The fake fails at its first call only, as the real build does for mnist alone.
    checkout.behave(build={"error": UNAVAILABLE, "exit": 3})
    build = checkout.root / "steps" / "build.py"
    build.write_text(
        build.read_text().replace("step(behaviour())", "step(behaviour() if 'mnist' in sys.argv[1] else {})")
    )
    code, said = checkout.runner("run", APPROVE="ada")
    assert code == 0
    assert "MNIST cannot be had here: no route to the download" in said
    assert "To use it: set MNIST_NPZ" in said
    assert [call["argv"][0] for call in checkout.calls() if call["name"] == "build"] == [
        "--use-case=mnist", "--use-case=digits",
    ]  # fmt: skip
    assert "production of digits is" in said


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_mnist_that_was_asked_for_is_not_replaced(checkout: Checkout, how: str) -> None:
    checkout.behave(build={"error": UNAVAILABLE, "exit": 3})
    words, more = (["--use-case", "mnist"], {}) if how == "flag" else ([], {"USE_CASE": "mnist"})
    code, _ = checkout.runner("run", *words, APPROVE="ada", **more)
    assert (code, checkout.steps()) == (3, ["build"])


def test_other_failure_of_build_is_no_reason_for_digits(checkout: Checkout) -> None:
    checkout.behave(build={"error": UNAVAILABLE | {"name": "host_unreachable"}, "exit": 3})
    code, _ = checkout.runner("run", APPROVE="ada")
    assert (code, checkout.steps()) == (3, ["build"])


def test_unknown_use_case_is_refused_with_the_known_ones(checkout: Checkout) -> None:
    code, said = checkout.runner("run", "--use-case", "../etc")
    assert code == 2
    assert "there are: digits, mnist" in said
    assert checkout.calls() == []


def test_promotion_that_was_refused_waits_no_longer(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "production_moved", "message": "m", "hint": "h"}, "exit": 1})
    code, _ = checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    assert code == 1
    assert checkout.state()["pending"] is None


def test_promotion_with_the_wrong_key_waits_for_the_right_one(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "alias_refused", "message": "m", "hint": "h"}, "exit": 1})
    assert checkout.runner("run", "--use-case", "digits", APPROVE="ada")[0] == 1
    checkout.behave()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state()["production"]["digits"]["approver"] == "ada"


def test_promotion_that_could_not_reach_the_server_waits_on(checkout: Checkout) -> None:
    checkout.behave(promote={"error": {"name": "unreachable", "message": "m", "hint": "h"}, "exit": 3})
    assert checkout.runner("run", "--use-case", "digits", APPROVE="ada")[0] == 3
    checkout.behave()
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state()["production"]["digits"]["approver"] == "ada"


def test_rollback_evaluates_the_version_before_and_asks(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "digits", APPROVE="ada")
    code, _ = checkout.runner("rollback", "--reason", "-wrong labels", APPROVE="grace")
    assert code == 0
    assert checkout.steps()[5:] == ["evaluate", "promote"]
    assert given_to(checkout, "evaluate") == ["--version=previous", "--policy=rollback"]
    assert given_to(checkout, "promote")[1:] == ["--approver=grace", "--reason=-wrong labels"]


def test_rollback_without_a_name_waits_with_its_reason(checkout: Checkout) -> None:
    assert checkout.runner("rollback", "--use-case=digits", "--version", "v1", "--reason", "why")[0] == 0
    checkout.runner("approve", APPROVE="ada")
    assert given_to(checkout, "evaluate")[0] == "--version=v1"
    assert given_to(checkout, "promote")[1:] == ["--approver=ada", "--reason=why"]


def test_status_tells_what_is_in_production_and_what_waits(checkout: Checkout) -> None:
    assert "Nothing was run here yet" in checkout.runner("status")[1]
    checkout.runner("run", "--use-case", "digits")
    code, said = checkout.runner("status")
    assert code == 0
    assert "production: nothing yet" in said
    assert "waits for an approval: local-org/wandb-registry-model/digits-dev:v3" in said
    assert "verdict pass" in said
    assert f"last on port {checkout.port()}" in said
    checkout.runner("approve", APPROVE="ada")
    said = checkout.runner("status")[1]
    assert "production of digits: local-org/wandb-registry-model/digits-dev:v3, approved by ada" in said
    assert "waits for an approval: nothing" in said


@pytest.mark.parametrize("command", [[], ["run"], ["approve"], ["rollback"], ["serve"], ["clean"]])
def test_help_gives_an_example(checkout: Checkout, command: list[str]) -> None:
    code, said = checkout.runner(*command, "--help")
    assert code == 0
    assert "example: python -m runner" in said
