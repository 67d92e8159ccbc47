"""Create a use case that already runs: `python -m modelgate new`."""

from __future__ import annotations

import shutil
from pathlib import Path

from modelgate import config
from modelgate.errors import WRONG_USE, StepError

TEMPLATES = Path(__file__).with_name("templates")
_NAME = "NAME"  # in a template's config.toml


def write(name: str, task: str, framework: str) -> Path:
    """Create `usecases/<name>/` from the task's template, completely or not at all. StepError says why not."""
    config.require_name(name)
    if framework not in (able := config.list_frameworks(task)):
        problem = f"--framework {framework}: {task} needs {' or '.join(able)}"
        raise StepError("framework_of_another_task", problem, f"use --framework {able[0]}", WRONG_USE)
    folder = config.FOLDER / name
    if folder.exists():
        raise StepError("use_case_exists", f"usecases/{name} already exists", "choose another name", WRONG_USE)
    draft = config.FOLDER / f".{name}.new"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(TEMPLATES / task.replace("-", "_"), draft, ignore=shutil.ignore_patterns("__pycache__"))
    settings = draft / "config.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace(_NAME, name), encoding="utf-8")
    draft.rename(folder)
    return folder
