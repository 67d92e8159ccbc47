"""
Each rule of the gate is needed: without it, its own test goes red. A new rule without a test fails here by itself.

    pytest tests/modelgate/test_gate_mutation.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from modelgate.tracking.fingerprint import ROOT
from tests.modelgate import without_rule


@pytest.fixture(scope="module")
def said():
    """Of each rule, what the plugin says of its own tests."""
    plugin = ["-p", "tests.modelgate.without_rule", "-p", "no:cacheprovider", "-p", "no:terminal", "-s"]
    tests = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "tests/modelgate/test_gate.py",
            *plugin,
            "-o",
            "addopts=--import-mode=importlib",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    return dict(line.split(": ", 1) for line in tests.stdout.splitlines())


@pytest.mark.parametrize("rule", without_rule.names())
def test_without_the_rule_its_test_goes_red(said, rule):
    assert re.fullmatch("0 red with it, [1-9][0-9]* without", said[rule])
