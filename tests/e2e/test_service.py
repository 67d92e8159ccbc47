"""
Run the fixtures, the test and the workflow of docs/how-to/service.md, unchanged, in a project that has none of our
files.

    pytest tests/e2e/test_service.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import engine
from tests.serving import healthy, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "service.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code block whose first line names this file."""
    matches = re.findall(rf"^```\w+\n(# {re.escape(name)}\n.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(matches) == 1, name
    return str(matches[0])


def workflow() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(block(".github/workflows/test.yml"))
    return parsed


def services_and_tests() -> tuple[dict[str, Any], dict[str, Any]]:
    job = workflow()["jobs"]["test"]
    return job["services"]["wandb"], job["steps"][-1]


@pytest.fixture
def stranger(tmp_path):
    """`stranger(*arguments, **environment)` runs the page's test in a folder of its own, and returns how it went."""
    (tmp_path / "test_training.py").write_text(block("test_training.py"), encoding="utf-8")
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        env = inherited | environment
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)

    return run


def test_the_plugin_runs_the_test_of_the_page(stranger, tmp_path):
    """tests/server/test_package.py installs the package; here it is loaded by name."""
    (tmp_path / "pytest.ini").write_text(block("pytest.ini"))
    wrong = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_MODE": "disabled"}
    done = stranger("-p", "modelgate_server.pytest_plugin", PYTHONPATH=str(ROOT), **wrong)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_image_runs_the_test_of_the_page(stranger):
    """Run the service container of the page's workflow, with its variables for the service and for the tests."""
    service, tests = services_and_tests()
    options = [*service["options"].split(), *(f"--publish={port}" for port in service["ports"])]
    options += [f"--env={name}={value}" for name, value in service["env"].items()]
    name = engine.docker("run", "--detach", "--rm", *options, engine.references()["server"]).strip()
    try:
        url = (
            tests["env"]["WANDB_BASE_URL"].partition("${{")[0]
            + engine.docker("port", name, "8080").strip().rpartition(":")[2]
        )
        until(lambda: healthy(url), "the container")
        done = stranger(WANDB_BASE_URL=url, WANDB_API_KEY=tests["env"]["WANDB_API_KEY"])
        assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    finally:
        engine.docker("rm", "--force", name)


def test_the_workflow_of_the_page_gives_its_tests_the_key_of_its_service():
    service, tests = services_and_tests()
    assert service["env"]["MODELGATE_SERVER_KEY"] == tests["env"]["WANDB_API_KEY"]
    assert tests["env"]["WANDB_BASE_URL"].startswith("http://127.0.0.1:")
    assert workflow()["permissions"] == {"contents": "read"}
