"""
The bare walkthrough, which the loop is timed against, trains the same model as the steps.

    pytest tests/e2e/test_bare_walkthrough.py               two epochs
    pytest tests/e2e/test_bare_walkthrough.py -m prove      as many as the use case has
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What train and evaluate do, without what records it.
STEPS = """
import sys, tempfile
from pathlib import Path
from modelgate import config, predictions, usecase
from modelgate.answering import Model
from modelgate.gate import metrics
from tests import own
from modelgate.frameworks import keras_format

seed, changes = sys.argv[1], dict(epochs=int(sys.argv[2])) if sys.argv[2:] else {}
own.install()
if changes:
    from benchmarks import bare_walkthrough
    for value in bare_walkthrough.walk("glyphs", **changes):
        print("bare", value)
settings = config.load("glyphs")
hyperparameters = dict(settings.train) | {"seed": int(seed)} | changes
dataset = usecase.load_part("glyphs", "data").load(settings.build.rows, settings.build.eval_rows)
keras_format.start(int(seed), 1)
part = usecase.load_part("glyphs", "model")
model = keras_format.fit(dataset.training, part, hyperparameters, settings.task, lambda *_: None)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "model.keras"
    keras_format.save(model, path)
    asked = predictions.ask(Model(keras_format, keras_format.load(path)), 0, dataset.x_eval, {})
print(f"loss {metrics.compute_loss(dataset.y_eval, asked.answers):.4f}")
print(f"accuracy {metrics.compute_accuracy(dataset.y_eval, asked.answers):.6f}")
"""


def run(*arguments: str) -> list[tuple[str, float]]:
    """Return the printed lines, each a name and a number."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return [(name, float(value)) for name, value in (line.split() for line in done.stdout.splitlines()[-4:])]


def read_results(*arguments: str) -> dict[str, float]:
    return dict(run(*arguments)[-2:])


@pytest.fixture(scope="module")
def bare() -> dict[str, float]:
    return read_results("-m", "benchmarks.bare_walkthrough", "--use-case", "glyphs")


def test_two_epochs_of_it_are_those_of_the_steps():
    (_, loss), (_, accuracy), *steps = run("-c", STEPS, "0", "2")
    assert steps == [("loss", round(loss, 4)), ("accuracy", round(accuracy, 6))]
    assert loss < 2.2  # nats; without any training it is 2.3


@pytest.mark.prove
def test_the_bare_walkthrough_has_the_accuracy_of_the_steps_digit_for_digit(bare):
    steps = read_results("-c", STEPS, "0")
    assert steps["accuracy"] == bare["accuracy"]
    assert steps["accuracy"] > 0.9
    assert steps["loss"] == pytest.approx(bare["loss"], abs=6e-5)  # nats; it is printed with four decimals here


@pytest.mark.prove
def test_another_seed_is_another_model(bare):
    assert read_results("-c", STEPS, "1")["loss"] != pytest.approx(bare["loss"], abs=6e-5)
