"""The loop in containers against the loop as processes, and the size of each image."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.project import ROOT, Project, use_case
from benchmarks.timing import Failed, column, judged, shown

# MB over the base, the most that each may have.
LIMITS = {"build": 420, "train": 1250, "link": 130, "evaluate": 1250, "promote": 400}


class NoEngine(Exception):
    """There is no container engine that could be measured; the message says why."""


def prepare() -> dict[str, str]:
    """Every image's reference by its name, built where it is missing; raises NoEngine."""
    command = [sys.executable, "-m", "runner", "images"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoEngine(done.stderr.strip().splitlines()[0])
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def sample(place: Project, other: Project, ours_first: bool) -> dict[str, Any]:
    """
    Seconds of the loop from nothing to the promotion, and of the same command again: in containers and as processes.

    place, other: two copies of the project that nothing was run in.
    """
    sides = [("container", place, ("--docker",)), ("process", other, ())]
    taken: dict[str, Any] = {}
    for side, project, flags in sides if ours_first else reversed(sides):
        taken[f"{side}_cold"] = project.run(*flags).seconds
        taken[f"{side}_warm"] = project.run(*flags).seconds
        if (verdict := project.answer("evaluate")["verdict"]) != "unchanged":
            raise Failed(f"the second run ended {verdict!r}, not 'unchanged'")
    return taken


def sizes(references: Mapping[str, str]) -> dict[str, float]:
    """MB of each image over its base, which is what all of them share."""
    base = _inspected(_base())["Size"] if references else 0
    return {name: (_inspected(reference)["Size"] - base) / 1e6 for name, reference in references.items()}


def show(samples: Sequence[Mapping[str, Any]]) -> bool:
    print(f"\nThe loop in containers against the loop as processes: {use_case()}, images built before")
    for words, kind in (("from nothing", "cold"), ("nothing changed", "warm")):
        container, process = column(samples, f"container_{kind}"), column(samples, f"process_{kind}")
        over = [one - other for one, other in zip(container, process, strict=True)]
        print(f"  {words}")
        print(f"    {'containers':<16}{shown(container)}")
        print(f"    {'processes':<16}{shown(process)}")
        print(f"    {'the difference':<16}{shown(over)}")
    return True  # figures without a target


def show_sizes(over_base: Mapping[str, float]) -> bool:
    print("\nImages, over their base")
    for name, size in over_base.items():
        target = f"{judged(size <= LIMITS[name], f'at most {LIMITS[name]} MB')}" if name in LIMITS else ""
        print(f"  {name:<18}{f'{size:.0f} MB':<26}{target}")
    return all(size <= LIMITS.get(name, size) for name, size in over_base.items())


# ---------------------------------------------------------------------------------------------------------------------


def _base() -> str:
    text = (ROOT / "docker" / "link" / "Dockerfile").read_text()
    named = re.search(r"^ARG BASE=(.*)$", text, re.MULTILINE)
    return os.environ.get("BASE_IMAGE") or (named[1] if named else "")


def _inspected(reference: str) -> dict[str, Any]:
    command = ["docker", "image", "inspect", "--format={{json .}}", reference]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{reference} is not there: {done.stderr.strip()}")
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts
