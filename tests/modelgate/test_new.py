"""
`python -m modelgate new`: it writes a valid use case, or says in one sentence why it cannot.

    pytest tests/modelgate/test_new.py
"""

from __future__ import annotations

import pytest

from modelgate import __main__ as command
from modelgate import config


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("task", config.TASKS)
def test_every_task_has_a_template_whose_config_is_valid(folder, task, capsys):
    assert command.main(["new", "mine", "--task", task]) == 0
    assert "make run USE_CASE=mine" in capsys.readouterr().out
    settings = config.load("mine")
    assert (settings.task, settings.collection) == (task, "mine-dev")
    assert {path.name for path in (folder / "mine").iterdir()} >= {"__init__.py", "config.toml", "data.py", "model.py"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["Mine", "--task", "tabular-regression"], "cannot be a use case"),
        (["../mine", "--task", "tabular-regression"], "cannot be a use case"),
        (["mine", "--task", "tabular-regression", "--framework", "keras"], "tabular-regression needs sklearn"),
        (["there", "--task", "tabular-regression"], "usecases/there already exists"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_sentence_and_nothing_is_left(folder, flags, message, capsys):
    (folder / "there").mkdir()
    assert command.main(["new", *flags]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["there"]
