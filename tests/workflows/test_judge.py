"""
The check `judge untouched`: main's own script, which asks GitHub for the files of a pull request.

    pytest tests/workflows/test_judge.py
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest

from tests.workflows.files import ACTIONS, ROOT, workflows
from tests.workflows.github import of_action

SCRIPT = ACTIONS / "touches-judge" / "judge.py"
HEAD, BASE, BEFORE = "a" * 40, "b" * 40, "c" * 40
CONFIG = "usecases/glyphs/config.toml"
TEXT = (ROOT / "tests" / CONFIG).read_text()


@pytest.fixture
def judge(github, tmp_path):
    """Return the check run of a pull request with these files, if any. A file is a name, or (new name, old name)."""

    def judge(*files, into="main", head="eve:better", sha=HEAD, before=TEXT, after=TEXT):
        api_path = github.at
        side = {"label": "eve:better", "sha": HEAD}
        github.pulls = [{"number": 7, "head": side, "base": {"ref": into, "sha": BASE}}]
        pairs = [(name, None) if isinstance(name, str) else name for name in files]
        rows = [{"filename": new} | ({"previous_filename": old} if old else {}) for new, old in pairs]
        pages = iter([rows[first : first + 100] for first in range(0, len(rows) + 1, 100)])
        github.answers[f"{api_path}/pulls/7/files"] = lambda: next(pages)
        github.answers[f"{api_path}/compare/{BASE}...{HEAD}"] = {"merge_base_commit": {"sha": BEFORE}}
        texts = iter([before, after])
        encoded = lambda: {"content": base64.encodebytes(next(texts).encode()).decode()}  # noqa: E731
        github.answers[f"{api_path}/contents/{CONFIG}"] = encoded
        environ = of_action(github)
        environ |= {"HEAD": head, "SHA": sha}
        done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return github.checks[-1] if github.checks else None

    return judge


def ends(check):
    assert (check["name"], check["head_sha"], check["status"]) == ("judge untouched", HEAD, "completed")
    return check["conclusion"]


@pytest.mark.parametrize("files", [["usecases/glyphs/model.py"], ["docs/x.md", "README.md"], [CONFIG]])
def test_a_pull_request_that_changes_models_alone_is_green(judge, files):
    assert ends(judge(*files, after=TEXT.replace("epochs = 15", "epochs = 30"))) == "success"


@pytest.mark.parametrize(
    "files",
    [
        [".github/workflows/pipeline.yml"],
        [".github/workflows/judge.yml"],
        ["usecases/glyphs/data.py"],
        ["docs/gone.md", ("docs/rules.py", "modelgate/gate/rules.py")],
        [*[f"docs/{number}.md" for number in range(150)], "steps/evaluate.py"],
        [f"docs/{number}.md" for number in range(3000)],
    ],
)
def test_one_that_touches_its_judge_is_red(judge, files):
    assert ends(judge(*files)) == "failure"


def test_a_gate_that_is_made_lower_is_red(judge):
    check = judge(CONFIG, after=TEXT.replace("at_least = 0.90", "at_least = 0.10"))
    assert (ends(check), CONFIG in check["output"]["summary"]) == ("failure", True)


def test_one_into_another_branch_is_red(judge):
    assert ends(judge("usecases/glyphs/model.py", into="easy")) == "failure"


def test_the_name_of_a_file_is_code_in_the_summary(judge):
    summary = judge("steps/x\n[click](javascript:alert(1))")["output"]["summary"]
    assert all(line.startswith("    ") for line in summary.splitlines()[2:])
    assert json.dumps("steps/x\n[click](javascript:alert(1))") in summary


@pytest.mark.parametrize("other", [{"head": "eve:other"}, {"sha": "d" * 40}])
def test_a_commit_of_no_open_pull_request_gets_no_check(judge, other):
    assert judge("steps/evaluate.py", **other) is None


def test_it_is_main_s_code_that_looks_and_nothing_of_the_pull_request_is_checked_out():
    workflow = workflows()["judge.yml"].content
    assert workflow["on"] == {"workflow_run": {"workflows": ["Pipeline"], "types": ["requested"]}}
    (checkout,) = (step for _, step in workflows()["judge.yml"].steps() if "checkout" in step.get("uses", ""))
    assert checkout["with"].keys() == {"persist-credentials", "sparse-checkout"}
