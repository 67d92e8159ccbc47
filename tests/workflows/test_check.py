"""
The check run of a model on a commit: the real script against a GitHub of the test's own.

    pytest tests/workflows/test_check.py
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import own
from tests.workflows.files import ACTIONS
from tests.workflows.github import of_action

SCRIPT = ACTIONS / "report" / "report.py"
SHA = "a" * 40
PAGE = "https://wandb.ai/vision/model-registry-dev/runs/abc"
RUN = "https://github.com/team/models/actions/runs/1"


@pytest.fixture
def report(github, tmp_path):
    """Report, and return the check runs by name. The use cases of main are glyphs and remote."""
    own.install_in(tmp_path / "main")

    def report(verdicts=None, **inputs):
        for name, verdict in (verdicts or {}).items():
            folder = tmp_path / f"reports/report-{name}"
            folder.mkdir(parents=True, exist_ok=True)
            headline = f"{verdict}: 1.0 point higher than production, within what 500 rows can tell"
            (folder / "result.json").write_text(json.dumps({"verdict": verdict, "headline": headline}))
            (folder / "evidence.json").write_text(json.dumps({"evaluation_run": {"url": PAGE}}))
        environ = of_action(github)
        environ |= {"FOLDER": str(tmp_path / "reports"), "USE_CASE": "", "UNTOUCHED": ""}
        environ |= {"CHECK": "true", "ENDED": "", "PULL_REQUEST": "", "HEAD": "", "SHA": SHA, "THEN": "", "JOBS": "{}"}
        environ |= {"RUN_URL": RUN, "FROM_STRANGER": "false", **inputs}
        done = subprocess.run(
            [sys.executable, SCRIPT], env=environ, cwd=tmp_path / "main", capture_output=True, text=True
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert all(row["head_sha"] == SHA and row["status"] == "completed" for row in github.checks)
        return {row["name"]: row for row in github.checks}

    return report


@pytest.mark.parametrize(
    ("verdict", "ends"),
    [("pass", "success"), ("unchanged", "success"), ("fail", "failure"), ("excellent", "failure"), (None, "failure")],
)
def test_a_verdict_is_the_end_of_the_check(report, github, verdict, ends):
    check = report({"glyphs": verdict} if verdict else None, USE_CASE="glyphs")["model gate (glyphs)"]
    assert check["conclusion"] == ends
    assert github.comments == []  # a push, which has no pull request
    if verdict in ("pass", "fail"):
        line = f"{verdict}: 1.0 point higher than production, within what 500 rows can tell"
        assert check["output"]["title"] == line
        assert line.partition(": ")[2] in check["output"]["summary"]
        assert check["details_url"] == PAGE
    if verdict is None:
        assert (check["output"]["title"], check["details_url"]) == ("no verdict", RUN)


def test_a_second_report_on_a_commit_writes_the_same_check(report, github):
    report({"glyphs": "fail"}, USE_CASE="glyphs")
    report({"glyphs": "pass"}, USE_CASE="glyphs")
    assert [row["conclusion"] for row in github.checks] == ["success"]


def test_a_check_of_that_name_that_another_app_made_is_left_alone(report, github):
    theirs = {"id": 0, "name": "model gate (glyphs)", "head_sha": SHA, "status": "completed", "app": {"slug": "x"}}
    github.checks.append(dict(theirs))
    report({"glyphs": "pass"}, USE_CASE="glyphs")
    assert github.checks[0] == theirs and github.checks[1]["conclusion"] == "success"


def test_models_that_a_change_does_not_touch_have_a_neutral_check(report):
    checks = report(UNTOUCHED='["glyphs", "remote"]')
    assert {name: row["conclusion"] for name, row in checks.items()} == {
        "model gate (glyphs)": "neutral",
        "model gate (remote)": "neutral",
    }
    assert report(UNTOUCHED="[]").keys() == checks.keys()


def test_a_version_that_a_person_dispatched_makes_no_check(report):
    assert report({"glyphs": "pass"}, USE_CASE="glyphs", CHECK="false") == {}


STRANGER = {"FROM_STRANGER": "true", "PULL_REQUEST": "7"}


def test_a_stranger_s_word_is_never_a_success(report):
    """And a name that is not a use case on main gets no check."""
    checks = report({"glyphs": "pass", "done": "pass"}, ENDED="success", **STRANGER)
    ends = {name: row["conclusion"] for name, row in checks.items()}
    assert ends == {"model gate (glyphs)": "neutral", "model gate (remote)": "neutral"}
    assert checks["model gate (glyphs)"]["output"]["title"].startswith("the pull request's own code says pass: 1.0")
    assert checks["model gate (glyphs)"]["details_url"] == RUN
    assert report({"glyphs": "fail"}, ENDED="success", **STRANGER)["model gate (glyphs)"]["conclusion"] == "failure"


def test_a_stranger_s_run_that_failed_without_a_report_fails_the_check(report):
    ends = {name: row["conclusion"] for name, row in report(ENDED="failure", **STRANGER).items()}
    assert ends == {"model gate (glyphs)": "failure", "model gate (remote)": "failure"}


def test_a_stranger_s_run_that_touches_no_model_is_not_commented_on(report, github):
    report(ENDED="success", **STRANGER)
    assert github.comments == []
