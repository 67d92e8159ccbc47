"""
Check whether a pull request changes what judges a model. Run it at the root of a checkout with depth 2.

GitHub checks out the merge of a pull request: its first parent is what it is merged into. Every file that differs is
checked, and one that is not known to be harmless touches the judge. So does a pull request into a branch other than
main: that branch has its own judge, which no one has merged.

This check is for honest pull requests. A hostile one can change this file; the reviewer, the second key and CODEOWNERS
protect against that, and so does judge.py, which main's own code runs.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Text = Callable[[str, str], str | None]  # (before or after, a file's name) to what is in it
MAIN = "main"
# Nothing in these paths runs in the pipeline, or gets into an image of a step. Any other file may: a `json.py` at the
# root would be imported instead of Python's own.
HARMLESS = ("docs/*", "tests/*", "modelgate_server/*", "benchmarks/*")
PAGES = ("*.md", "LICENSE")  # at the root
MODEL = "usecases/*/model.py"  # what is judged
CONFIG = "usecases/*/config.toml"  # the flags of train, and next to them the gate's policy


def main() -> int:
    reasons = []
    if os.environ["GITHUB_EVENT_NAME"] == "pull_request":
        reasons = find_reasons(list_changed(), os.environ["GITHUB_BASE_REF"], read_from_checkout)
    for reason in reasons:
        print(reason)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"touches={'true' if reasons else 'false'}\n")
    return 0


def list_changed() -> list[str]:
    """Return the files that the pull request changes; fails where there is no merge to look at."""
    run_git("rev-parse", "--verify", "--quiet", "HEAD^2")  # a merge has two parents
    names = run_git("diff", "--name-only", "--no-renames", "-z", "HEAD^1", "HEAD").split("\0")
    return [name for name in names if name]


def find_reasons(names: Iterable[str], base: str, text: Text) -> list[str]:
    """Return why a pull request with these files, into this branch, touches its judge; empty if it does not."""
    reasons = [f"touches what judges a model: {json.dumps(name)}" for name in names if is_part_of_judge(name, text)]
    if base != MAIN:
        reasons.append(f"would be merged into {json.dumps(base)}, which has its own judge")
    return reasons


def is_part_of_judge(name: str, text: Text) -> bool:
    if is_harmless(name):
        return False
    if name.count("/") == 2 and fnmatch.fnmatchcase(name, MODEL):
        return False
    if name.count("/") == 2 and fnmatch.fnmatchcase(name, CONFIG):
        before, after = (drop_train(text(side, name)) for side in ("before", "after"))
        return after is None or before != after
    return True


def is_harmless(name: str) -> bool:
    patterns = HARMLESS if "/" in name else PAGES
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def drop_train(text: str | None) -> dict[str, Any] | None:
    """Return all that a config.toml says except what it says to train; None if there is none that can be read."""
    try:
        return {key: value for key, value in tomllib.loads(text or "[").items() if key != "train"}
    except tomllib.TOMLDecodeError:
        return None


def read_from_checkout(side: str, name: str) -> str | None:
    """Return a file before and after the merge that is checked out; None if there is none."""
    try:
        return run_git("show", f"{'HEAD^1' if side == 'before' else 'HEAD'}:{name}")
    except (subprocess.CalledProcessError, UnicodeDecodeError):
        return None


def run_git(*args: str) -> str:
    return subprocess.run(["git", *args], stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
