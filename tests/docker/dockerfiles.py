"""Read Dockerfiles and locks."""

from __future__ import annotations

import re
from pathlib import Path

from runner import images

ROOT = Path(__file__).parents[2]
WITH_MODEL = {"train", "evaluate", "predict", "serve"}  # that know the format of their framework's models
ARGUMENTS = {"USE_CASE": "glyphs", "FRAMEWORK": "keras"}


def dockerfile(name: str) -> str:
    return (ROOT / images.get_dockerfile(name)).read_text(encoding="utf-8")


def locks(name: str) -> list[str]:
    """Return the locks that an image is built from: its framework's and its own."""
    framework = {"build": "sklearn"}.get(name, "keras" if name in WITH_MODEL else None)
    arguments = ARGUMENTS | ({"FRAMEWORK": framework} if framework else {})
    texts = [dockerfile(folder) for folder in (["frameworks"] if framework else []) + [name]]
    return [path for text in texts for path in images.list_copied(text, arguments) if path.startswith("docker/")]


def entries(text: str) -> dict[str, tuple[str, ...]]:
    """Return a lock as {package: (version, hashes...)}; markers are left out."""
    values: dict[str, tuple[str, ...]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if head := re.match(r"([a-z0-9.\-]+)(?:\[[^]]*\])?==(\S+)", block):
            values[head[1]] = (head[2], *sorted(re.findall(r"sha256:[0-9a-f]{64}", block)))
    return values
