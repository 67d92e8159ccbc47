"""
Write the dataset's files into a folder: tables, one PNG per row, the arrays.

    python -m benchmarks.upload_files DIR [ROWS [EVAL_ROWS]]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.project import MNIST, copy_use_case
from modelgate import config, usecase
from modelgate.rows.dataset import Dataset, Source
from steps.build import create_artifact
from tests import own

ROWS, EVAL_ROWS = 6000, 1000


def load_dataset(rows: int, eval_rows: int) -> Dataset:
    """Return MNIST, or without it as many images of its size: enlarged glyphs, each with its own noise."""
    if copy_use_case() == MNIST:
        dataset: Dataset = usecase.load_part(MNIST, "data").load(rows, eval_rows)
        return dataset
    own.install()
    small: Dataset = usecase.load_part(own.USE_CASE, "data").load(1300, 497)
    chance = np.random.default_rng(0)
    images, labels = np.concatenate([small.x_train, small.x_eval]), np.concatenate([small.y_train, small.y_eval])
    chosen = chance.integers(len(images), size=rows + eval_rows)
    large = np.pad(images[chosen].repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2), (0, 0)))
    noisy = (large * chance.uniform(0.5, 1.0, size=large.shape)).astype(np.float32)
    return Dataset(noisy[:rows], labels[chosen[:rows]], noisy[rows:], labels[chosen[rows:]])


def main() -> None:
    target, counts = Path(sys.argv[1]), [int(word) for word in sys.argv[2:]]
    rows = load_dataset(*counts, *(ROWS, EVAL_ROWS)[len(counts) :])
    data = usecase.load_part(copy_use_case(), "data")
    with tempfile.TemporaryDirectory() as pictures:
        artifact = create_artifact(config.load(copy_use_case()), rows, Source("benchmark", ""), data, Path(pictures))
        for name, entry in artifact.manifest.entries.items():
            file = target / name
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(entry.local_path), file)


if __name__ == "__main__":
    main()
