"""
An interpreter that has imported what its programs need, and forks for each of them.

An import of the SDK takes 1 to 2 s of CPU. A program can still have a key and an environment of its own, which the SDK
reads once per process.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import own
from tests.serving import ROOT


class WarmPython:
    """Each `run` is a new process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, program: str, *argv: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program as `python -c` would, with this environment only, in the folder of the repository."""
        assert self.process.stdin and self.process.stdout
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder) / name for name in ("stdout", "stderr")]
            request = {"program": program, "argv": argv, "env": dict(env), "outputs": [*map(str, outputs)]}
            self.process.stdin.write(f"{json.dumps(request)}\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            return subprocess.CompletedProcess(argv, code, *(path.read_text(encoding="utf-8") for path in outputs))


@contextmanager
def warm_python(modules: Iterable[str]) -> Iterator[WarmPython]:
    """Start one that has imported these modules."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    command = [sys.executable, "-m", "tests.warm_python", *modules]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield WarmPython(process)
        assert process.stdin
        process.stdin.close()


def main() -> None:
    own.install()
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        if not (process := os.fork()):
            become(request)
            return
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def become(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["-c", *request["argv"]]
    for stream, path in enumerate((os.devnull, *request["outputs"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), stream)
    exec(compile(request["program"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  # a test's own program


if __name__ == "__main__":
    main()
