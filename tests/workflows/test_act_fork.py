"""
A fork's pull request under act: the real loop, without a key, and main's own workflow, which reports the result.

    pytest tests/workflows/test_act_fork.py -m "prove or not prove"
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests import own
from tests.workflows import acting
from tests.workflows.acting import REPOSITORY
from tests.workflows.files import ROOT

HEAD = "a" * 40
CHECK = "model gate (letters)"


@pytest.fixture
def forked(workspace):
    """
    A workspace in which `make setup` finds the installed packages, and an open pull request of a fork. The link to the
    packages is part of the fork's commit, and goes with it.
    """
    (workspace.repository / ".venv").symlink_to(ROOT / ".venv")
    workspace.github.pulls = [
        {"number": 7, "user": {"login": "eve"}, "head": {"label": "eve:better", "sha": HEAD, "repo": None}}
    ]
    return workspace


def comment(workspace):
    """Return main's result for the run that ended last: the check of `letters`, and how often it wrote a comment."""
    artifacts, run = workspace.folder / "artifacts", workspace.runs
    if (artifacts / str(run)).is_dir():
        shutil.copytree(artifacts / str(run), artifacts / str(run + 1))
    other = {
        "id": run,
        "event": "pull_request",
        "conclusion": "success",
        "head_branch": "better",
        "head_sha": HEAD,
        "html_url": f"https://github.com/{REPOSITORY}/actions/runs/{run}",
        "head_repository": {"full_name": "eve/models", "owner": {"login": "eve"}},
    }
    result = workspace.act(
        "workflow_run", workflow="comment.yml", payload={"action": "completed", "workflow_run": other}
    )
    assert (result.code, result.jobs) == (0, {"comment": "success"}), result.log[-3000:]
    (check,) = [row for row in workspace.github.checks if row["name"] == CHECK]
    return check


def test_a_fork_whose_data_needs_a_variable_is_not_judged_and_its_check_is_neutral(forked):
    network = (forked.repository / "usecases/letters/model.py").read_text() + "# From a fork.\n"
    ran = forked.pull_request({"usecases/letters/model.py": network}, fork=True)
    assert (ran.code, set(ran.jobs)) == (0, {"changed", "fork (letters)", "models"}), ran.log[-3000:]
    assert "LETTERS_LIMIT is not set" in ran.job_logs["fork (letters)"]
    check = comment(forked)
    assert (check["conclusion"], check["output"]["title"]) == ("neutral", "not judged")
    assert forked.github.comments == []


@pytest.mark.prove
def test_a_fork_runs_the_loop_without_secrets_and_main_comments(forked):
    data = forked.repository / "usecases/letters/data.py"
    before = data.read_text()
    own.edit(data, ('    if "LETTERS_LIMIT" not in', '    if "LETTERS_LIMIT" in'))
    own.edit(data, ('int(os.environ["LETTERS_LIMIT"])', "5"))
    changed = data.read_text()
    data.write_text(before)
    ran = forked.pull_request({"usecases/letters/data.py": changed}, fork=True)
    assert (ran.code, set(ran.jobs)) == (0, {"changed", "fork (letters)", "models"}), ran.log[-3000:]
    artifact = forked.folder / "artifacts" / str(forked.runs) / "report-letters"
    headline = json.loads((artifact / "evidence.json").read_text())["headline"]
    assert (artifact / "report.md").read_text().startswith(f"# {headline}\n")
    assert comment(forked)["conclusion"] == "neutral"
    (posted,) = forked.github.comments
    assert posted["body"].splitlines()[2] == f"`letters` ✅ **pass**: {headline.removeprefix('pass: ')}"
    assert posted["body"].count("```mermaid") == 3
    assert "~~~text\n# " in posted["body"]
    assert acting.git(forked.repository, "status", "--short") == ""
    assert acting.git(forked.repository, "rev-parse", "--abbrev-ref", "HEAD") == "main"
