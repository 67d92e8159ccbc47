"""
What a step's fingerprint covers: the files it imports, its flags and inputs, and nothing of this machine.

    pytest tests/modelgate/test_fingerprint.py
"""

from __future__ import annotations

import shutil

import pytest

from modelgate.tracking import fingerprint


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources, whose files a test may touch."""
    for name in ("modelgate", "steps", "usecases"):
        # Not what other processes are compiling just now.
        shutil.copytree(fingerprint.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(fingerprint.ROOT / fingerprint.LOCK, tmp_path)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    return tmp_path


STEPS = {
    "build": ("steps.build", ["usecases.mnist.data"]),
    "train": ("steps.train", ["usecases.mnist.model"]),
    "evaluate": ("steps.evaluate", ["usecases.mnist.behaviour", "usecases.mnist.data"]),
}


def aliases():
    return {name: fingerprint.alias(module, parts, {}, {}) for name, (module, parts) in STEPS.items()}


@pytest.mark.parametrize(
    ("touched", "changed"),
    [
        ("README.md", set()),
        ("usecases/mnist/data.py", {"build", "evaluate"}),  # evaluate shows the pictures of mistakes
        ("usecases/mnist/behaviour.py", {"evaluate"}),
        ("usecases/mnist/model.py", {"train"}),
        ("usecases/digits/model.py", set()),
        ("usecases/mnist/config.toml", set()),  # its values arrive as flags
        ("steps/build.py", {"build"}),
        ("steps/train.py", {"train"}),
        ("steps/promote.py", set()),
        ("modelgate/gate/report.py", {"evaluate"}),
        ("modelgate/frameworks/keras_format.py", {"train", "evaluate"}),
        ("modelgate/rows/checks.py", {"build", "evaluate"}),
        ("modelgate/tracking/client.py", {"build", "train", "evaluate"}),
        ("requirements.txt", {"build", "train", "evaluate"}),
    ],
)
def test_touching_a_file_changes_the_steps_that_use_it(copy, touched, changed):
    before = aliases()
    with (copy / touched).open("a", encoding="utf-8") as file:
        file.write("\n# touched\n")
    after = aliases()
    assert {name for name in STEPS if before[name] != after[name]} == changed


def test_flags_and_inputs_change_it():
    module, parts = STEPS["train"]
    base = fingerprint.alias(module, parts, {"seed": 0}, {"dataset": "a"})
    assert base != fingerprint.alias(module, parts, {"seed": 1}, {"dataset": "a"})
    assert base != fingerprint.alias(module, parts, {"seed": 0}, {"dataset": "b"})
    assert base == fingerprint.alias(module, parts, {"seed": 0}, {"dataset": "a"})


def test_it_does_not_depend_on_where_the_files_are(copy):
    moved = aliases()
    fingerprint.ROOT = copy.parent / "elsewhere"
    shutil.copytree(copy, fingerprint.ROOT)
    assert aliases() == moved


def test_no_step_imports_another_the_server_or_the_runner():
    for name in ("build", "train", "link", "evaluate", "promote", "audit"):
        files = fingerprint.sources([f"steps.{name}"])
        assert [file for file in files if file.count("/") == 1 and file.startswith("steps/")] == sorted(
            ["steps/__init__.py", f"steps/{name}.py"]
        )
