"""The real steps and the real server under the runner: none of their processes outlives it. The loop is in tests/e2e.

python -m pytest tests/runner/test_real_steps.py
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import own
from tests.serving import DEADLINE_S, healthy, until

from .conftest import Checkout, make_checkout


@pytest.fixture
def real(tmp_path: Path, checkout: Checkout) -> Checkout:
    """The checkout with everything real."""
    checkout.be_real()
    return checkout


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout with only a table, which trains in no time, and whose first version is in production."""
    with make_checkout(tmp_path_factory.mktemp("table")) as checkout:
        checkout.be_real()
        own.cells(checkout.root)
        code, output = checkout.runner("run", APPROVE="ada", CELLS_EVERY="7")
        assert code == 0, output
        yield checkout


def processes_of(checkout: Checkout) -> list[str]:
    """Return the command line of every process that was started for this checkout, including the SDK's own."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(checkout.home).encode() in (process / "environ").read_bytes():
                processes.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return processes


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


def test_rollback_before_the_first_promotion_says_so(real: Checkout) -> None:
    own.cells(real.root)
    code, output = real.runner("rollback", APPROVE="ada")
    assert code == 2
    assert output.splitlines()[-2:] == [
        "error: --version previous: nothing was promoted yet", "hint: promote a first version: make run",
    ]  # fmt: skip


def test_rollback_of_the_first_version_says_that_there_is_nothing_before_it(table: Checkout) -> None:
    code, output = table.runner("rollback", APPROVE="ada")
    assert code == 2
    assert output.splitlines()[-2:] == [
        "error: --version previous: the version in production is the first one, there is none before it",
        'hint: if another one was in production before, name it: --version v3, or make rollback ARGS="--version v3"',
    ]
    assert (output.count("error:"), output.count("hint:")) == (1, 1)


MOVE = """
import sys, wandb
version = wandb.Api().artifact("local-org/wandb-registry-model/cells-dev:v0")
getattr(version.aliases, sys.argv[1])("production")
version.save()
"""


def move(table: Checkout, action: str) -> None:
    """Move the alias without the runner: as a person does with the SDK, or in the pages."""
    serving = table.start("serve")
    until(lambda: healthy(f"http://127.0.0.1:{table.port()}"), "the pages")
    client = {
        "WANDB_BASE_URL": f"http://127.0.0.1:{table.port()}",
        "WANDB_API_KEY": (table.folder / "api-key").read_text().strip(),
    }
    moved = subprocess.run([sys.executable, "-c", MOVE, action], cwd=table.home, env=table.env(**client))
    assert moved.returncode == 0
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=DEADLINE_S)


def test_status_names_what_the_registry_has_in_production_and_not_what_the_runner_saw_last(table: Checkout) -> None:
    code, output = table.runner("status")
    assert code == 0
    assert "production of cells: local-org/wandb-registry-model/cells-dev:v0, approved by ada at 2" in output
    move(table, "remove")
    output = table.runner("status")[1]
    assert "production of cells: nothing, moved by hand: the last promotion was of cells-dev:v0" in output

    code, output = table.runner("audit", "--verify")
    assert code == 1
    assert '"production": null' in output and "Traceback" not in output
    code, output = table.runner("audit")
    assert code == 0
    assert "approved by ada" in output and "in production now, according to the registry: nothing" in output

    code, output = table.runner("prune", "--older-than", "0")
    assert code == 0
    assert "nothing of cells can be deleted" in output and "kept: 2, because an alias names it" in output


def test_serve_prints_a_link_that_signs_in_once_and_the_login_page_names_the_file_of_the_key(real: Checkout) -> None:
    serving = real.start("serve")
    assert serving.stdout is not None
    lines = []
    while "Ctrl-C" not in "".join(lines):
        lines.append(serving.stdout.readline())
    (link,) = re.findall(r"To sign in: (http://127\.0\.0\.1:\S+)", "".join(lines))
    key = (real.folder / "api-key").read_text().strip()
    assert key not in "".join(lines)
    with requests.Session() as browser:
        page = browser.get(link, timeout=60)
        assert (page.status_code, page.history[0].status_code) == (200, 303)
        assert "wandb-registry-model" in page.text or "local" in page.text
    assert requests.get(link, timeout=60).status_code == 401
    login = requests.get(f"http://127.0.0.1:{real.port()}/login", timeout=60).text
    (named,) = re.findall(r"in the file <code>(.*?)</code>", login)
    assert Path(named).read_text().strip() == key
    # A second `serve` prints a new link, and ends.
    code, output = real.runner("serve")
    assert code == 0
    again = re.findall(r"To sign in: (http\S+)", output)
    assert requests.get(again[0], timeout=60).status_code == 200
    serving.send_signal(signal.SIGTERM)
    serving.communicate(timeout=DEADLINE_S)


def test_a_file_of_rows_that_is_an_html_page_ends_with_exit_3_and_no_other_use_case_is_taken(
    real: Checkout, tmp_path: Path
) -> None:
    page = tmp_path / "glyphs.npz"
    page.write_text("<!DOCTYPE html><title>Sign in</title>")
    code, output = real.runner("run", GLYPHS_NPZ=str(page))
    assert code == 3
    assert f"error: {page} has no glyphs: " in output
    assert "Traceback" not in output and "again" not in output and "--use-case=glyphs" not in output
