"""
What waits for an approval, as the runner writes it and these pages read it.

    pytest tests/pages/test_waiting.py
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pages import waiting
from pages.waiting import Answer, State, Waiting
from tests.runner.conftest import Checkout, checkout  # noqa: F401


def test_what_the_runner_leaves_open_waits_and_what_it_promoted_is_the_answer(checkout: Checkout) -> None:  # noqa: F811
    checkout.runner("run", "--use-case", "glyphs")
    version = "local-org/wandb-registry-model/glyphs-dev:v3"
    evidence = "local/p/glyphs_evaluation:v7"
    headline = "pass: 1.0 point lower than production, within what 497 rows can tell"
    waits = Waiting("glyphs", evidence, version, None, headline, reason="", host=None, again="make run USE_CASE=glyphs")
    assert waiting.read(checkout.folder) == State({"glyphs": waits}, {}, "glyphs")
    other = ["--evidence", "local/p/glyphs_evaluation:v6", "--approver", "ada"]
    code, output = checkout.runner("approve", "--in-browser", *other)
    assert (code, "v6 does not wait for an approval" in output) == (2, True)
    assert "promote" not in checkout.steps()
    for _ in range(2):
        code, output = checkout.runner("approve", "--in-browser", "--evidence", evidence, "--approver", "ada")
        assert (code, "The report" in output) == (0, False)
    assert checkout.steps().count("promote") == 1
    assert "--in-browser" in checkout.call("promote")["argv"]
    assert waiting.read(checkout.folder) == State(
        {}, {"glyphs": Answer(evidence, version, "ada", refused="")}, "glyphs"
    )
    assert checkout.runner("approve", *other)[0] == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"pending": 7, "answer": "no"}', "null", '{"use_cases": 7}', '{"use_cases": {"glyphs": 7}}'],
)
def test_a_state_that_cannot_be_read_says_that_nothing_waits(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert waiting.read(tmp_path) == State()
    assert waiting.read(tmp_path / "missing") == State()


def test_what_an_older_runner_left_waits(tmp_path: Path) -> None:
    """It kept only the last run."""
    (tmp_path / "state.json").write_text('{"pending": {"use_case": "glyphs", "evidence": "e"}, "answer": null}')
    assert waiting.read(tmp_path).waiting["glyphs"].evidence == "e"
