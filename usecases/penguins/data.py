"""
Load the Palmer penguins: 344 penguins of three species, measured at Palmer Station, Antarctica, 2007 to 2009.

Rows: penguins.csv of the package palmerpenguins 0.1.6 (github.com/mcnakhaee/palmerpenguins), after Horst, Hill and
Gorman (2020), palmerpenguins, doi:10.5281/zenodo.3960218. Licence of the data: CC0 1.0, by the data policy of the
Palmer Station LTER. The file is next to this one, so this use case needs no network.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source

CLASSES = ("Adelie", "Chinstrap", "Gentoo")
# What a row may contain: types, ranges, categories, and which values may be missing.
SCHEMA = pa.DataFrameSchema(
    {
        "island": pa.Column(str, pa.Check.isin(["Biscoe", "Dream", "Torgersen"])),
        "bill_length_mm": pa.Column(float, pa.Check.in_range(20, 80), nullable=True),
        "bill_depth_mm": pa.Column(float, pa.Check.in_range(5, 40), nullable=True),
        "flipper_length_mm": pa.Column(float, pa.Check.in_range(100, 300), nullable=True),
        "body_mass_g": pa.Column(float, pa.Check.in_range(1000, 10_000), nullable=True),
        "sex": pa.Column(str, pa.Check.isin(["female", "male"]), nullable=True),
        "year": pa.Column(int, pa.Check.in_range(2007, 2009)),
    }
)
_FILE = Path(__file__).with_name("penguins.csv")


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file."""
    return Source("palmerpenguins 0.1.6", hashlib.sha256(_FILE.read_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` penguins for training and `eval_rows` others for evaluation."""
    table = pd.read_csv(_FILE)
    if rows + eval_rows > len(table):
        raise NotEnoughRows(f"penguins has {len(table)} rows in all; asked for {rows} + {eval_rows}")
    # The file is sorted by species. A fixed shuffle puts all of them into both splits.
    table = table.iloc[np.random.default_rng(0).permutation(len(table))].reset_index(drop=True)
    species = table.pop("species").map({name: label for label, name in enumerate(CLASSES)}).to_numpy(np.int64)
    return Dataset(table[:rows], species[:rows], table[-eval_rows:], species[-eval_rows:])
