"""
Which pull requests would judge themselves: the real script in a repository whose HEAD is a pull request's merge.

    pytest tests/workflows/test_touches_judge.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.workflows.acting import commit, git
from tests.workflows.files import ACTIONS, ROOT

SCRIPT = ACTIONS / "touches-judge" / "touches_judge.py"
CONFIG = "usecases/digits/config.toml"


@pytest.fixture
def repository(tmp_path):
    """A repository with one use case, on main."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / CONFIG).parent.mkdir(parents=True)
    (tmp_path / CONFIG).write_text((ROOT / CONFIG).read_text())
    (tmp_path / "usecases/digits/model.py").write_text("UNITS = 8\n")
    commit(tmp_path, "First")
    return tmp_path


def touches(repository, change, event="pull_request"):
    """What the action answers for a pull request with this change, merged as GitHub does it."""
    git(repository, "switch", "-q", "-c", "better")
    change(repository)
    commit(repository, "Better")
    git(repository, "switch", "-q", "main")
    (repository / "steps").mkdir(exist_ok=True)
    (repository / "steps/evaluate.py").write_text("# main has gone on; that is no change of the pull request\n")
    commit(repository, "Main goes on")
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "better")
    output = repository.parent / "output"
    output.write_text("")
    environ = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": event, "GITHUB_OUTPUT": str(output)}
    done = subprocess.run([sys.executable, SCRIPT], cwd=repository, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output.read_text(), done.stdout


def writes(name, text="x\n"):
    def change(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return change


def replaces(old, new):
    def change(root):
        text = (root / CONFIG).read_text()
        assert old in text
        (root / CONFIG).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    "change",
    [
        writes("usecases/digits/model.py", "UNITS = 16\n"),
        replaces("epochs = 15", "epochs = 30"),
        writes("README.md"),
        writes("tests/steps/test_gate.py"),
        writes("docs/steps/gate.md"),
    ],
)
def test_a_pull_request_that_changes_the_model_may_promote(repository, change):
    assert touches(repository, change)[0] == "touches=false\n"


@pytest.mark.parametrize(
    "change",
    [
        writes("steps/common/gate.py"),
        writes("steps/évaluer.py"),
        writes("docker/evaluate/Dockerfile"),
        writes(".github/workflows/pipeline.yml"),
        writes(".github/actions/touches-judge/touches_judge.py"),
        writes("requirements.txt"),
        writes("runner/images.py"),
        writes("usecases/digits/data.py"),
        writes("usecases/digits/behaviour.py"),
        writes("usecases/__init__.py"),
        writes("usecases/digits/deep/model.py"),
        writes("usecases/other/config.toml", "[gate]\nfloor_accuracy = 0\n"),
        replaces("floor_accuracy = 0.90", "floor_accuracy = 0.10"),
        replaces("eval_rows = 497", "eval_rows = 7"),
        replaces("self_approval = false", "self_approval = true"),
        lambda root: (root / CONFIG).unlink(),
        lambda root: (root / CONFIG).write_text("[gate\n"),
        lambda root: (root / "usecases/digits/model.py").rename(root / "usecases/digits/data.py"),
    ],
)
def test_a_pull_request_that_changes_its_judge_is_merged_first(repository, change):
    assert touches(repository, change)[0] == "touches=true\n"


def test_a_file_s_name_is_no_command(repository):
    output, said = touches(repository, writes("steps/x\n::set-output name=touches::false\ntouches=false"))
    assert output == "touches=true\n"
    assert not [line for line in said.splitlines() if line.startswith("::")]


def test_elsewhere_there_is_no_judge_to_touch(repository):
    assert touches(repository, writes("steps/common/gate.py"), event="push")[0] == "touches=false\n"


def test_without_the_merge_it_fails(repository):
    git(repository, "checkout", "-q", "--detach")
    environ = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": "pull_request", "GITHUB_OUTPUT": "/dev/null"}
    done = subprocess.run([sys.executable, SCRIPT], cwd=repository, env=environ, capture_output=True, text=True)
    assert done.returncode != 0
