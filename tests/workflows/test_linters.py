"""
The workflows pass the common linters, all offline. Each linter is seen to find a planted mistake.

    pytest tests/workflows/test_linters.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.workflows.files import ROOT, program
from tests.workflows.own_parser import problems

MAX_IGNORES = 6
GITHUB = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github").rglob("*.yml"))
WORKFLOWS = [path for path in GITHUB if path.startswith(".github/workflows/")]
ACTIONS = [path for path in GITHUB if path.endswith("/action.yml")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the repository's .github, to plant mistakes in."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    (tmp_path / ".git").mkdir()  # so actionlint knows the root of the project
    return tmp_path


def run(name: str, *arguments: str, cwd: Path = ROOT) -> tuple[int, str]:
    path = f"{program(name).parent}{os.pathsep}{os.environ['PATH']}"  # actionlint looks for shellcheck there
    done = subprocess.run(
        [program(name), *arguments], cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def plant(root: Path, path: str, old: str, new: str) -> None:
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new, 1))


def test_zizmor_finds_nothing_as_an_auditor():
    code, output = run("zizmor", "--offline", "--no-progress", "--persona=auditor", ".")
    assert (code, "No findings to report" in output) == (0, True), output


@pytest.mark.parametrize(
    ("path", "old", "new", "audit"),
    [
        (".github/workflows/ci.yml", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (".github/workflows/ci.yml", "  pull_request:\n", "  pull_request_target:\n", "dangerous-triggers"),
        (".github/workflows/ci.yml", "run: .ci/run lint", 'run: echo "${{ github.head_ref }}"', "template-injection"),
        (".github/actions/run-step/action.yml", 'python3 "$SCRIPT"', "echo ${{ inputs.flags }}", "template-injection"),
    ],
)
def test_zizmor_finds_what_is_planted(copy, path, old, new, audit):
    plant(copy, path, old, new)
    code, output = run("zizmor", "--offline", "--no-progress", "--persona=auditor", ".", cwd=copy)
    assert code != 0
    assert f"[{audit}]" in output


def test_what_zizmor_is_told_to_ignore_is_little_and_says_why():
    """A rule that is ignored on its line has a comment above it or on it; one in zizmor.yml has one next to it."""
    ignores = []
    for path in GITHUB:
        lines = (ROOT / path).read_text().splitlines()
        ignores += [
            (path, line, before) for before, line in zip(["", *lines], lines, strict=False) if "zizmor: i" in line
        ]
    assert len(ignores) <= MAX_IGNORES
    for path, line, before in ignores:
        reason = re.sub(r".*zizmor: ignore\[[\w-]+\]", "", line).strip() or before.strip().removeprefix("#")
        assert len(reason) > 20, f"{path}: {line}"
    disabled = (ROOT / ".github/zizmor.yml").read_text()
    assert disabled.count("disable: true") == 1
    assert re.search(r"self-repository:\n +# \S.{40}", disabled)


def test_actionlint_finds_nothing():
    code, output = run("actionlint", *WORKFLOWS)
    assert (code, output) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("needs.build.outputs.dataset", "needs.build.outputs.datasets", '"datasets" is not defined'),
        ("          step: build\n", "", 'missing input "step"'),
        ("          step: build\n", "          step: build\n          shell: bash\n", 'input "shell" is not defined'),
    ],
)
def test_actionlint_finds_what_is_planted(copy, old, new, finding):
    plant(copy, ".github/workflows/model.yml", old, new)
    code, output = run("actionlint", *WORKFLOWS, cwd=copy)
    assert code == 1
    assert finding in output


def test_shellcheck_reads_the_shell_in_workflows(copy):
    plant(copy, ".github/workflows/ci.yml", "run: .ci/run lint", "run: cd $RUNNER_TEMP")
    code, output = run("actionlint", *WORKFLOWS, cwd=copy)
    assert code == 1
    assert "SC2086" in output


def own_parser(root: Path) -> list[str]:
    files = {path: (root / path).read_text() for path in GITHUB}
    checked = [path for path in files if path in (*WORKFLOWS, *ACTIONS)]
    return [problem for path in checked for problem in problems(path, files[path], files)]


def test_github_s_own_parser_finds_nothing():
    assert len(WORKFLOWS) >= 5 and len(ACTIONS) >= 6
    assert own_parser(ROOT) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "finding"),
    [
        (".github/workflows/ci.yml", "github.run_id", "github.run_identity", "Context access might be invalid"),
        (".github/workflows/ci.yml", "if: always()", "if: allways()", "Unrecognized function: 'allways'"),
        (
            ".github/workflows/model.yml",
            "needs: [images, train]",
            "needs: [images, trains]",
            "Value 'trains' is not valid",
        ),
        (".github/workflows/model.yml", "    timeout-minutes: 350", "    timeout: 350", "Unexpected value 'timeout'"),
        (
            ".github/workflows/pipeline.yml",
            "      environment: ${{",
            "      environnement: ${{",
            "Input environment is required",
        ),
        (
            ".github/actions/run-step/action.yml",
            "inputs.image }}",
            "inputz.image }}",
            "Unrecognized named-value: 'inputz'",
        ),
        (".github/actions/log-in/action.yml", "using: composite", "using: nothing", "nothing"),
    ],
)
def test_github_s_own_parser_finds_what_is_planted(copy, path, old, new, finding):
    plant(copy, path, old, new)
    (problem, *_) = own_parser(copy)
    assert finding in problem and problem.startswith(path)


def test_github_s_own_schemas_hold():
    for schema, paths in (("workflows", WORKFLOWS), ("actions", ACTIONS)):
        assert paths
        code, output = run("check-jsonschema", "--builtin-schema", f"vendor.github-{schema}", *paths)
        assert code == 0, output
    code, output = run("check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml")
    assert code == 0, output


@pytest.mark.parametrize(
    ("schema", "path", "old", "new"),
    [
        ("workflows", ".github/workflows/ci.yml", "timeout-minutes:", "timeout-minute:"),
        ("actions", ".github/actions/run-step/action.yml", "using: composite", "using: nothing"),
    ],
)
def test_a_schema_finds_what_is_planted(copy, schema, path, old, new):
    plant(copy, path, old, new)
    code, output = run("check-jsonschema", "--builtin-schema", f"vendor.github-{schema}", path, cwd=copy)
    assert code == 1
    assert path in output
