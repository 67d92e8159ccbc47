"""The same command again: nothing has changed, nothing is done again."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.project import Project, use_case
from benchmarks.timing import Failed, column, judged, shown

UNDER_S = 5.0


def sample(project: Project) -> dict[str, Any]:
    """Seconds of a run after which everything is as it was."""
    if not project.was_run:
        project.run()
    done = project.run()
    if (verdict := project.answer("evaluate")["verdict"]) != "unchanged":
        raise Failed(f"the second run ended {verdict!r}, not 'unchanged'")
    return {"second": done.seconds}


def show(samples: Sequence[Mapping[str, Any]]) -> bool:
    seconds = column(samples, "second")
    met = statistics.median(seconds) < UNDER_S
    print(f"\nAn unchanged second run: {use_case()}, everything reused, verdict `unchanged`")
    print(f"  {'second run':<18}{shown(seconds):<26}{judged(met, f'under {UNDER_S:g} s')}")
    return met
