"""Kill a command in the middle of its work: it is made to do that itself, so that no clock decides where."""

import signal
import subprocess
import sys
from typing import Any

from tests.serving import ROOT

ENDING = """
import itertools, os, signal, sys
import modelgate_server.store.blobs as blobs
place, last, numbers = blobs.Blobs.put_in_place, int(sys.argv.pop(1)), itertools.count(1)
def placing(self, *arguments):
    number = next(numbers)
    if number < last or last % 2:
        place(self, *arguments)
    if number == last:
        os.kill(os.getpid(), signal.SIGKILL)
blobs.Blobs.put_in_place = placing
from modelgate_server.__main__ import main
sys.exit(main())
"""


def kill_at_blob(number: int, *command: Any) -> None:
    """Run a command, and `kill -9` it at its so many-th blob: when that has its name; before, for an even number."""
    line = [sys.executable, "-c", ENDING, str(number), *map(str, command)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, f"it ended before blob {number}: {done.stderr}"
