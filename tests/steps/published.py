"""GitHub's published descriptions of its answers."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest


@cache
def load():
    """Return GitHub's description of its API; None if it is not at hand."""
    path = os.environ.get("TEST_GITHUB_OPENAPI")
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else None


@pytest.fixture(scope="module")
def whole():
    """Return GitHub's description of its API; without it the test is skipped, and fails in CI."""
    if description := load():
        return description
    reason = "TEST_GITHUB_OPENAPI names no copy of GitHub's description (.ci/github-description.sh fetches it)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
