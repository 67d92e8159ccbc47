"""
Run twenty trainings that differ only in their seed, which the gate must not call a regression.

    MNIST_NPZ=mnist.npz python -m benchmarks.retrained tests/modelgate/retrained_mnist.npz

Writes labels (N,), the group of each row by ink (N,), and answers (20, 1 + variations, N), all uint8; the first of
the answers is to the rows as they are. About ten minutes on two cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate import Trainings
from modelgate import config, predictions, usecase
from modelgate.answering import Model
from modelgate.frameworks import keras_format
from modelgate.rows.dataset import Dataset

SEEDS = range(20)


def run_trainings(use_case: str, seeds: Iterable[int] = SEEDS) -> Trainings:
    """Train models of a use case with its defaults; return their answers."""
    size = config.load(use_case).build
    dataset: Dataset = usecase.load_part(use_case, "data").load(size.rows, size.eval_rows)
    groups = usecase.load_part(use_case, "behaviour").slices(dataset.x_eval, dataset.y_eval)
    answers = []
    for seed in seeds:
        answers.append(train_and_ask(use_case, dataset, seed))
        print(f"seed {seed}: accuracy {(answers[-1][0] == dataset.y_eval).mean():.4f}", flush=True)
    return Trainings(dataset.y_eval, groups["ink"], np.stack(answers).astype(np.int64))


def train_and_ask(use_case: str, dataset: Dataset, seed: int) -> Any:
    """Return the answers of a model trained with this seed: int64 (1 + variations, N)."""
    hyperparameters = dict(config.load(use_case).train) | {"seed": seed}
    keras_format.start(seed, threads=1)
    part, task = usecase.load_part(use_case, "model"), config.load(use_case).task
    model = keras_format.fit(dataset.training, part, hyperparameters, task, lambda *_: None)
    variations = usecase.load_part(use_case, "behaviour").variations(dataset.x_eval)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        keras_format.save(model, path)
        predicted = predictions.ask(Model(keras_format, keras_format.load(path)), 0, dataset.x_eval, variations)
    return np.stack([predicted.answers.argmax(axis=1), *predicted.varied.values()])


def main(argv: list[str]) -> int:
    (target,) = argv
    trainings = run_trainings("mnist")
    np.savez_compressed(target, **{name: values.astype(np.uint8) for name, values in vars(trainings).items()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
