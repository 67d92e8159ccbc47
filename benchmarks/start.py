"""Measure how soon our server answers after its start, on an empty data folder and on an existing one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving
from benchmarks.report import Report, expect_under, get_column

UNDER_S = 1.0


def sample() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        with serving.serve_ours(Path(folder)) as server:
            first = server.started
        with serving.serve_ours(Path(folder)) as server:
            return {"first": first, "again": server.started}


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    return Report(
        "From starting our server's process to its first answer",
        [
            expect_under("on an empty data folder", get_column(samples, "first"), UNDER_S, "s", 2),
            expect_under("again, on the same", get_column(samples, "again"), UNDER_S, "s", 2),
        ],
    )
