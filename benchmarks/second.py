"""Measure the same command again, when nothing has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.project import Project, copy_use_case
from benchmarks.report import Report, expect_at_most, get_column
from benchmarks.timing import Failed

AT_MOST_S = 1.8


def sample(project: Project) -> dict[str, Any]:
    """Return the seconds of a run that changes nothing."""
    if not project.was_run:
        project.run()
    done = project.run()
    if (verdict := project.answer("evaluate")["verdict"]) != "unchanged":
        raise Failed(f"the second run ended {verdict!r}, not 'unchanged'")
    return {"use_case": copy_use_case(), "second": done.seconds}


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    title = f"An unchanged second run: {samples[0]['use_case']}, everything reused, verdict `unchanged`"
    return Report(title, [expect_at_most("second run", get_column(samples, "second"), AT_MOST_S, "s", 2)])
