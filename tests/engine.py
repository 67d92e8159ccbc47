"""What the container tests need: an engine that answers and has the images."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from runner import engine, images
from runner.errors import EngineUnusable
from tests import own


def references(team: Callable[[Path], None] = own.letters) -> dict[str, str]:
    """
    Every image of a team's use case, and the server's, by its name. Without an engine, or the images in it, the test is
    skipped, and fails where CI is set.

    Nothing is built: that may take longer than a test has, and two workers would do it at once.
    """
    available = wanted(team)
    if reason := _lacking(team):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no container can run here: {reason}")
    return {name: image.reference for name, image in available.items()}


@cache
def wanted(team: Callable[[Path], None] = own.letters) -> dict[str, images.Image]:
    """Return the images as they must be. team: creates its use case, the only one, in a clone."""
    with tempfile.TemporaryDirectory() as folder:
        root = own.clone(Path(folder) / "clone")
        team(root)
        return images.wanted(root, team.__name__, base=os.environ.get("BASE_IMAGE") or None)


@cache
def _lacking(team: Callable[[Path], None]) -> str:
    """Return a sentence about what is missing; None if nothing is."""
    try:
        engine.require()
    except EngineUnusable as error:
        return error.message
    lacking = [image.name for image in images.find_missing(tuple(wanted(team).values()))]
    return f"the engine lacks the images {', '.join(lacking)}; build them first: {own.BUILD}" if lacking else ""


def to_the_engine() -> dict[str, str]:
    """The variables with which `docker` finds the person's engine in an emptied environment."""
    inherited = ("BASE_IMAGE", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT")
    return {name: os.environ[name] for name in inherited if name in os.environ}


def docker(*args: str, check: bool = True) -> str:
    """Run the `docker` command; return its output and standard error."""
    done = subprocess.run(["docker", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert not check or done.returncode == 0, done.stdout
    return done.stdout
