"""
docs/adapting.md, done as it says: copy a folder, edit its three files, run the loop.

    pytest tests/e2e/test_third_use_case.py
"""

from __future__ import annotations

import shutil


def edit(path, *changes):
    text = path.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def test_a_copied_and_edited_use_case_runs_the_whole_loop(clone):
    """`letters`: is a digit below five or not, of the digits turned upside down."""
    folder = clone.path / "usecases" / "letters"
    shutil.copytree(clone.path / "usecases" / "digits", folder)
    edit(
        folder / "config.toml",
        ('collection = "digits-dev"', 'collection = "letters-dev"'),
        ("epochs = 15", "epochs = 8"),
    )
    edit(
        folder / "data.py",
        ("CLASSES = tuple(range(10))", "CLASSES = (0, 1)"),
        ("labels = table[:, -1]", "labels = (table[:, -1] >= 5).astype(np.int64)\n    images = images[:, ::-1]"),
    )
    edit(folder / "model.py", ("layers.Dropout(0.5)", "layers.Dropout(0.2)"))

    code, said = clone.run("run", "--use-case", "letters", APPROVE="ada")
    assert code == 0, said
    held = clone.ask(
        "(lambda version: [version.version, version.metadata['use_case']])"
        "(api.artifact('local-org/wandb-registry-model/letters-dev:production'))"
    )
    assert held == ["v0", "letters"]
