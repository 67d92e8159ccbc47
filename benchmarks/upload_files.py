"""Write the dataset's files into a folder: `python -m benchmarks.upload_files DIR`. Tables, a PNG a row, the arrays."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np

import usecases
from benchmarks.project import use_case
from steps.build import dataset_artifact
from usecases.dataset import Dataset, Source

ROWS, EVAL_ROWS = 6000, 1000


def dataset() -> Dataset:
    """MNIST; without it as many images of its size: the digits enlarged, with noise that makes each one its own."""
    if use_case() == "mnist":
        rows: Dataset = usecases.part("mnist", "data").load(ROWS, EVAL_ROWS)
        return rows
    small: Dataset = usecases.part("digits", "data").load(1300, 497)
    chance = np.random.default_rng(0)
    images, labels = np.concatenate([small.x_train, small.x_eval]), np.concatenate([small.y_train, small.y_eval])
    chosen = chance.integers(len(images), size=ROWS + EVAL_ROWS)
    large = np.pad(images[chosen].repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2), (0, 0)))
    noisy = (large * chance.uniform(0.5, 1.0, size=large.shape)).astype(np.float32)
    return Dataset(noisy[:ROWS], labels[chosen[:ROWS]], noisy[ROWS:], labels[chosen[ROWS:]])


def main() -> None:
    target = Path(sys.argv[1])
    picture = usecases.part("mnist", "data").picture
    artifact = dataset_artifact("bench", dataset(), Source("benchmark", ""), picture)
    for name, entry in artifact.manifest.entries.items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(entry.local_path), file)


if __name__ == "__main__":
    main()
