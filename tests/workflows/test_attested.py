"""
Whether this repository's images are attested: the real script against a GitHub of the test's own.

    pytest tests/workflows/test_attested.py
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.workflows.files import ACTIONS
from tests.workflows.github import GitHub, of_action


@pytest.mark.parametrize(
    ("visibility", "attest", "attested"),
    [
        ("public", "", "true"),
        ("private", "", "false"),
        ("internal", "false", "false"),
        ("private", "true", "true"),
    ],
)
def test_images_are_attested_where_github_has_that(visibility, attest, attested, tmp_path):
    github = GitHub("team/models")
    github.answers[github.at] = {"visibility": visibility}
    output = tmp_path / "output"
    environ = of_action(github) | {"ATTEST": attest, "GITHUB_OUTPUT": str(output)}
    script = [sys.executable, ACTIONS / "push-images/attested.py"]
    done = subprocess.run(script, env=environ, capture_output=True, text=True)
    github.close()
    assert (done.returncode, output.read_text()) == (0, f"attested={attested}\n"), done.stderr
