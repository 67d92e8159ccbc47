"""
An interpreter that has imported what its programs need, and forks for each of them.

An import of the SDK takes 1 to 2 s of CPU. A program can still have a key and an environment of its own, which the SDK
reads once per process.
"""

from __future__ import annotations

import gc
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

from runner import prepared
from tests import own
from tests.serving import ROOT


class WarmPython:
    """Each `run` is a new process. The interpreter starts with the first one."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._modules = modules
        self._process: subprocess.Popen[str] | None = None

    def run(self, program: str, *argv: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program as `python -c` would, with this environment only, in the folder of the repository."""
        process = self._process = self._process or self._start()
        assert process.stdin and process.stdout
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder) / name for name in ("stdout", "stderr")]
            request = {"program": program, "argv": argv, "env": dict(env), "outputs": [*map(str, outputs)]}
            process.stdin.write(f"{json.dumps(request)}\n")
            process.stdin.flush()
            code = int(process.stdout.readline())
            return subprocess.CompletedProcess(argv, code, *(path.read_text(encoding="utf-8") for path in outputs))

    def _start(self) -> subprocess.Popen[str]:
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        command = [sys.executable, "-m", "tests.warm_python", *self._modules]
        return subprocess.Popen(
            command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()


@contextmanager
def warm_python(modules: Iterable[str]) -> Iterator[WarmPython]:
    """Yield one that imports these modules."""
    python = WarmPython(modules)
    try:
        yield python
    finally:
        python.end()


def main() -> None:
    own.install()
    prepared.leave_out_descriptions()
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # a fork that ends does not visit what it shares
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
