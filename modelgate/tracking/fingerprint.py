"""
What a step's output depends on, as one short hash: the code it imports, its flags, its inputs, its image's lock.

A step that has run on the same fingerprint need not run again. No path of this machine, time or host name is in it,
so that it is the same in a process, in a container and on another machine.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from modelgate import config

ROOT = Path(__file__).resolve().parents[2]
# The locks of a step's image, as its Dockerfile names them. The processes of a laptop have the same versions from
# requirements.txt; a development tool added there is no reason to train again.
_LOCKS = {
    "steps.build": ("docker/build/requirements.txt",),
    "steps.train": ("docker/train/requirements.txt", "docker/tensorflow-cpu.txt"),
    "steps.evaluate": ("docker/evaluate/requirements.txt", "docker/tensorflow-cpu.txt"),
}
_PREFIX = "inputs-"
_CPU, _CUDA = "docker/tensorflow-cpu.txt", "docker/tensorflow-cuda.txt"
_OURS = ("modelgate", "steps", "usecases")


def alias(module: str, parts: Iterable[str], flags: Mapping[str, object], inputs: Mapping[str, str | None]) -> str:
    """
    The W&B alias under which the output of this very work is found: `inputs-<12 hex>`.

    module: the step, as `steps.train`. parts: modules of the use case that it loads by name, as `usecases.NAME.model`.
    flags: those that change the output. inputs: digests of what it reads.
    """
    files = {name: _sha256(_path(name)) for name in [*sources([module, *parts]), *locks(module)]}
    text = json.dumps({"files": files, "flags": dict(flags), "inputs": dict(inputs)}, sort_keys=True)
    return f"{_PREFIX}{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_alias(name: str) -> bool:
    """Whether an alias is one of these, which is a mark of the steps and not a name that somebody gave."""
    return name.startswith(_PREFIX)


def locks(module: str) -> list[str]:
    """The locks of the step's image: paths from the root. An image for a GPU has CUDA's in the place of the CPU's."""
    return [_CUDA if name == _CPU and not (ROOT / name).is_file() else name for name in _LOCKS[module]]


def sources(modules: Iterable[str]) -> list[str]:
    """The files of ours that these modules are and import, directly or not: paths from the root, sorted."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found or (path := _file(module)) is None:
            continue
        found[module] = path
        waiting += _imports(path)
        if "." in module:  # importing a.b runs a/__init__.py too
            waiting.append(module.rpartition(".")[0])
    return sorted(found.values())


def _imports(path: str) -> list[str]:
    """Modules of ours that a file imports anywhere in it; `from a import b` may name a module b."""
    names: list[str] = []
    for node in ast.walk(ast.parse(_path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in _OURS]


def _file(module: str) -> str | None:
    base = module.replace(".", "/")
    for candidate in (f"{base}.py", f"{base}/__init__.py"):
        if _path(candidate).is_file():
            return candidate
    return None


def _path(name: str) -> Path:
    """A file of ours, by its path from the root."""
    return (config.FOLDER.parent if name.startswith("usecases/") else ROOT) / name


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
