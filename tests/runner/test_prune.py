"""What `make prune` asks before anything is deleted. The step itself is tested in tests/steps/test_prune.py.

pytest tests/runner/test_prune.py
"""

from __future__ import annotations

import pytest

from tests.runner.conftest import Checkout, Terminal


def flags(checkout: Checkout) -> list[list[str]]:
    """Return the flags of each run of the step."""
    calls = [call["argv"] for call in checkout.calls() if call["name"] == "prune"]
    return [[word for word in argv if not word.startswith(("--out", "--use-case"))] for argv in calls]


@pytest.fixture
def used(checkout: Checkout) -> Checkout:
    assert "Nothing has run here yet" in checkout.runner("prune")[1]
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    return checkout


def test_without_a_terminal_it_shows_and_deletes_nothing(used: Checkout) -> None:
    code, output = used.runner("prune")
    assert code == 2
    assert "prune says this on standard error" in output and "there is no terminal to ask on" in output
    assert flags(used) == [[]]


@pytest.mark.parametrize(("answer", "code", "times"), [("n", 1, 1), ("y", 0, 2)])
def test_a_person_is_asked(used: Checkout, answer: str, code: int, times: int) -> None:
    terminal = Terminal(used, "prune", "--older-than", "7")
    terminal.read_until("Delete them? [y/N]")
    assert flags(used) == [["--older-than=7"]]
    terminal.type(f"{answer}\n")
    assert terminal.exit_code() == code
    assert flags(used) == [["--older-than=7"], ["--older-than=7", "--delete=c0ffee"]][:times]
    assert ("Deleted 1 of 1 versions." if code == 0 else "Nothing was deleted.") in terminal.output


def test_what_could_not_be_deleted_is_an_answer_of_no(used: Checkout) -> None:
    used.behave(prune={"result": {"deleted": []}})
    code, output = used.runner("prune", "--yes")
    assert (code, "Deleted 0 of 1 versions." in output) == (1, True)


def test_with_nothing_to_delete_nobody_is_asked(used: Checkout) -> None:
    used.behave(prune={"result": {"versions": []}})
    assert used.runner("prune")[0] == 0
    assert flags(used) == [[]]
