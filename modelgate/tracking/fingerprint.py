"""
What a step's output depends on, as one short hash: the code it imports, its flags, its inputs, its lock.

A step that has run on the same fingerprint need not run again. No path of this machine, time or host name is in it,
so that it is the same in a process, in a container and on another machine.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = "requirements.txt"
_OURS = ("modelgate", "steps", "usecases")


def alias(module: str, parts: Iterable[str], flags: Mapping[str, object], inputs: Mapping[str, str | None]) -> str:
    """
    The W&B alias under which the output of this very work is found: `inputs-<12 hex>`.

    module: the step, as `steps.train`. parts: modules of the use case that it loads by name, as `usecases.mnist.model`.
    flags: those that change the output. inputs: digests of what it reads.
    """
    files = {name: _sha256(ROOT / name) for name in [*sources([module, *parts]), LOCK]}
    text = json.dumps({"files": files, "flags": dict(flags), "inputs": dict(inputs)}, sort_keys=True)
    return f"inputs-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


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
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.split(".")[0] in _OURS]


def _file(module: str) -> str | None:
    base = module.replace(".", "/")
    for candidate in (f"{base}.py", f"{base}/__init__.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
