"""
How a step answers where it cannot.

    pytest tests/modelgate/test_cli.py
"""

from __future__ import annotations

import pytest

from modelgate import cli
from modelgate.errors import WRONG_USE, StepError


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
