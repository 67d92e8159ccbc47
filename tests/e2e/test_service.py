"""
The fixture and the test of docs/service.md, run as they stand there in a project of somebody else's.

    pytest tests/e2e/test_service.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import engine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code block whose first line names this file."""
    found = re.findall(rf"^```\w+\n(# {re.escape(name)}\n.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


@pytest.fixture
def stranger(tmp_path):
    """`stranger(**environment)` runs the page's test in a folder with nothing of ours, and returns how it went."""
    for name in ("conftest.py", "test_training.py"):
        (tmp_path / name).write_text(block(name), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        env = kept | environment
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)

    return run


def test_the_fixture_of_the_page_starts_the_server_as_a_process(stranger):
    done = stranger(MODELGATE=str(ROOT))
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixture_of_the_page_starts_the_server_as_a_container(stranger):
    done = stranger(MODELGATE_IMAGE=engine.references()["server"])
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_fixture_of_the_page_takes_the_server_that_is_there(stranger, server):
    """As a service container is: the environment says where, and with which key."""
    done = stranger(WANDB_BASE_URL=server.url, WANDB_API_KEY=server.key)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_server_that_cannot_start_is_shown_with_its_own_words(stranger, tmp_path):
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / ".venv").symlink_to(ROOT / ".venv")
    done = stranger(MODELGATE=str(clone))  # without the folder `modelgate_server`
    assert done.returncode == 1
    assert "No module named modelgate_server" in done.stdout


def test_the_workflow_of_the_page_gives_its_tests_the_key_of_its_service():
    workflow = yaml.safe_load(block(".github/workflows/test.yml"))
    job = workflow["jobs"]["test"]
    service, tests = job["services"]["wandb"], job["steps"][-1]
    assert service["env"]["MODELGATE_SERVER_KEY"] == tests["env"]["WANDB_API_KEY"]
    assert tests["env"]["WANDB_BASE_URL"].startswith("http://127.0.0.1:")
    assert workflow["permissions"] == {"contents": "read"}
