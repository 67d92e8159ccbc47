"""
Load a table of scikit-learn (`load_diabetes`), Efron, Hastie, Johnstone and Tibshirani
(2004), Least Angle Regression, Annals of Statistics 32(2), 407-499. No licence is stated; the authors publish the rows.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

COLUMNS = ["age", "sex", "bmi", "blood_pressure", *(f"serum_{number}" for number in range(1, 7))]
# Types, ranges, categories, and which values may be missing. Rows that do not fit are refused before anything is
# recorded.
SCHEMA = pa.DataFrameSchema(
    {
        "age": pa.Column(float, pa.Check.in_range(0, 120)),
        "sex": pa.Column(float, pa.Check.isin([1.0, 2.0])),
        **{name: pa.Column(float, pa.Check.in_range(0, 1000)) for name in COLUMNS[2:]},
    }
)


def _files() -> tuple[Path, Path]:
    package = find_spec("sklearn")  # only located, because importing it takes a second
    if package is None or not package.submodule_search_locations:
        raise SourceUnavailable("scikit-learn is not installed", "make setup")
    folder = Path(package.submodule_search_locations[0]) / "datasets" / "data"
    return folder / "diabetes_data_raw.csv.gz", folder / "diabetes_target.csv.gz"


def source() -> Source:
    """Return where the rows come from, and the sha256 of those files."""
    content = b"".join(file.read_bytes() for file in _files())
    return Source("sklearn.datasets.load_diabetes", hashlib.sha256(content).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` rows for training and `eval_rows` others for evaluation, the same every time. Targets: float64."""
    file, targets = _files()
    table = pd.read_csv(file, sep=" ", header=None, names=COLUMNS).astype(float)
    target = pd.read_csv(targets, header=None)[0].to_numpy(np.float64)
    if rows + eval_rows > len(table):
        raise NotEnoughRows(f"there are {len(table)} rows in all; asked for {rows} + {eval_rows}")
    order = np.random.default_rng(0).permutation(len(table))
    table, target = table.iloc[order].reset_index(drop=True), target[order]
    return Dataset(table[:rows], target[:rows], table[-eval_rows:], target[-eval_rows:])
