"""The real steps and the real server under the runner: nothing of theirs outlives it. The loop itself is in tests/e2e.

python -m pytest tests/runner/test_real_steps.py
"""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from tests.serving import DEADLINE_S, until

from .conftest import ROOT, Checkout


@pytest.fixture
def real(tmp_path: Path, checkout: Checkout) -> Checkout:
    """The checkout with everything real."""
    for room in ("docker", "modelgate", "modelgate_server", "steps"):
        shutil.rmtree(checkout.root / room, ignore_errors=True)
        shutil.copytree(ROOT / room, checkout.root / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(checkout.root / "wandb")
    return checkout


def processes_of(checkout: Checkout) -> list[str]:
    """The command line of every process that was started for this checkout, the SDK's own among them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(checkout.home).encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc (Linux)")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_of_steps_server_or_sdk_outlives_the_runner(real: Checkout, number: signal.Signals) -> None:
    runner = real.start("run", "--use-case", "glyphs", "--epochs", "500")
    until(lambda: runner.poll() is not None or "wandb-core" in str(processes_of(real)), "the SDK", deadline_s=300)
    assert runner.poll() is None
    assert any("-m modelgate_server" in command for command in processes_of(real))
    assert any("-m runner.prepared" in command for command in processes_of(real))
    runner.send_signal(number)
    runner.communicate(timeout=DEADLINE_S)
    assert runner.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
    until(lambda: not processes_of(real), "their end")
