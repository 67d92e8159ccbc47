"""The settings of a repository on GitHub, which our fake `gh` answers from and changes."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import own
from tests.steps import published
from tests.workflows.described import list_api_calls, wrong_in
from tests.workflows.fake_gh import FakeGH

AT = "repos/acme/models"
KEYS = {"WANDB_API_KEY": "k1-" + "a" * 37, "WANDB_PROMOTE_KEY": "k2-" + "b" * 37}

# As GitHub creates a repository.
FRESH = {
    AT: {
        "visibility": "public",
        "default_branch": "main",
        "owner": {"login": "acme", "type": "Organization"},
        "permissions": {"admin": True},
    },
    f"{AT}/actions/permissions": {"enabled": True, "allowed_actions": "all"},
    f"{AT}/actions/permissions/workflow": {
        "default_workflow_permissions": "write",
        "can_approve_pull_request_reviews": False,
    },
    f"{AT}/actions/variables": {"total_count": 0, "variables": []},
    f"{AT}/actions/secrets": {"total_count": 0, "secrets": []},
    f"{AT}/actions/organization-secrets": {"total_count": 0, "secrets": []},
    f"{AT}/actions/organization-variables": {"total_count": 0, "variables": []},
    f"{AT}/actions/workflows": {
        "total_count": 2,
        "workflows": [{"id": 31, "path": ".github/workflows/pipeline.yml", "state": "active"}],
    },
    f"{AT}/codeowners/errors": {"errors": []},
    f"{AT}/rules/branches/main": [],
    f"{AT}/rulesets": [],
    "users/bob": {"id": 7},
    "users/carol": {"id": 8},
    "orgs/acme/teams/ml": {"id": 70},
}


class GitHub:
    """A clone of this repository, and its settings on GitHub."""

    def __init__(self, folder: Path):
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.gh = FakeGH(self.bin, FRESH)
        self.output = ""
        self.clone = own.clone(folder / "clone", ("tools", "Makefile"))
        shutil.rmtree(self.clone / "usecases/remote")  # one use case, whose environment is `production`

    @property
    def state(self):
        return self.gh.state

    @state.setter
    def state(self, state):
        self.gh.state = state

    def calls(self):
        """Return the calls of `gh` so far."""
        return list(self.gh.calls)

    def changes(self):
        """Return the calls so far that change something."""
        return [row for row in self.calls() if row["words"][0] != "api" or "--method" in row["words"]]

    def environ(self):
        return {"PATH": f"{self.bin}:{os.environ['PATH']}"}

    def run(self, *args, **environ):
        done = subprocess.run(
            [sys.executable, "-m", "tools.github", *args],
            cwd=self.clone,
            env=self.environ() | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        self.output = done.stdout + done.stderr
        assert "Traceback" not in self.output, self.output
        return done.returncode

    def setup_on_a_terminal(self, *args, answers):
        """Run setup as a person does: answer each question when it is asked, and keep what the terminal shows."""
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.clone)
            signal.alarm(60)  # a question that no one answers ends it
            command = [sys.executable, "-m", "tools.github", "setup", *args]
            os.execve(sys.executable, command, self.environ())  # noqa: S606
        shown, waiting = b"", list(answers.items())
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
            if waiting and f"  {waiting[0][0]}: ".encode() in shown:
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
        self.output = shown.decode()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def github(tmp_path):
    """A repository. At the end, each call must be one that GitHub describes, where its description is at hand."""
    repository = GitHub(tmp_path)
    yield repository
    repository.gh.close()
    if description := published.load():
        calls = list_api_calls(repository.calls())
        assert [wrong for call in calls for wrong in wrong_in(description, *call)] == []


def is_set_up(github):
    """A repository that lacks nothing."""
    args = ("acme/models", "--reviewer", "bob acme/ml", "--entity", "acme")
    assert github.setup_on_a_terminal(*args, answers=KEYS) == 0, github.output
    return github


def production(state):
    return state[f"{AT}/environments/production"]


def policies(state):
    return state[f"{AT}/environments/production/deployment-branch-policies"]["branch_policies"]


def ruled(state):
    return state[f"{AT}/rules/branches/main"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The settings of a repository that lacks nothing."""
    repository = is_set_up(GitHub(tmp_path_factory.mktemp("good")))
    repository.gh.close()
    return repository.state
