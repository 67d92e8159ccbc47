"""The Makefile: what its targets do first, what its help lists, and what it refuses.

python -m pytest tests/runner/test_makefile.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_makefile_asks_for_nothing_newer_than_make_381() -> None:
    """The make of macOS lacks `!=`, `.ONESHELL`, `$(file ...)`, `&:`, `::=`, `undefine`, `private`."""
    for line in (ROOT / "Makefile").read_text().splitlines():
        if line.startswith("\t"):
            continue
        for newer in ("!=", ".ONESHELL", "$(file", "&:", "::=", "undefine", "private", ".RECIPEPREFIX", ".SHELLSTATUS"):
            assert newer not in line, line


def test_make_test_keeps_the_tests_of_a_file_on_one_worker(tmp_path: Path) -> None:
    """Tests of a file share results. (`loadgroup` does not work: pytest 9.2 no longer reads xdist 3.8's groups.)"""
    flags = re.findall(r"EVERY_TEST = -n \$\(WORKERS\) (--dist .*) -m ", (ROOT / "Makefile").read_text())
    assert len(flags) == 1
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text(
            "import os, pytest\n"
            "@pytest.mark.parametrize('n', range(6))\n"
            f"def test(n): open('{name}', 'a').write(os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
        )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-n",
        "2",
        *flags[0].split(),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    ran = {name: (tmp_path / name).read_text().split() for name in ("a", "b", "c")}
    assert {name: (len(workers), len(set(workers))) for name, workers in ran.items()} == dict.fromkeys(ran, (6, 1))


@pytest.mark.parametrize(
    ("targets", "script"),
    [
        (("run", "plan", "approve", "rollback", "status", "audit", "prune", "serve"), "runner/setup.sh >&2"),
        (("test", "prove", "lint", "bench"), "runner/setup.sh dev"),
    ],
)
def test_each_target_makes_the_environment_that_it_needs(targets: tuple[str, ...], script: str) -> None:
    for target in targets:
        done = subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
        )
        assert done.stdout.splitlines()[0] == f"sh {script}", target


def test_make_alone_prints_what_there_is() -> None:
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0
    targets = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("make ")}
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")  # a line may continue in the next
    phony = next(line for line in makefile.splitlines() if line.startswith(".PHONY"))
    assert targets == set(phony.split()[1:]) - {"help"}


@pytest.mark.parametrize("chosen", [{}, {"DOCKER_CONFIG": "/elsewhere"}])
def test_tests_get_a_home_of_their_own_and_keep_the_persons_engine(tmp_path: Path, chosen: dict[str, str]) -> None:
    shown = "include Makefile\nshown:\n\t@$(SEALED) env\n"
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WANDB_API_KEY": "theirs", **chosen}
    done = subprocess.run(
        ["make", "-s", "-f", "-", "shown"], input=shown, cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert seen["DOCKER_CONFIG"] == chosen.get("DOCKER_CONFIG", f"{tmp_path}/.docker")
    assert "WANDB_API_KEY" not in seen and seen["HOME"] != str(tmp_path) and not Path(seen["HOME"]).exists()
