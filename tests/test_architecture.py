"""
Who may import whom: the rooms of docs/architecture.md, held by the imports of every file.

    pytest tests/test_architecture.py
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"steps", "usecases", "server", "runner", "benchmarks", "tests"}
MAY_IMPORT = {
    "steps": {"steps", "usecases"},
    "usecases": {"usecases"},
    "server": {"server"},
    "runner": {"runner"},
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written from the root"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def foreign(room: str, names: set[str]) -> set[str]:
    return {name for name in names if (top := name.split(".")[0]) in ROOMS and top not in MAY_IMPORT[room]}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    assert {str(path): foreign(room, imports(path)) for path in files if foreign(room, imports(path))} == {}


def test_an_import_across_rooms_would_be_caught():
    assert foreign("steps", {"server.store", "wandb"}) == {"server.store"}
    assert foreign("server", {"steps.common.gate"}) == {"steps.common.gate"}


def test_the_store_knows_neither_http_nor_graphql_nor_what_is_above_it():
    files = list((ROOT / "server" / "store").rglob("*.py"))
    assert files
    for path in files:
        names = imports(path)
        assert not {name for name in names if name.split(".")[0] in {"starlette", "uvicorn", "ariadne", "graphql"}}
        assert not {name for name in names if name.startswith(("server.api", "server.web", "server.app"))}


def test_no_step_imports_another():
    for path in (ROOT / "steps").glob("*.py"):
        ours = {name for name in imports(path) if name.startswith("steps.")}
        assert not {name for name in ours if not name.startswith("steps.common")}, path


def test_only_approval_knows_github():
    for path in (ROOT / "steps").rglob("*.py"):
        if path.name != "approval.py":
            assert "GITHUB_" not in path.read_text(encoding="utf-8"), path


def test_there_is_no_package_named_like_a_library():
    """A folder docker/ with an __init__.py would hide the docker SDK."""
    assert not (ROOT / "docker" / "__init__.py").exists()
