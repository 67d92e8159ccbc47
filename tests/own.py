"""
The tests' own use cases, in tests/usecases: what a team removes or renames in usecases/ breaks no test.

`glyphs` is scikit-learn's small digits, which need no file; `remote` needs one that it is told of, and names glyphs as
what stands in for it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import usecases
from modelgate import config

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_name("usecases")
USE_CASE = "glyphs"
BUILD = ".venv/bin/python -m tests.own"  # builds the images that the tests of the containers need
# What a clone needs to run the loop.
ROOMS = (
    "docker",
    "modelgate",
    "modelgate_server",
    "pages",
    "runner",
    "serving",
    "steps",
    "requirements.txt",
    "pyproject.toml",
)
UNFINISHED = shutil.ignore_patterns("*.pyc.*")  # bytecode that another process is writing


def install() -> None:
    """Make these use cases the only ones in this process."""
    config.FOLDER = FOLDER
    usecases.__path__ = [str(FOLDER), *usecases.__path__]  # the tests of the shipped use cases still import them


def install_in(root: Path) -> None:
    """Replace the use cases of a clone with them."""
    shutil.rmtree(root / "usecases", ignore_errors=True)
    shutil.copytree(FOLDER, root / "usecases", ignore=UNFINISHED)


def clone(root: Path, rooms: tuple[str, ...] = ROOMS) -> Path:
    """
    Copy this repository's packages, with these use cases, into an empty or missing folder.

    Their bytecode comes along: otherwise the first process in each clone compiles everything that it imports.
    """
    root.mkdir(parents=True, exist_ok=True)
    for name in rooms:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=UNFINISHED)
        else:
            shutil.copy(ROOT / name, root / name)
    install_in(root)
    return root


def edit(path: Path, *changes: tuple[str, str]) -> None:
    """Replace texts in a file; each must be there."""
    text = path.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def lenient(root: Path) -> None:
    """Make a clone's gate pass any model above the floor, for tests of everything but the gate."""
    edit(root / "usecases" / USE_CASE / "config.toml", ("margin = 0.005", "margin = 0.5"))
    (root / "usecases" / USE_CASE / "behaviour.py").unlink()


def letters(root: Path) -> None:
    """
    Turn `glyphs` into a team's use case in a clone, and remove every other: is a digit below a limit?

    It has its own hyperparameter and variable, and compiles its model itself.
    """
    folder = root / "usecases" / "letters"
    shutil.copytree(root / "usecases" / "glyphs", folder)
    for name in ("glyphs", "remote"):
        shutil.rmtree(root / "usecases" / name)
    edit(
        folder / "config.toml",
        ('collection = "glyphs-dev"', 'collection = "letters-dev"'),
        ("epochs = 15", "epochs = 8\nlearning_rate = 0.001"),
        ("margin = 0.005", "margin = 0.5"),  # any model above the floor passes
        ("[build]", '[data]\nenv = ["LETTERS_LIMIT"]\n\n[build]'),
    )
    edit(
        folder / "data.py",
        ("CLASSES = tuple(range(10))", "CLASSES = (0, 1)"),
        ("import hashlib\n", "import hashlib\nimport os\n"),
        ("labels = table[:, -1]", "labels = (table[:, -1] >= _limit()).astype(np.int64)\n    images = images[:, ::-1]"),
        (
            "def source() -> Source:",
            "def _limit() -> int:\n"
            '    if "LETTERS_LIMIT" not in os.environ:\n'
            '        raise SourceUnavailable("LETTERS_LIMIT is not set", "set it to a digit")\n'
            '    return int(os.environ["LETTERS_LIMIT"])\n\n\n'
            "def source() -> Source:",
        ),
        ("hashlib.sha256(_bytes())", "hashlib.sha256(_bytes() + bytes([_limit()]))"),
    )
    edit(
        folder / "model.py",
        ("dropout: float, ", "dropout: float, learning_rate: float, "),
        ("    return keras.Sequential(", "    model = keras.Sequential("),
    )
    with (folder / "model.py").open("a", encoding="utf-8") as file:
        file.write(
            "    optimizer = keras.optimizers.Adam(learning_rate)\n"
            '    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])\n'
            "    return model\n"
        )


def cells(root: Path) -> None:
    """
    Make a team's table in a clone as docs/how-to/adapting-tables.md says, and remove every other use case.

    Its own variable says how often a value is missing.
    """
    for name in (USE_CASE, "remote"):
        shutil.rmtree(root / "usecases" / name)
    command = [sys.executable, "-m", "modelgate", "new", "cells", "--task", "tabular-classification"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    folder = root / "usecases" / "cells"
    edit(folder / "config.toml", ("[build]", '[data]\nenv = ["CELLS_EVERY"]\n\n[build]'))
    edit(
        folder / "data.py",
        ("import hashlib\n", "import hashlib\nimport os\n"),
        ("table.loc[::7,", 'table.loc[:: int(os.environ["CELLS_EVERY"]),'),
    )


def python(*args: str) -> list[str]:
    """Return the command line of `python -m ...` with these use cases; more arguments may follow."""
    program = "import sys, runpy; from tests.own import install; install(); del sys.argv[0]; "
    return [
        sys.executable,
        "-c",
        f"{program}runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
        *args,
    ]


def build_images() -> int:
    """Build these teams' images that the engine lacks; `.ci/run` and people call this before the tests."""
    for team in (letters, cells):
        with tempfile.TemporaryDirectory() as folder:
            root = clone(Path(folder) / "clone")
            team(root)
            if code := subprocess.run([sys.executable, "-m", "runner", "images"], cwd=root, check=False).returncode:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(build_images())
