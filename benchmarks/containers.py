"""Measure the pipeline in containers against processes, and the size of each image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.environments import Unavailable
from benchmarks.project import ROOT, Project, copy_use_case
from benchmarks.report import Line, Report, expect_at_most, format_values, get_column
from benchmarks.timing import Failed
from runner import engine, images

NO_ENGINE = 3  # of the runner: no container engine
UNCHANGED_S = 5.0  # the limit for the loop in containers when nothing has changed
# The most MB that each image may add to the base.
LIMITS = {
    "build": 520,
    "train": 1250,
    "link": 130,
    "evaluate": 1250,
    "promote": 620,
    "predict": 1350,
    "serve": 1270,
    "server": 60,
}


def prepare() -> dict[str, str]:
    """
    Build the missing images; return every image's reference by name. Raises Failed, or Unavailable without an engine.
    """
    done = subprocess.run(
        [sys.executable, "-m", "runner", "images"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        # The progress of the builds comes first.
        reason = f"\n{done.stderr}".partition("\nerror: ")[2].strip() or done.stderr.strip()
        raise Unavailable(reason.splitlines()[0]) if done.returncode == NO_ENGINE else Failed(reason)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def sample(project_a: Project, project_b: Project, ours_first: bool) -> dict[str, Any]:
    """
    Return seconds of the loop from nothing to the promotion, and of the same command again: in containers and as
    processes; and MB of each image over the base that all of them share.

    place, other: two copies of the project that nothing was run in.
    """
    sides = [("container", project_a, ("--docker",)), ("process", project_b, ())]
    results: dict[str, Any] = {"use_case": copy_use_case(), "image_mb": _read_sizes(prepare())}
    for side, project, flags in sides if ours_first else reversed(sides):
        results[f"{side}_cold"] = project.run(*flags).seconds
        results[f"{side}_warm"] = project.run(*flags).seconds
        if (verdict := project.answer("evaluate")["verdict"]) != "unchanged":
            raise Failed(f"the second run ended {verdict!r}, not 'unchanged'")
    return results


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    lines = []
    for text, kind in (("from nothing", "cold"), ("nothing changed", "warm")):
        container, process = get_column(samples, f"container_{kind}"), get_column(samples, f"process_{kind}")
        over = [container_s - process_s for container_s, process_s in zip(container, process, strict=True)]
        if kind == "warm":
            lines.append(expect_at_most(f"{text}: containers", container, UNCHANGED_S, "s"))
        else:
            lines.append(Line(f"{text}: containers", format_values(container)))
        lines.append(Line(f"{text}: processes", format_values(process)))
        lines.append(Line(f"{text}: the difference", format_values(over)))
    for name, limit in LIMITS.items():
        sizes = [sample["image_mb"][name] for sample in samples]
        lines.append(expect_at_most(f"image {name}, over its base", sizes[-1:], limit, "MB", 0))
    return Report(f"The loop in containers: {samples[0]['use_case']}, images built before", lines)


# ---------------------------------------------------------------------------------------------------------------------


def _read_sizes(references: Mapping[str, str]) -> dict[str, float]:
    base = _inspect(images.fetch_base(ROOT, os.environ.get("BASE_IMAGE")))["Size"]
    return {name: (_inspect(reference)["Size"] - base) / 1e6 for name, reference in references.items()}


def _inspect(reference: str) -> dict[str, Any]:
    done = engine.ask("image", "inspect", "--format={{json .}}", reference)
    if done.returncode != 0:
        raise Failed(f"{reference} is not there: {done.stderr.strip()}")
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts
