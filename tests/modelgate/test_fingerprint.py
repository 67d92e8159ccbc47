"""
What a step's fingerprint covers: the files it imports, its flags and its inputs, and nothing about this machine.

    pytest tests/modelgate/test_fingerprint.py
"""

from __future__ import annotations

import pytest

from modelgate import config, rows, usecase
from modelgate.tracking import fingerprint
from tests import own


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the sources, whose files a test may edit."""
    own.clone(tmp_path)
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    monkeypatch.setattr(config, "FOLDER", tmp_path / "usecases")
    return tmp_path


STEPS = {
    "build": ("steps.build", ["usecases.glyphs.data"]),
    "train": ("steps.train", ["usecases.glyphs.model"]),
    "evaluate": ("steps.evaluate", ["usecases.glyphs.behaviour", "usecases.glyphs.data"]),
}


def aliases():
    """Return the fingerprints of a use case with Keras and images, as the steps compute them."""
    settings = config.load("glyphs")
    ours = usecase.list_modules(settings)
    build = [rows.get_module(settings.task), rows.get_checks(settings.task)]
    added = {"build": build, "train": ours, "evaluate": ours}
    return {
        name: fingerprint.compute_alias(module, [*parts, *added[name]], {}, {})
        for name, (module, parts) in STEPS.items()
    }


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """The fingerprints of an unchanged copy."""
    with pytest.MonkeyPatch.context() as patch:
        root = own.clone(tmp_path_factory.mktemp("untouched"))
        patch.setattr(fingerprint, "ROOT", root)
        patch.setattr(config, "FOLDER", root / "usecases")
        return aliases()


@pytest.mark.parametrize(
    ("touched", "changed"),
    [
        ("README.md", set()),
        ("usecases/glyphs/data.py", {"build", "evaluate"}),  # evaluate shows the pictures of mistakes
        ("usecases/glyphs/behaviour.py", {"evaluate"}),
        ("usecases/glyphs/model.py", {"train"}),
        ("usecases/remote/model.py", set()),
        ("usecases/glyphs/config.toml", set()),  # its values arrive as flags
        ("steps/build.py", {"build"}),
        ("steps/train.py", {"train"}),
        ("steps/promote.py", set()),
        ("modelgate/gate/report.py", {"evaluate"}),
        ("modelgate/frameworks/keras_format.py", {"train", "evaluate"}),
        ("modelgate/frameworks/sklearn_format.py", set()),  # of another framework
        ("modelgate/rows/tables.py", set()),  # and of another kind of row
        ("modelgate/rows/table_checks.py", set()),
        ("modelgate/templates/tabular_classification/model.py", set()),
        ("modelgate/rows/checks.py", {"build"}),
        ("modelgate/rows/image_checks.py", {"build"}),
        ("modelgate/rows/images.py", {"build", "train", "evaluate"}),
        ("modelgate/tracking/client.py", {"build", "train", "evaluate"}),
        ("docker/frameworks/sklearn.txt", {"build"}),
        ("docker/frameworks/keras.txt", {"train", "evaluate"}),
        ("usecases/glyphs/requirements.txt", {"build", "train", "evaluate"}),
        ("usecases/remote/requirements.txt", set()),
        ("docker/promote/requirements.txt", set()),
        ("requirements.txt", set()),  # a new development tool causes no new training
    ],
)
def test_touching_a_file_changes_the_steps_that_use_it(copy, untouched, touched, changed):
    with (copy / touched).open("a", encoding="utf-8") as file:
        file.write("\n# touched\n")
    after = aliases()
    assert {name for name in STEPS if untouched[name] != after[name]} == changed


def test_flags_and_inputs_change_it():
    module, parts = STEPS["train"]
    base = fingerprint.compute_alias(module, parts, {"seed": 0}, {"dataset": "a"})
    assert base != fingerprint.compute_alias(module, parts, {"seed": 1}, {"dataset": "a"})
    assert base != fingerprint.compute_alias(module, parts, {"seed": 0}, {"dataset": "b"})
    assert base == fingerprint.compute_alias(module, parts, {"seed": 0}, {"dataset": "a"})


def test_it_does_not_depend_on_where_the_files_are(copy):
    moved = aliases()
    fingerprint.ROOT = own.clone(copy.parent / "elsewhere")
    config.FOLDER = fingerprint.ROOT / "usecases"
    assert aliases() == moved


def test_an_image_for_a_gpu_is_another_environment(copy):
    before = aliases()
    (copy / "docker" / "frameworks" / "keras.txt").unlink()
    assert {name for name, alias in aliases().items() if alias != before[name]} == {"train", "evaluate"}


def test_no_step_imports_another_the_server_or_the_runner():
    for name in ("build", "train", "link", "evaluate", "promote", "audit"):
        files = fingerprint.list_sources([f"steps.{name}"])
        assert [file for file in files if file.count("/") == 1 and file.startswith("steps/")] == sorted(
            ["steps/__init__.py", f"steps/{name}.py"]
        )
