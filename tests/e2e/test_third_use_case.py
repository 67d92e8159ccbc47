"""
A team's own use case, made as docs/how-to/adapting.md says: copy a folder, edit it, remove those that shipped, touch
nothing else. This file has its error messages, and its whole loop as processes. The loop in containers, which needs an
engine, is in test_containers.py, and the one under act in tests/workflows/test_act.py.

    pytest tests/e2e/test_third_use_case.py
    pytest tests/e2e/test_third_use_case.py -m prove      its whole loop, without an engine
"""

from __future__ import annotations

import json
import shutil

import pytest

from tests.e2e.conftest import make_clone
from tests.own import edit, letters


@pytest.fixture(scope="module")
def one_clone(tmp_path_factory):
    with make_clone(tmp_path_factory.mktemp("team")) as clone:
        letters(clone.path)
        yield clone


@pytest.fixture
def team(one_clone, tmp_path):
    """
    A clone in which the team's `letters` is the only use case; it reads its labels' limit from a variable. All tests
    share the clone, because none makes a model, and each gets the files as they were.
    """
    folder = one_clone.path / "usecases/letters"
    shutil.copytree(folder, tmp_path / "kept")
    yield one_clone
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "kept", folder)


@pytest.mark.prove
def test_a_copied_and_edited_use_case_runs_the_whole_loop_when_it_is_the_only_one(clone):
    letters(clone.path)
    code, output = clone.run("run", "--learning-rate", "0.002", APPROVE="ada", LETTERS_LIMIT="5")
    assert code == 0, output
    assert "The plan for letters:" in output
    versions = clone.ask(
        "(lambda version: [version.version, *(version.metadata[key] for key in ('use_case', 'learning_rate'))])"
        "(api.artifact('local-org/wandb-registry-model/letters-dev:production'))"
    )
    assert versions == ["v0", "letters", 0.002]
    answer = json.loads((clone.path / ".modelgate/out/evaluate/result.json").read_text())
    assert answer["accuracy"] > 0.9


def test_without_its_variable_build_says_what_to_set(team):
    code, output = team.run("run", APPROVE="ada")
    assert code == 3
    assert "LETTERS_LIMIT is not set" in output and "Traceback" not in output


@pytest.mark.parametrize("name", ["link", "train", "evaluate", "build", "promote", "audit"])
def test_every_step_shows_its_help_when_those_that_shipped_are_gone(team, name):
    assert "a folder of usecases/: letters (default: letters)" in " ".join(
        team.answer("-m", f"steps.{name}", "--help").split()
    )


def test_a_build_model_that_lacks_a_hyperparameter_is_told_which(team):
    edit(team.path / "usecases/letters/model.py", (", **_: object)", ")"))
    code, output = team.run("run", APPROVE="ada", LETTERS_LIMIT="5")
    assert code == 2
    assert (
        "usecases/letters/model.py: build_model does not accept batch_size, epochs" in output
        and "Traceback" not in output
    )


@pytest.mark.parametrize(
    ("part", "message"), [("data", "usecases/letters/data.py is missing"), ("model", "model.py is missing")]
)
def test_a_part_that_is_missing_is_named(team, part, message):
    (team.path / f"usecases/letters/{part}.py").unlink()
    code, log = team.run("run", APPROVE="ada", LETTERS_LIMIT="5")
    assert code == 2
    assert f"usecases/letters/{part}.py is missing" in log and "Traceback" not in log
