"""
Each rule of the gate is needed: without it, its own test goes red. A new rule without a test fails here by itself.

    pytest tests/modelgate/test_gate_mutation.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from modelgate.gate import rules
from modelgate.tracking.fingerprint import ROOT

ALL = (rules.SANITY, rules.LEAKS, rules.SUPPORT, rules.QUALITY, *rules.HISTORY.values(), *rules.COMPARISON.values())
RULES = sorted({rule.__name__ for some in ALL for rule in some})


@pytest.mark.parametrize("rule", RULES)
def test_without_the_rule_its_test_goes_red(rule):
    plugin = ["-p", "tests.modelgate.without_rule", "-p", "no:cacheprovider", "-k", f"test_{rule}_refuses"]
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/modelgate/test_gate.py", *plugin],
        cwd=ROOT,
        env={**os.environ, "WITHOUT_RULE": rule, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert tests.returncode == 1, tests.stdout  # 1: tests ran and failed; 5 would be: there is no such test
    assert "failed" in tests.stdout
