"""
Load a table of scikit-learn (`load_breast_cancer`), UCI Machine Learning Repository,
Wolberg, Mangasarian, Street and Street (1993), doi:10.24432/C5DW2B, licence CC BY 4.0.

Every seventh value of the first column is left out, so that you can see how missing values are handled.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

CLASSES = ("malignant", "benign")  # a target is an index into them
COLUMNS = [
    f"{statistic}_{feature}"
    for statistic in ("mean", "error", "worst")
    for feature in (
        *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave_points"),
        *("symmetry", "fractal_dimension"),
    )
]
# Types, ranges, categories, and which values may be missing. Rows that do not fit are refused before anything is
# recorded.
SCHEMA = pa.DataFrameSchema(
    {name: pa.Column(float, pa.Check.in_range(0, 10_000), nullable=name == "mean_radius") for name in COLUMNS}
)


def _file() -> Path:
    package = find_spec("sklearn")  # only located, because importing it takes a second
    if package is None or not package.submodule_search_locations:
        raise SourceUnavailable("scikit-learn is not installed", "make setup")
    return Path(package.submodule_search_locations[0]) / "datasets" / "data" / "breast_cancer.csv"


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file."""
    return Source("sklearn.datasets.load_breast_cancer", hashlib.sha256(_file().read_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` rows for training and `eval_rows` others for evaluation, the same every time."""
    table = pd.read_csv(_file(), skiprows=1, header=None, names=[*COLUMNS, "class"])
    if rows + eval_rows > len(table):
        raise NotEnoughRows(f"there are {len(table)} rows in all; asked for {rows} + {eval_rows}")
    table = table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)
    target = table.pop("class").to_numpy(np.int64)
    table = table.astype(float)
    table.loc[::7, "mean_radius"] = np.nan
    return Dataset(table[:rows], target[:rows], table[-eval_rows:], target[-eval_rows:])
