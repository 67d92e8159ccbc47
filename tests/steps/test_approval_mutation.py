"""
Each rule of the approval is needed: without it, a test of approval/ fails. tests/mutation.py finds the rules.

    pytest tests/steps/test_approval_mutation.py            one rule, and that one without a test is named
    pytest tests/steps/test_approval_mutation.py -m prove   every rule
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from modelgate.promotion import approval
from modelgate.tracking.fingerprint import ROOT
from tests.mutation import NO_TEST, without_each_rule

FILES = sorted(Path(approval.__file__).parent.glob("*.py"))
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]
TESTS = ["tests/steps/approval"]


@pytest.mark.prove
def test_without_a_rule_a_test_goes_red():
    result = without_each_rule(MODULES, TESTS)
    assert result.exit == 0, result.log
    nodes = [node for path in FILES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    raises = sum(isinstance(node, ast.Raise) for node in nodes)
    assert sum(": raise " in rule for rule in result.red) == raises > 20


def test_a_rule_without_a_test_is_named():
    result = without_each_rule(MODULES, TESTS, "-k", "two_approvals")
    assert result.exit == 1, result.log
    rules = {rule: test for rule, test in result.red.items() if ": raise StepError(" in rule}
    assert [rule for rule, test in rules.items() if "'two_approvals'" in rule and "test_flags" in test]
    assert [rule for rule, test in rules.items() if "'self_approval'" in rule and test == NO_TEST]


def test_the_names_that_mutations_look_for_are_in_the_code():
    """Otherwise a rename would silently leave these rules without their mutations."""
    code = "".join(path.read_text(encoding="utf-8") for path in FILES)
    for name in (" to_line(", "require_variable(", "_NoRedirect", ".fullmatch(", "timeout=", "ASCII", ".lower()"):
        assert name in code, name
