"""The command `modelgate-server admin`, as a process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.serving import ROOT


def admin(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelgate_server", "admin", "--data", str(data), *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
