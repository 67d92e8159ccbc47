"""
The text of a release, and the refused tags: `python3 -m tools.release`.

    pytest tests/workflows/test_release.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.files import ROOT

CHANGELOG = """# Changelog

## Unreleased

### Added
- Not yet.

## 0.2.0 (2026-12-01)

### Added
- A thing.

### Fixed
- Another.

## 0.1.0
"""
NOTES = "### Added\n- A thing.\n\n### Fixed\n- Another.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "modelgate_server").mkdir()
    for package in ("pyproject.toml", "modelgate_server/pyproject.toml"):
        (tmp_path / package).write_text('[project]\nname = "x"\nversion = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def release(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.release", *arguments]
    return subprocess.run(command, cwd=root, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


def test_the_text_of_a_release_is_the_changelogs_section_on_it(checkout):
    done = release(checkout, "v0.2.0")
    assert (done.returncode, done.stdout, done.stderr) == (0, NOTES, "")


def set_version(root: Path, version: str) -> None:
    for package in root.rglob("pyproject.toml"):
        package.write_text(package.read_text().replace("0.2.0", version))


@pytest.mark.parametrize(
    ("tag", "version", "message"),
    [
        ("0.2.0", "0.2.0", "the tag '0.2.0' is not a version"),
        ("v0.2.0\n", "0.2.0", "is not a version"),
        ("v0.2.1", "0.2.0", "pyproject.toml has version 0.2.0, but the tag is v0.2.1"),
        ("v0.1.0", "0.1.0", "CHANGELOG.md has no section for 0.1.0"),
        ("v0.3.0", "0.3.0", "CHANGELOG.md has no section for 0.3.0"),
        ("v0.2.1", "0.2.1", "CHANGELOG.md has no section for 0.2.1"),
    ],
)
def test_a_tag_that_does_not_agree_is_refused(checkout, tag, version, message):
    set_version(checkout, version)
    done = release(checkout, tag)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "hint: " in done.stderr and "Traceback" not in done.stderr


def test_a_package_that_was_forgotten_is_named(checkout):
    (checkout / "modelgate_server/pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
    done = release(checkout, "v0.2.0")
    assert done.returncode == 2
    assert "modelgate_server/pyproject.toml has version 0.1.0" in done.stderr


def test_a_folder_that_is_no_checkout_is_named_without_a_traceback(tmp_path):
    done = release(tmp_path, "v0.2.0")
    assert done.returncode == 2
    assert "pyproject.toml does not exist" in done.stderr and "Traceback" not in done.stderr


def test_wrong_use_is_said_with_the_usage():
    done = release(ROOT)
    assert done.returncode == 2 and "python3 -m tools.release v0.2.0" in done.stderr
