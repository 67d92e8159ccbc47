"""
Does a pull request change what judges a model? Beside action.yml; run at the root of a checkout with depth 2.

GitHub checks out the merge of a pull request: its first parent is what it is merged into. Whatever differs from that is
looked at, and what is not known to be harmless touches the judge.

This rail keeps an honest pull request honest. One that means harm changes this very file; against that stand the
reviewer, the second key and CODEOWNERS.
"""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

# What runs, and what it runs on. Everything else (documents, tests, the embedded server) judges nothing here.
JUDGE = (".github/*", "docker/*", "steps/*", "usecases/*", "runner/*", "requirements.txt", ".dockerignore")
MODEL = "usecases/*/model.py"  # what is judged
CONFIG = "usecases/*/config.toml"  # the flags of train, and beside them the gate's policy


def main() -> int:
    touched = []
    if os.environ["GITHUB_EVENT_NAME"] == "pull_request":
        touched = [name for name in changed() if touches(name)]
    for name in touched:
        print(f"touches what judges a model: {json.dumps(name)}")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"touches={'true' if touched else 'false'}\n")
    return 0


def changed() -> list[str]:
    """The files that the pull request changes; fails where there is no merge to look at."""
    git("rev-parse", "--verify", "--quiet", "HEAD^2")  # a merge has two parents
    return git("diff", "--name-only", "--no-renames", "-z", "HEAD^1", "HEAD").rstrip("\0").split("\0")


def touches(name: str) -> bool:
    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in JUDGE):
        return False
    if fnmatch.fnmatchcase(name, MODEL) and name.count("/") == 2:
        return False
    if fnmatch.fnmatchcase(name, CONFIG) and name.count("/") == 2:
        return beside_train("HEAD^1", name) != beside_train("HEAD", name)
    return True


def beside_train(commit: str, name: str) -> dict[str, Any] | None:
    """All that a config.toml says but what is said to train; None where there is none that can be read."""
    try:
        said = tomllib.loads(git("show", f"{commit}:{name}"))
    except (subprocess.CalledProcessError, tomllib.TOMLDecodeError):
        return None
    return {key: value for key, value in said.items() if key != "train"}


def git(*words: str) -> str:
    return subprocess.run(["git", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
