"""
Compute a short hash of what a step's output depends on: the code it imports, its flags, its inputs, its image's lock.

If a step has run with the same fingerprint, it does not need to run again. The fingerprint contains no local path, time
or host name, so it is the same in a process, in a container and on another machine.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from modelgate import config

ROOT = Path(__file__).resolve().parents[2]
_PREFIX = "inputs-"
# The base of a step's image: the packages of a framework, and those of the use case. Processes on a laptop have the
# same versions from requirements.txt, but a new development tool there is not a reason to train again.
_LOCKS = "docker/frameworks"
_FORMAT = re.compile(r"modelgate/frameworks/(\w+)_format\.py")
_USE_CASE = re.compile(r"usecases/\w+/")
_OURS = ("modelgate", "steps", "usecases")


def compute_alias(
    module: str, parts: Iterable[str], flags: Mapping[str, object], inputs: Mapping[str, str | None]
) -> str:
    """
    Return the W&B alias that finds the output of exactly this work: `inputs-<12 hex>`.

    module: the step, such as `steps.train`. parts: modules of the use case that it loads by name, such as
    `usecases.NAME.model`. flags: those that change the output. inputs: digests of what it reads.
    """
    read = list_sources([module, *parts])
    files = {name: _hash(_get_path(name)) for name in [*read, *list_locks(read)]}
    text = json.dumps({"files": files, "flags": dict(flags), "inputs": dict(inputs)}, sort_keys=True)
    return f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_alias(name: str) -> bool:
    """Return whether an alias is such a mark of the steps, and not a name that someone gave."""
    return name.startswith(_PREFIX)


def list_locks(read: Iterable[str]) -> list[str]:
    """
    Return the locks of the step's image, given the project files that the step reads: paths from the root, sorted.

    A step without the format of a framework uses the image of scikit-learn, which has what tables need. An image for a
    GPU has the lock for CUDA instead of the one for the CPU.
    """
    frameworks = [match[1] for name in read if (match := _FORMAT.fullmatch(name))] or ["sklearn"]
    of_frameworks = [_lock(framework) for framework in frameworks]
    own = {f"{match[0]}requirements.txt" for name in read if (match := _USE_CASE.match(name))}
    return sorted([*of_frameworks, *(name for name in own if _get_path(name).is_file())])


def _lock(framework: str) -> str:
    cpu, cuda = f"{_LOCKS}/{framework}.txt", f"{_LOCKS}/{framework}-cuda.txt"
    return cuda if not _get_path(cpu).is_file() and _get_path(cuda).is_file() else cpu


def list_sources(modules: Iterable[str]) -> list[str]:
    """Return the project files of these modules and of all that they import, directly or not: paths from the root,
    sorted.
    """
    hashes: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in hashes or (path := _find_file(module)) is None:
            continue
        hashes[module] = path
        waiting += _list_imports(path)
        if "." in module:  # importing a.b also runs a/__init__.py
            waiting.append(module.rpartition(".")[0])
    return sorted(hashes.values())


def _list_imports(path: str) -> list[str]:
    """Return the project's modules that a file imports anywhere; `from a import b` may name a module b."""
    return _parse_imports(_get_path(path).read_text(encoding="utf-8"))


@cache
def _parse_imports(source: str) -> list[str]:
    names: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in _OURS]


def _find_file(module: str) -> str | None:
    base = module.replace(".", "/")
    for candidate in (f"{base}.py", f"{base}/__init__.py"):
        if _get_path(candidate).is_file():
            return candidate
    return None


def _get_path(name: str) -> Path:
    """Return a project file by its path from the root."""
    return (config.FOLDER.parent if name.startswith("usecases/") else ROOT) / name


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
