"""
The check `judge untouched`: main's own script, which asks GitHub for the files that a commit changes.

    pytest tests/workflows/test_judge.py
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.workflows.files import ACTIONS, ROOT, workflows
from tests.workflows.github import of_action

SCRIPT = ACTIONS / "touches-judge" / "judge.py"
HEAD, MAIN, BEFORE = "a" * 40, "b" * 40, "c" * 40
CONFIG = "usecases/glyphs/config.toml"
TEXT = (ROOT / "tests" / CONFIG).read_text()


class Judged(NamedTuple):
    code: int
    stdout: str
    summary: str


@pytest.fixture
def judge(github, tmp_path):
    """Return what the check says about a commit with these files. A file is a name, or (new name, old name)."""

    def judge(*files, into="main", before=TEXT, after=TEXT):
        pairs = [(name, None) if isinstance(name, str) else name for name in files]
        rows = [{"filename": new} | ({"previous_filename": old} if old else {}) for new, old in pairs]
        # GitHub's limit, whatever the page's size is.
        answer = {"merge_base_commit": {"sha": BEFORE}, "files": rows[:300]}
        github.answers[f"{github.at}/compare/{MAIN}...{HEAD}"] = answer
        texts = iter([before, after])
        encoded = lambda: {"content": base64.encodebytes(next(texts).encode()).decode()}  # noqa: E731
        github.answers[f"{github.at}/contents/{CONFIG}"] = encoded
        summary = tmp_path / "summary.md"
        environ = of_action(github) | {"BASE": into, "SHA": HEAD, "GITHUB_SHA": MAIN}
        environ["GITHUB_STEP_SUMMARY"] = str(summary)
        done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True)
        assert done.stderr == ""
        return Judged(done.returncode, done.stdout, summary.read_text())

    return judge


@pytest.mark.parametrize("files", [["usecases/glyphs/model.py"], ["docs/x.md", "README.md"], [CONFIG]])
def test_a_pull_request_that_changes_models_alone_is_green(judge, files):
    assert judge(*files, after=TEXT.replace("epochs = 15", "epochs = 30")).code == 0


@pytest.mark.parametrize(
    "files",
    [
        [".github/workflows/pipeline.yml"],
        [".github/workflows/judge.yml"],
        [".github/workflows/of_its_own.yml"],
        ["usecases/glyphs/data.py"],
        ["docs/gone.md", ("docs/rules.py", "modelgate/gate/rules.py")],
        [*[f"docs/{number}.md" for number in range(150)], "steps/evaluate.py"],
        [f"docs/{number}.md" for number in range(300)],
    ],
)
def test_one_that_touches_its_judge_is_red(judge, files):
    assert judge(*files).code == 1


def test_a_gate_that_is_made_lower_is_red(judge):
    code, stdout, summary = judge(CONFIG, after=TEXT.replace("at_least = 0.90", "at_least = 0.10"))
    assert code == 1
    assert CONFIG in stdout
    assert CONFIG in summary


def test_one_into_another_branch_is_red(judge):
    assert judge("usecases/glyphs/model.py", into="easy").code == 1


def test_the_name_of_a_file_is_code_in_the_summary_and_no_command(judge):
    name = "steps/x\n::error::y\n[click](javascript:alert(1))"
    _, stdout, summary = judge(name)
    assert all(line.startswith("    ") for line in summary.splitlines())
    assert json.dumps(name) in summary
    assert not [line for line in stdout.splitlines() if line.startswith("::")]


def test_the_answer_names_its_commit(judge):
    """A workflow run that waits for its approval may be about an earlier one."""
    assert f"commit {HEAD}" in judge("README.md").summary


def test_without_an_answer_of_github_it_is_red(github, tmp_path):
    environ = of_action(github) | {"BASE": "main", "SHA": HEAD, "GITHUB_SHA": MAIN}
    environ |= {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_API_URL": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1


def test_it_runs_for_every_pull_request_and_no_one_can_post_over_its_answer():
    """A job's own result is the check: GitHub lets no token change it, unlike a check that a script created."""
    judge = workflows()["judge.yml"]
    assert judge.content["on"] == {"pull_request_target": {"types": ["opened", "synchronize", "reopened"]}}
    (job,) = judge.jobs.values()
    assert (job["name"], job["permissions"], "if" in job) == ("judge untouched", {"contents": "read"}, False)
