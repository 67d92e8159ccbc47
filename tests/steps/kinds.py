"""Use cases of every task, written by `python -m modelgate new` for one test."""

from __future__ import annotations

import sys

import pytest

import usecases
from modelgate import config, new

TASKS = {"tabular": "tabular-classification", "regression": "tabular-regression", "texts": "text-classification"}


@pytest.fixture
def use_case(tmp_path, monkeypatch):
    """Write a use case of a task and make it the only one in this process: `use_case("tabular")`."""
    monkeypatch.setattr(config, "FOLDER", tmp_path / "usecases")
    monkeypatch.setattr(usecases, "__path__", [str(tmp_path / "usecases")])
    written = []

    def write(name):
        (tmp_path / "usecases").mkdir(exist_ok=True)
        written.append(name)
        return new.write(name, TASKS[name], "sklearn")

    yield write
    for name in [name for name in sys.modules if name.startswith(tuple(f"usecases.{folder}" for folder in written))]:
        del sys.modules[name]


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
