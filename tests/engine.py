"""What the tests of the containers need: an engine that answers, and the images in it."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@cache
def _prepared() -> tuple[int, str, str]:
    """Exit code, answer and words of `python -m runner images`, which builds what is missing."""
    done = subprocess.run([sys.executable, "-m", "runner", "images"], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def references() -> dict[str, str]:
    """Every image by its name. Without an engine the test is skipped, and fails where CI is set."""
    code, answer, words = _prepared()
    if code != 0:
        why = words.strip().splitlines()[0] if code == 3 else words
        if code == 3 and not os.environ.get("CI"):
            pytest.skip(f"no container can run here: {why}")
        pytest.fail(f"the images are not there: {why}")
    return dict(line.split("=", 1) for line in answer.splitlines())


def to_the_engine() -> dict[str, str]:
    """What `docker` needs in an emptied environment, to find the engine that the person has chosen."""
    kept = ("BASE_IMAGE", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT")
    return {name: os.environ[name] for name in kept if name in os.environ}


def docker(*words: str, check: bool = True) -> str:
    """What the `docker` command answers, standard error with it."""
    done = subprocess.run(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not check or done.returncode == 0, done.stdout
    return done.stdout
