"""
Each rule of the gate is needed: without it, its own test fails. A new rule without a test fails here.

    pytest tests/modelgate/test_gate_mutation.py
"""

from __future__ import annotations

import pytest

from modelgate.gate import rules
from tests.mutation import NO_TEST, Result, without_each_rule

KINDS = ("SANITY", "LEAKS", "SUPPORT", "QUALITY")
BY_POLICY = ("HISTORY", "COMPARISON")


def names() -> list[str]:
    """Every rule of the gate."""
    some = [getattr(rules, kind) for kind in KINDS]
    some += [of_policy for kind in BY_POLICY for of_policy in getattr(rules, kind).values()]
    return sorted({rule.__name__ for of_kind in some for rule in of_kind})


@pytest.fixture(scope="module")
def outcome() -> Result:
    own = {name: f"::test_{name}_refuses" for name in names()}
    return without_each_rule([rules.__name__], ["tests/modelgate/test_gate.py"], own=own)


@pytest.mark.parametrize("rule", names())
def test_without_the_rule_its_test_goes_red(outcome: Result, rule: str) -> None:
    assert outcome.red[rule] != NO_TEST


def test_every_function_that_says_whether_a_model_passes_is_a_rule(outcome: Result) -> None:
    assert outcome.exit == 0, outcome.log
    assert sorted(outcome.red) == names()
