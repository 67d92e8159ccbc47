"""
Twenty trainings that differ by their seed alone: what the gate must not call a regression.

    MNIST_NPZ=mnist.npz python -m benchmarks.retrained tests/steps/retrained_mnist.npz

Writes labels (N,), the group of each row by ink (N,), and answers (20, 1 + variations, N), all uint8; the first of
the answers is to the rows as they are. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import usecases
from steps import train
from steps.common import answers, keras_session, model_file
from usecases.dataset import Dataset

USE_CASE = "mnist"
SEEDS = range(20)


def rows() -> Dataset:
    """The rows that the use case trains and evaluates on by default."""
    defaults = usecases.config(USE_CASE)["build"]
    dataset: Dataset = usecases.part(USE_CASE, "data").load(defaults["rows"], defaults["eval_rows"])
    return dataset


def answers_of(dataset: Dataset, seed: int) -> Any:
    """What a model trained with this seed answers: uint8 (1 + variations, N)."""
    settings = argparse.Namespace(**usecases.config(USE_CASE)["train"] | {"seed": seed})
    keras_session.start(seed, threads=1)
    model = train.fit(dataset, usecases.part(USE_CASE, "model").build_model, settings, callbacks=[])
    variations = usecases.part(USE_CASE, "behaviour").variations(dataset.x_eval)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model_file.save(model, path)
        asked = answers.ask(path, dataset.x_eval, variations)
    return np.stack([asked.probabilities.argmax(axis=1), *asked.varied.values()]).astype(np.uint8)


def main(argv: list[str]) -> int:
    (target,) = argv
    dataset = rows()
    groups = usecases.part(USE_CASE, "behaviour").slices(dataset.x_eval, dataset.y_eval)
    given = []
    for seed in SEEDS:
        given.append(answers_of(dataset, seed))
        print(f"seed {seed}: accuracy {(given[-1][0] == dataset.y_eval).mean():.4f}", flush=True)
    np.savez_compressed(
        target,
        labels=dataset.y_eval.astype(np.uint8),
        ink=groups["ink"].astype(np.uint8),
        answers=np.stack(given),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
