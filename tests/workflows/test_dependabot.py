"""
What Dependabot reads in this repository, and whether its pull requests can pass.

    pytest tests/workflows/test_dependabot.py
"""

from __future__ import annotations

import re

import pytest
import yaml

from tests.workflows.files import ROOT

UPDATES = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
# How Dependabot reads a line of a Dockerfile (docker/lib/dependabot/docker/file_parser.rb in dependabot/dependabot-core
# of August 2026): an image by its literal name, a tag, a digest, and the name of the stage.
COMPONENT = r"[a-z\d]+(?:(?:[._]|__|[-]*)[a-z\d]+)*"
FROM_LINE = re.compile(
    rf"^[Ff][Rr][Oo][Mm]\s+(--platform=\S+\s+)?(?P<image>{COMPONENT}(?:/{COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?(?:\s+AS\s+(?P<name>[\w-]+))?"
)


def updates(ecosystem):
    (matches,) = [update for update in UPDATES if update["package-ecosystem"] == ecosystem]
    return matches


def images(text):
    """The images that Dependabot finds in a Dockerfile: name, tag, and whether it knows the digest that it replaces."""
    matches = filter(None, map(FROM_LINE.match, text.splitlines()))
    # An image without a tag and a digest has no version, and Dependabot ignores it.
    return [(line["image"], line["tag"], bool(line["digest"])) for line in matches if line["tag"] or line["digest"]]


def test_dependabot_finds_the_base_of_every_image_that_stands_on_python_and_nothing_else():
    folders = {path.parent.name: images(path.read_text()) for path in ROOT.glob("docker/*/Dockerfile")}
    bases_found = {f"/docker/{name}": rows for name, rows in folders.items() if rows}
    assert sorted(bases_found) == updates("docker")["directories"]
    assert set(map(tuple, bases_found.values())) == {(("python", "3.11-slim-bookworm", True),)}


@pytest.mark.parametrize("line", ["ARG BASE=python:3.11\nFROM ${BASE}", "FROM ${FRAMEWORK_IMAGE}", "FROM pinned AS x"])
def test_dependabot_finds_no_image_in_a_variable_or_a_stage(line):
    assert images(line) == []


def test_dependabot_leaves_the_version_of_python_which_the_locks_are_made_for():
    assert updates("docker")["ignore"] == [
        {
            "dependency-name": "python",
            "update-types": ["version-update:semver-major", "version-update:semver-minor"],
        }
    ]
    assert "--python-version 3.11" in (ROOT / "docker/frameworks/keras.txt").read_text()


@pytest.mark.parametrize(
    ("ecosystem", "manifest"), [("pip", "pyproject.toml"), ("npm", "tests/workflows/npm/package-lock.json")]
)
def test_every_lock_outside_an_image_is_in_one_group(ecosystem, manifest):
    """One pull request per week has all packages, so `make lock` runs once for it."""
    update = updates(ecosystem)
    assert (ROOT / manifest).parent == ROOT / update["directory"].strip("/")
    assert [group["patterns"] for group in update["groups"].values()] == [["*"]]
