"""A version of each use case can wait for its approval: real processes, fake steps.

python -m pytest tests/runner/test_waiting.py
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.state import keep_pending

from .conftest import VERSION, Checkout, given_to


@pytest.fixture
def two_waiting(checkout: Checkout) -> Checkout:
    """glyphs:v3 waits, and remote:v5, which ran last."""
    checkout.runner("run", "--use-case", "glyphs")
    remote = {"version": "o/r/remote-dev:v5", "evidence": "local/p/remote_evaluation:v2"}
    checkout.behave(evaluate={"result": remote})
    checkout.runner("run", USE_CASE="remote")
    return checkout


AGAIN = 'make run USE_CASE=glyphs ARGS="--epochs 7"'
OTHER = VERSION.replace("v3", "v4")
ENDINGS: dict[str, dict[str, dict[str, Any]]] = {
    "unchanged": {"evaluate": {"result": {"verdict": "unchanged", "evidence": None, "version": "o/r/glyphs-dev:v1"}}},
    "fail": {"evaluate": {"result": {"verdict": "fail", "evidence": "e:v9", "version": OTHER}, "exit": 1}},
    "stopped": {"train": {"error": {"name": "x", "message": "m", "hint": ""}, "exit": 1}},
}


@pytest.fixture
def waiting(checkout: Checkout) -> Checkout:
    """glyphs:v3 waits, with the evidence that it alone has."""
    evidence = {"evidence": "local/p/glyphs_evaluation:v7", "evidence_sha256": "a7"}
    checkout.behave(evaluate={"result": evidence})
    checkout.runner("run", "--use-case", "glyphs", "--epochs", "7")
    return checkout


BOTH = """hint: these wait; type the line of the one that you mean:
  glyphs-dev:v3 of glyphs: make approve USE_CASE=glyphs APPROVE=NAME
  remote-dev:v5 of remote: make approve USE_CASE=remote APPROVE=NAME
"""


def test_one_version_of_each_use_case_can_wait(two_waiting: Checkout) -> None:
    output = two_waiting.runner("status")[1]
    assert "waits for an approval: o/r/remote-dev:v5   (make approve USE_CASE=remote APPROVE=NAME)" in output
    assert f"waits for an approval: {VERSION}   (make approve USE_CASE=glyphs APPROVE=NAME)" in output
    code, output = two_waiting.runner("approve", APPROVE="ada")
    assert (code, output.endswith(BOTH), "promote" in two_waiting.steps()) == (2, True, False)
    two_waiting.behave(promote={"result": {"version": VERSION}})
    assert two_waiting.runner("approve", USE_CASE="glyphs", APPROVE="ada")[0] == 0
    assert given_to(two_waiting, "promote")[0] == "--evidence=local/p/glyphs_evaluation:v7"
    assert two_waiting.state("remote")["pending"] and not two_waiting.state("glyphs")["pending"]
    code, output = two_waiting.runner("approve", APPROVE="ada")
    assert (code, given_to(two_waiting, "promote")[0]) == (0, "--evidence=local/p/remote_evaluation:v2")


def test_what_waits_goes_on_waiting_after_runs_that_do_not_pass(waiting: Checkout) -> None:
    for ending, steps in ENDINGS.items():
        waiting.behave(**steps)
        output = waiting.runner("run", "--use-case", "glyphs", APPROVE="ada")[1]
        still = "\nglyphs-dev:v3 still waits for an approval: make approve USE_CASE=glyphs APPROVE=NAME\n"
        assert (still in output) == (ending != "stopped"), ending
    assert f"waits for an approval: {VERSION}   (make approve" in waiting.runner("status")[1]
    assert waiting.runner("approve", APPROVE="ada")[0] == 0
    assert given_to(waiting, "promote") == [
        "--evidence=local/p/glyphs_evaluation:v7", "--evidence-sha256=a7", "--approver=ada",
    ]  # fmt: skip


def test_a_newer_version_that_passes_waits_in_place_of_the_older_one_and_the_run_says_so(waiting: Checkout) -> None:
    waiting.behave(evaluate={"result": {"version": OTHER, "evidence": "local/p/glyphs_evaluation:v8"}})
    output = waiting.runner("run", "--use-case", "glyphs")[1]
    assert "\nglyphs-dev:v4 now waits for an approval in place of glyphs-dev:v3.\n" in output
    assert "in place of" not in waiting.runner("run", "--use-case", "glyphs")[1]  # the same version again
    output = waiting.runner("status")[1]
    assert f"waits for an approval: {OTHER}" in output and VERSION not in output


def test_a_version_that_fails_when_it_is_judged_again_or_is_in_production_waits_no_longer() -> None:
    pending = {"version": VERSION}
    assert keep_pending(pending, OTHER, None) == keep_pending(pending, OTHER, OTHER) == pending
    assert keep_pending(pending, VERSION, OTHER) is keep_pending(pending, OTHER, VERSION) is None


def test_what_was_compared_with_another_production_says_why_it_can_not_be_promoted(waiting: Checkout) -> None:
    unchanged = ENDINGS["unchanged"]["evaluate"]["result"] | {"production": OTHER}
    waiting.behave(audit={"result": {"registry": {"production": OTHER}}}, evaluate={"result": unchanged})
    why = "it can no longer be promoted: it was compared with nothing, but production is now glyphs-dev:v4"
    output = waiting.runner("run", "--use-case", "glyphs")[1]
    assert f"\nglyphs-dev:v3 waits for an approval, but {why}.\nTo evaluate it again: {AGAIN}\n" in output
    output = waiting.runner("status")[1]
    assert f"waits for an approval: {VERSION}, but {why}   (to evaluate it again: {AGAIN})" in output


def test_predict_without_a_version_in_production_names_the_line_that_approves_what_waits(waiting: Checkout) -> None:
    nothing = {"name": "nothing_in_production", "message": "nothing is in production", "hint": "make run"}
    waiting.behave(predict={"error": nothing, "exit": 2})
    code, output = waiting.runner("predict", "--input=a", "--output=b")
    waits = "glyphs-dev:v3 waits for your approval: make approve USE_CASE=glyphs APPROVE=NAME\n"
    assert (code, f"\n{waits}" in output) == (2, True)
    waiting.behave(predict={"error": nothing | {"name": "rows_wrong"}, "exit": 2})
    assert waits not in waiting.runner("predict", "--input=a", "--output=b")[1]


def test_a_rollback_that_can_no_longer_be_promoted_is_evaluated_again_as_that_version(checkout: Checkout) -> None:
    moved = {"name": "production_moved", "message": "m", "hint": "h"}
    checkout.behave(promote={"error": moved, "exit": 1})
    output = checkout.runner("rollback", "--reason", "it is slow", USE_CASE="glyphs", APPROVE="ada")[1]
    line = "make rollback USE_CASE=glyphs APPROVE=ada ARGS=\"--reason 'it is slow' --version=v3\""
    assert output.endswith(f"hint: to evaluate glyphs-dev:v3 again: {line}\n")


def test_approve_refuses_a_use_case_of_which_nothing_waits_if_another_waits(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs")
    for words, more in ((["--use-case=remote"], {}), ([], {"USE_CASE": "remote"})):
        code, output = checkout.runner("approve", *words, APPROVE="ada", **more)
        assert (code, "promote" in checkout.steps()) == (1, False)
        assert "error: nothing of remote waits for an approval; nothing was approved" in output
        assert "  glyphs-dev:v3 of glyphs: make approve USE_CASE=glyphs APPROVE=NAME" in output


def test_an_approval_may_be_repeated_while_another_use_case_waits(two_waiting: Checkout) -> None:
    two_waiting.behave(promote={"result": {"version": VERSION}})
    for code in (0, 1):
        assert two_waiting.runner("approve", USE_CASE="glyphs", APPROVE="ada")[0] == code
    assert two_waiting.steps().count("promote") == 1


def test_what_an_older_version_left_waiting_is_approved(checkout: Checkout) -> None:
    """It kept only the last run."""
    checkout.runner("run", "--use-case", "glyphs")
    known = checkout.state()
    seen = {"remote": {"version": "o/r/remote-dev:v5", "approver": "ada", "time": "t", "host": None}}
    old = {"run": known["run"], "pending": known["pending"], "answer": None, "production": seen}
    (checkout.folder / "state.json").write_text(json.dumps(old))
    assert "waits for an approval: local-org/wandb-registry-model/glyphs-dev:v3" in checkout.runner("status")[1]
    assert checkout.runner("approve", APPROVE="ada")[0] == 0
    assert checkout.state("remote")["production"] == seen["remote"]
    assert checkout.state()["pending"] is None


def test_a_rollback_without_a_use_case_is_refused_where_several_have_run_and_nobody_is_asked(
    two_waiting: Checkout,
) -> None:
    code, output = two_waiting.runner("rollback", APPROVE="ada")
    assert (code, two_waiting.steps().count("evaluate")) == (2, 2)
    assert output.splitlines()[-2:] == [
        "error: rollback needs a use case: glyphs, remote have run here",
        "hint: name one: make rollback USE_CASE=NAME APPROVE=ada",
    ]
    assert two_waiting.runner("prune", "--yes")[0] == 2
    for use_case in ("glyphs", "remote"):
        assert two_waiting.runner("rollback", USE_CASE=use_case)[0] == 0
        assert f"--use-case={use_case}" in two_waiting.call("evaluate")["argv"]


def test_what_reads_says_which_use_case_it_took_and_honours_the_one_that_was_named(two_waiting: Checkout) -> None:
    output = two_waiting.runner("audit")[1]
    assert "remote ran last, so this is about remote. For another, add USE_CASE=NAME." in output
    for args in (["audit"], ["predict", "--input=a", "--output=b"], ["prune"]):
        output = two_waiting.runner(*args, USE_CASE="glyphs")[1]
        assert "ran last" not in output
        assert "--use-case=glyphs" in two_waiting.call(args[0])["argv"]
    output = two_waiting.runner("status", USE_CASE="glyphs")[1]
    assert "glyphs-dev:v3" in output and "remote" not in output
