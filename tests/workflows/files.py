"""The workflow files as the tests read them: their text, their content, and where their jobs and steps are."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
ACTIONS = ROOT / ".github" / "actions"


def program(name: str) -> Path:
    """Return a development tool of the environment that runs the tests."""
    path = Path(sys.executable).parent / name
    assert path.exists(), f"{name} is not in this environment: make setup"
    return path


@dataclass(frozen=True)
class Workflow:
    """A workflow, or an action. `content` has every value as text, so that `on` is a key like any other."""

    name: str
    text: str

    @cached_property
    def content(self) -> dict[str, Any]:
        return yaml.load(self.text, yaml.CBaseLoader)  # noqa: S506 - it makes text only

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        return self.content.get("jobs", {})

    def text_of(self, job: str) -> str:
        """Return a job's own lines."""
        return re.split(r"\n(?=  \w)", self.text.partition(f"\n  {job}:\n")[2])[0]

    def steps(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (location, step) for every step of every job, or of the action."""
        for name, job in self.jobs.items():
            for number, step in enumerate(job.get("steps", []), 1):
                yield f"{self.name}: {name}, step {number}", step
        for number, step in enumerate(self.content.get("runs", {}).get("steps", []), 1):
            yield f"{self.name}: step {number}", step


def workflows() -> dict[str, Workflow]:
    files = {path.name: Workflow(path.name, path.read_text(encoding="utf-8")) for path in WORKFLOWS.glob("*.yml")}
    assert files
    return files


def actions() -> dict[str, Workflow]:
    files = {path.parent.name: Workflow(path.parent.name, path.read_text()) for path in ACTIONS.glob("*/action.yml")}
    assert files
    return files
