"""Ask W&B with its SDK, in a process of its own for each question. The SDK is imported once, which takes a second."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# Forks for each program: a child has the SDK as it is right after its import, and ends as any process does.
PROGRAM = """
import json, os, sys, wandb
for line in sys.stdin:
    program, output = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    sys.stdout = open(output, "w", encoding="utf-8")
    exec(program, {"json": json, "wandb": wandb, "api": wandb.Api()})
    break
"""


class Asker:
    """Runs programs over `api`, a wandb.Api() with these variables, until it is closed."""

    def __init__(self, environ: Mapping[str, str], folder: Path):
        self.output, self.errors = folder / "asked.out", folder / "asked.err"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def do(self, program: str) -> str:
        """Return what the program prints."""
        self.process.stdin.write(json.dumps([program, str(self.output)]) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "0\n", self.errors.read_text()
        return self.output.read_text(encoding="utf-8")

    def close(self) -> None:
        self.process.communicate(timeout=60)
