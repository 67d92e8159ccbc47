"""
Each rule of the approval is needed: without it, some test of approval/ goes red. mutation.py finds the rules.

    pytest tests/steps/test_approval_mutation.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modelgate.promotion import approval
from modelgate.tracking.fingerprint import ROOT

MODULES = sorted(Path(approval.__file__).parent.glob("*.py"))


def name_of(path):
    """The module that a file is."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def without_each_rule(*flags):
    plugin = ["-p", "tests.steps.mutation", "-p", "no:cacheprovider"]
    # Only the plugin is to speak: there is no report of the tests that go red.
    silent = ["-s", "-p", "no:terminal", "-o", "addopts=--import-mode=importlib"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/steps/approval", *plugin, *silent, *flags],
        cwd=ROOT,
        env={**os.environ, "MUTATE": " ".join(map(name_of, MODULES)), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=800,
    )


def test_without_a_rule_a_test_goes_red():
    tests = without_each_rule()
    assert tests.returncode == 0, tests.stdout + tests.stderr
    raises = sum(path.read_text(encoding="utf-8").count(" raise ") for path in MODULES)
    assert tests.stdout.count(": raise ") == raises > 20


def test_a_rule_without_a_test_is_named():
    tests = without_each_rule("-k", "two_approvals")
    assert tests.returncode == 1, tests.stdout + tests.stderr
    rules = dict(line.split(" -> ") for line in tests.stdout.splitlines() if ": raise StepError(" in line)
    assert [rule for rule, test in rules.items() if "'two_approvals'" in rule and "test_flags" in test]
    assert [rule for rule, test in rules.items() if "'self_approval'" in rule and "NO TEST" in test]
