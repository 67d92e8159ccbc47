"""Kill a command in the middle of its work, which is seen, not guessed by the clock."""

import signal
import subprocess
import time
from pathlib import Path

from tests.serving import ROOT


def kill_at_the_next_blob(line: list[str], data: Path) -> bool:
    """Kill a command as soon as it has brought one more blob into a folder; False when it ended before."""
    before = _number(data)
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while _number(data) == before and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    return process.returncode == -signal.SIGKILL


def _number(data: Path) -> int:
    return sum(1 for _ in (data / "blobs").glob("[0-9a-f][0-9a-f]/*"))
