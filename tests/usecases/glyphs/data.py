"""
The digits that scikit-learn carries (`sklearn.datasets.load_digits`): 1,797 images of 8 by 8 pixels, values 0 to 16.

They are part of the installed package, so this use case needs neither a network nor its own file.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

CLASSES = tuple(range(10))
SHAPE = (8, 8, 1)
_FILE = "digits.csv.gz"
_MAX_VALUE = 16  # the pixels are counts of dark cells in blocks of 4 by 4


def _bytes() -> bytes:
    # Read as a file and not through load_digits(): finding the package is quick, importing it costs a second.
    package = find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise SourceUnavailable("scikit-learn is not installed", "make setup")
    return (Path(package.submodule_search_locations[0]) / "datasets" / "data" / _FILE).read_bytes()


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file."""
    return Source("sklearn.datasets.load_digits", hashlib.sha256(_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """`rows` images for training and `eval_rows` others for evaluation."""
    table = np.loadtxt(gzip.decompress(_bytes()).decode("ascii").splitlines(), delimiter=",", dtype=np.int64)
    if rows + eval_rows > len(table):
        raise NotEnoughRows(f"glyphs has {len(table)} rows in all; asked for {rows} + {eval_rows}")
    # The file is ordered by writer; a fixed shuffle puts rows of all writers into both splits.
    table = np.random.default_rng(0).permutation(table)
    images = (table[:, :-1].astype(np.float32) / np.float32(_MAX_VALUE)).reshape(-1, *SHAPE)
    labels = table[:, -1]
    return Dataset(images[:rows], labels[:rows], images[-eval_rows:], labels[-eval_rows:])


def picture(image: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """What a person sees of a row: uint8 (height, width), 0 black to 255 white."""
    return np.rint(image[..., 0] * 255).astype(np.uint8)
