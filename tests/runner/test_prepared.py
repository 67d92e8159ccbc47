"""The interpreter of the steps, with the real SDK: one service for all steps, and how a step ends.

python -m pytest tests/runner/test_prepared.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import own

from .conftest import ROOT, alive

SERVICE = """
import sys, wandb
print(sys.argv[1])
print(wandb.setup().ensure_service().owns_service)
"""
ENDS = """
import atexit, logging, logging.handlers, sys, tempfile, threading, time
log = logging.getLogger("step")
log.addHandler(logging.handlers.MemoryHandler(9, target=logging.StreamHandler(sys.stdout)))
atexit.register(log.warning, "the exit handlers ran")
threading.Thread(target=lambda: (time.sleep(0.2), print("the thread ended"))).start()
kept = tempfile.TemporaryDirectory(prefix="of-the-step-")
print("printed")
sys.exit({})
"""
DESCRIBED = """
import pydantic, wandb
class Model(pydantic.BaseModel, use_attribute_docstrings=True):
    x: int
    '''What a person wrote.'''
print([field.description for field in Model.model_fields.values()])
print([field.description for field in wandb.Settings.model_fields.values() if field.description])
"""

DRAWS = "import random, sys; print(random.random(), sys.drawn.random(), sys.argv[1:])"

LONG = "import time; time.sleep(4)"
TELLS = "import sys; print(*sorted({'keras', 'sklearn', 'tensorflow'} & {*sys.modules}), sys.argv[1:])"


class Interpreter:
    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self.folder = folder
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner.prepared"],
            cwd=root,
            env=environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, text: str, *argv: str) -> tuple[int, str]:
        """Run this module as a step; return its exit code and its standard output."""
        (self.folder / "a_step.py").write_text(text)
        return self.order("a_step", *argv)

    def order(self, module: str, *argv: str) -> tuple[int, str]:
        stdout = self.folder / "stdout"
        stdout.write_text("")
        assert self.process.stdin and self.process.stdout
        order = {"module": module, "argv": argv, "environ": {}, "stdout": str(stdout)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), stdout.read_text()

    def services(self) -> list[int]:
        """Return the process ids of the services that it has started."""
        processes = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if command[0].endswith(b"wandb-core") and str(self.process.pid).encode() in command:
                processes.append(int(process.name))
        return processes


@pytest.fixture
def interpreter(tmp_path: Path) -> Iterator[Interpreter]:
    started = Interpreter(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


def test_models_of_the_sdk_alone_are_without_descriptions(interpreter: Interpreter) -> None:
    assert interpreter.run(DESCRIBED) == (0, "['What a person wrote.']\n[]\n")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc (Linux)")
def test_all_steps_use_one_service_which_ends_with_their_interpreter(interpreter: Interpreter) -> None:
    assert interpreter.run(SERVICE, "first") == (0, "first\nFalse\n")
    (service,) = interpreter.services()
    assert interpreter.run(SERVICE, "second") == (0, "second\nFalse\n")
    assert interpreter.services() == [service] and alive(service)
    interpreter.process.communicate()
    assert not alive(service)


def test_no_two_steps_draw_the_same_random_numbers(tmp_path: Path) -> None:
    """Nor does a generator that a module made at its import, as that of SDK 0.24."""
    (tmp_path / "sitecustomize.py").write_text("import random, sys; sys.drawn = random.Random()")
    interpreter = Interpreter(tmp_path)
    outputs = [interpreter.run(DRAWS)[1].split() for _ in range(2)]
    interpreter.process.communicate()
    assert all(first != second for first, second in zip(*outputs, strict=True) if first != "[]")
    assert len(outputs[0]) == 3


def test_step_ends_as_a_process_of_its_own_does(interpreter: Interpreter) -> None:
    """It waits for threads, runs exit handlers, and writes what was printed or logged."""
    for code, expected in (("0", 0), ("3", 3), ("None", 0), ("'a sentence'", 1)):
        ended, output = interpreter.run(ENDS.replace("{}", code))
        assert ended == expected
        assert "printed\n" in output and "the thread ended\n" in output and "the exit handlers ran\n" in output
    assert interpreter.run("raise ValueError")[0] == 1
    _, errors = interpreter.process.communicate()
    assert "a sentence" in errors and "ValueError" in errors
    assert not [*interpreter.folder.glob("*step-*")]


def test_the_framework_is_imported_while_a_step_before_works_and_not_after_an_unchanged_one(tmp_path: Path) -> None:
    """Keras, TensorFlow and scikit-learn are replaced, and the steps report what they find."""
    root = own.clone(tmp_path / "project", ("runner", "modelgate", "pyproject.toml"))
    (root / "steps").mkdir()
    (root / "sklearn").mkdir()
    for name in ("keras", "tensorflow", "sklearn/__init__", "sklearn/model_selection"):
        (root / f"{name}.py").touch()
    for name in ("train", "evaluate"):
        (root / f"steps/{name}.py").write_text(TELLS)
    flag = f"--use-case={own.USE_CASE}"
    interpreter = Interpreter(tmp_path, root)
    try:
        (root / "steps/build.py").touch()
        assert interpreter.order("steps.build", flag) == (0, "")
        assert interpreter.order("steps.train", flag, "--epochs=1") == (0, f"['{flag}', '--epochs=1']\n")
        (root / "steps/build.py").write_text(LONG)
        (root / "steps/train.py").write_text(f"{TELLS}\n{LONG}")
        assert interpreter.order("steps.build", flag) == (0, "")
        assert interpreter.order("steps.train", flag) == (0, f"keras sklearn tensorflow ['{flag}']\n")
        assert interpreter.order("a_step") == (1, "")
        assert interpreter.order("steps.evaluate", flag) == (0, f"keras sklearn tensorflow ['{flag}']\n")
        assert interpreter.order("steps.build", "--use-case=unknown") == (0, "")
        assert interpreter.order("steps.train", flag) == (0, f"['{flag}']\n")
    finally:
        interpreter.process.communicate(timeout=60)
    assert interpreter.process.returncode == 0
