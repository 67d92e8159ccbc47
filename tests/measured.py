"""
Measure which lines of the product the tests run: `python -m tests.measured [pytest's arguments]`.

Steps, servers and the runner are separate processes, and tests start many of them without coverage.py's environment
variables. While this runs, a line in the site-packages of `.venv` therefore starts coverage.py in every process.

Prints each file with the lines that no test runs, and writes it to `build/coverage/report.md`, too. Exits with pytest's
code if a test failed, with 2 if the total is below `fail_under` in pyproject.toml, else with 0.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "coverage"
DATA = FOLDER / "data"  # one file for each process: data.<machine>.<process>.<random>
# Python runs the lines of such a file before the program. It is removed afterwards: tests check the environment.
STARTS = Path(sysconfig.get_path("purelib")) / "measured.pth"
START = (
    "import os, coverage; "
    "own = {{'COVERAGE_PROCESS_START': {config!r}, 'COVERAGE_FILE': {data!r}}}; "
    "os.environ.update(own); coverage.process_startup(); [os.environ.pop(name) for name in own]\n"
)


@contextmanager
def measured() -> Iterator[None]:
    """Record the lines that every process of this environment runs, until the block ends."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    STARTS.write_text(START.format(config=str(ROOT / "pyproject.toml"), data=str(DATA)))
    try:
        yield
    finally:
        STARTS.unlink()


def coverage(*args: str, into: IO[str] | None = None) -> int:
    """Run coverage.py on the recorded data; without `into` it prints."""
    command = [sys.executable, "-m", "coverage", *args, f"--data-file={DATA}"]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=into).returncode


def main(arguments: list[str]) -> int:
    for path in FOLDER.glob("data*"):
        path.unlink()
    with measured():
        tests = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
    coverage("combine", "--quiet")
    with (FOLDER / "report.md").open("w") as report:
        coverage("report", "--format=markdown", into=report)
    return tests or coverage("report")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the block above ends
    sys.exit(main(sys.argv[1:]))
