"""
The one issue of a model's audit: the real script against a GitHub of the test's own.

    pytest tests/workflows/test_issue.py
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.workflows.files import ACTIONS
from tests.workflows.github import of_action

SCRIPT = ACTIONS / "issue" / "issue.py"
FOUND = [{"name": "alias_moved", "message": "production is v3, and the ledger says v2"}]


@pytest.fixture
def audit(github, tmp_path):
    """Update the issue after an audit with these findings; return the states of all issues."""

    def audit(findings, use_case="glyphs"):
        (tmp_path / "result.json").write_text(json.dumps({"findings": findings, "entries": []}))
        environ = of_action(github)
        environ |= {
            "USE_CASE": use_case,
            "FOLDER": str(tmp_path),
            "RUN_URL": "https://github.com/r",
        }
        done = subprocess.run([sys.executable, SCRIPT], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [issue["state"] for issue in github.issues]

    return audit


def test_one_issue_is_opened_updated_closed_and_opened_again(audit, github):
    assert audit([]) == []
    assert audit(FOUND) == ["open"]
    assert "    alias_moved: production is v3" in github.issues[0]["body"]
    assert audit([*FOUND, {"name": "entry_lost", "message": "v1"}]) == ["open"]
    assert "    entry_lost: v1" in github.issues[0]["body"]
    assert audit([]) == ["closed"]
    assert "found nothing" in github.issues[0]["body"]
    assert audit(FOUND) == ["open"]


def test_each_model_has_an_issue_of_its_own(audit, github):
    audit(FOUND)
    assert audit(FOUND, "remote") == ["open", "open"]
    assert audit([]) == ["closed", "open"]


def test_an_issue_that_somebody_else_wrote_is_left_alone(audit, github):
    audit(FOUND)
    for user in ({"login": "mallory"}, None):
        github.issues[0]["user"] = user
        before = dict(github.issues[0])
        audit([])
        assert github.issues[0] == before


def test_what_was_found_is_code_and_bounded(audit, github):
    audit([{"name": "x", "message": "a\n<b>@everyone</b> " + "y" * 5000}] * 60)
    lines = github.issues[0]["body"].splitlines()
    matches = [line for line in lines if "everyone" in line]
    assert len(matches) == 50 and all(line.startswith("    x: a <b>") and len(line) < 600 for line in matches)
    assert "and 10 more" in lines
