"""
GitHub's own parser and evaluator of workflows (`@actions/languageservice`, `@actions/expressions`), run by one Node.

On first use, npm installs them into tests/workflows/npm from the lock there.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.workflows.files import program

NPM = Path(__file__).with_name("npm")


def problems(path: str, text: str, files: Mapping[str, str]) -> list[str]:
    """Return what GitHub's parser finds in a workflow or an action. files: the files that it may name, by path."""
    return ask({"validate": path, "text": text, "files": dict(files)})


def holds(condition: str, contexts: Mapping[str, Any], **status: bool) -> bool:
    """Return whether an `if:` holds. status: how the earlier jobs ended (success, failure, cancelled)."""
    return ask({"evaluate": condition, "contexts": dict(contexts), "status": status or {"success": True}})


def ask(question: dict[str, Any]) -> Any:
    pipe = node()
    assert pipe.stdin and pipe.stdout
    pipe.stdin.write(json.dumps(question) + "\n")
    pipe.stdin.flush()
    answer = json.loads(pipe.stdout.readline())
    assert "error" not in answer, answer["error"]
    return answer["answer"]


@functools.cache
def node() -> subprocess.Popen[str]:
    environ = os.environ | {"PATH": f"{program('node').parent}{os.pathsep}{os.environ['PATH']}"}
    with (NPM / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests in two processes need it at once
        installed = NPM / "node_modules/.package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < (NPM / "package-lock.json").stat().st_mtime:
            command = [program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            subprocess.run(command, cwd=NPM, env=environ, check=True, capture_output=True, timeout=240)
            installed.touch()
    return subprocess.Popen(
        [program("node"), NPM / "github.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
