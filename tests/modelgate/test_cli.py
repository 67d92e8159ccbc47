"""
How a step reports that it failed.

    pytest tests/modelgate/test_cli.py
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modelgate import cli
from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.tracking.fingerprint import ROOT


def test_an_answer_that_cannot_be_written_is_not_given_either(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(StepError) as stopped:
        cli.emit({"verdict": "pass"}, tmp_path / "file")
    assert (stopped.value.name, stopped.value.exit_code) == ("out_not_writable", WRONG_USE)
    assert capsys.readouterr().out == ""


def test_out_has_what_belongs_to_this_answer_and_nothing_of_an_earlier_one(tmp_path):
    cli.emit({"verdict": "pass"}, tmp_path, {"report.md": "# pass", "evidence.json": "{}"})
    assert (tmp_path / "evidence.json").read_text() == "{}"
    for _ in range(2):
        cli.emit({"verdict": "unchanged"}, tmp_path, {"report.md": "# unchanged", "evidence.json": None})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.md", "result.json"]
    assert (tmp_path / "report.md").read_text() == "# unchanged"


def ended(error):
    """Return how a program ends if its step raises this."""
    names = "from wandb.errors import CommError\nfrom wandb.sdk.lib.service.service_connection import *\n"
    code = f"{names}from modelgate.cli import run_guarded\ndef main(): raise {error}\n"
    program = [sys.executable, "-c", f"{code}raise SystemExit(run_guarded(main))"]
    return subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_what_wandb_refuses_unexpectedly_is_a_sentence_and_a_bug_of_ours_a_traceback():
    refused = ended("CommError('the collection is gone')")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["name"]) == (UNREACHABLE, "wandb_failed")
    assert "error: W&B could not do what the step asked: the collection is gone" in refused.stderr
    assert "Traceback" not in refused.stderr
    unwrapped = ended("WandbApiFailedError('502 Bad Gateway')")
    assert (unwrapped.returncode, "Traceback" in unwrapped.stderr) == (UNREACHABLE, False)
    assert "Traceback" in ended("ValueError('a bug')").stderr
