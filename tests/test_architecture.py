"""
Who may import whom: every file's imports are checked against the rooms of docs/explanation/architecture.md.

    pytest tests/test_architecture.py
"""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.imports import imports

ROOT = Path(__file__).parents[1]
ROOMS = {
    "modelgate",
    "modelgate_server",
    "pages",
    "steps",
    "usecases",
    "runner",
    "serving",
    "tools",
    "benchmarks",
    "tests",
}
# Which of our modules a room may import, with everything below them. A file's room is the longest matching name.
MAY_IMPORT = {
    "modelgate": {"modelgate"},
    "modelgate/gate": {"modelgate.gate", "modelgate.text"},
    "modelgate/frameworks": {
        "modelgate.frameworks",
        "modelgate.rows.dataset",
        "modelgate.tracking.arrays",
        "modelgate.errors",
    },
    "modelgate/rows": {"modelgate.rows", "modelgate.errors", "modelgate.text", "modelgate.tracking.arrays"},
    "modelgate/templates": {"modelgate.rows"},
    "modelgate/tracking": {"modelgate.tracking", "modelgate.gate", "modelgate.config", "modelgate.errors"},
    "modelgate/promotion": {
        "modelgate.promotion",
        "modelgate.commit",
        "modelgate.gate",
        "modelgate.tracking",
        "modelgate.errors",
        "modelgate.text",
    },
    "modelgate_server": {"modelgate_server"},
    "pages": {"pages", "modelgate", "modelgate_server"},
    "serving": {"serving", "modelgate"},
    "steps": {"modelgate"},
    "usecases": {"modelgate.rows"},
    "runner": {
        "runner",
        "modelgate.commit",
        "modelgate.config",
        "modelgate.errors",
        "modelgate.hyperparameters",
        "modelgate.text",
    },
    "tools": {"tools"},
}
MOST_LINES = 40  # lines of a function: what fits on a screen
FRAMEWORKS = {"keras", "tensorflow", "sklearn"}


def files(folder: str) -> list[Path]:
    """Return the modules of a folder, without a use case's own tests."""
    paths = sorted(path for path in (ROOT / folder).rglob("*.py") if not path.name.startswith("test_"))
    assert paths, folder
    return paths


def room_of(path: Path) -> str:
    """Return the innermost room that a file is in."""
    folder = path.relative_to(ROOT).parent.as_posix()
    return max((room for room in MAY_IMPORT if f"{folder}/".startswith(f"{room}/")), key=len)


def foreign(room: str, names: set[str]) -> set[str]:
    """Return our modules that the room may not import."""
    ours = {name for name in names if name.split(".")[0] in ROOMS}
    return {name for name in ours if not any(f"{name}.".startswith(f"{may}.") for may in MAY_IMPORT[room])}


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("folder", sorted({room.split("/")[0] for room in MAY_IMPORT}))
def test_a_room_imports_only_what_it_may(folder):
    wrong = {str(path): foreign(room_of(path), imports(path)) for path in files(folder)}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_an_import_across_rooms_would_be_caught():
    assert foreign("steps", {"modelgate_server.store", "wandb"}) == {"modelgate_server.store"}
    assert foreign("steps", {"steps.build"}) == {"steps.build"}
    assert foreign("modelgate_server", {"modelgate.gate.rules"}) == {"modelgate.gate.rules"}
    assert foreign("modelgate/gate", {"modelgate.tracking.client"}) == {"modelgate.tracking.client"}
    assert foreign("usecases", {"modelgate.cli.log", "modelgate.rows.dataset"}) == {"modelgate.cli.log"}
    assert room_of(ROOT / "modelgate/gate/rules.py") == "modelgate/gate"


def test_the_gate_is_pure():
    for path in files("modelgate/gate"):
        assert not tops(imports(path)) & ({"wandb", "os", "pathlib", "tempfile"} | FRAMEWORKS), path


def test_a_framework_is_imported_only_where_its_format_is_known():
    for path in files("modelgate"):
        if path.parent.name != "frameworks" and path.parent.parent.name != "templates":
            assert not tops(imports(path)) & FRAMEWORKS, path


def test_a_use_case_never_imports_wandb():
    for path in files("usecases"):
        assert "wandb" not in tops(imports(path)), path


def test_the_store_knows_neither_http_nor_graphql_nor_what_is_above_it():
    for path in files("modelgate_server/store"):
        names = imports(path)
        assert not tops(names) & {"starlette", "uvicorn", "ariadne", "graphql"}
        above = ("modelgate_server.api", "modelgate_server.web", "modelgate_server.app")
        assert not {name for name in names if name.startswith(above)}


def test_a_step_is_one_page_and_nothing_else_is_in_their_folder():
    names = {path.stem for path in files("steps")}
    assert names == {"__init__", "audit", "build", "evaluate", "link", "predict", "promote", "prune", "train"}


def functions_over(limit: int, source: str) -> list[str]:
    """Return the functions and methods with more lines than that, including their nested functions."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return [node.name for node in nodes if (node.end_lineno or 0) - node.lineno + 1 > limit]


def test_no_function_of_the_product_is_longer_than_a_screen():
    rooms = sorted(ROOMS - {"tests"})
    paths = [path for room in [*rooms, ".github"] for path in files(room)]
    longer = [
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in paths
        for name in functions_over(MOST_LINES, path.read_text(encoding="utf-8"))
    ]
    assert longer == []


def test_a_long_function_would_be_caught():
    body = "\n".join(["        pass"] * MOST_LINES)
    assert functions_over(MOST_LINES, f"class Step:\n    def main(self):\n{body}\n") == ["main"]
    assert functions_over(MOST_LINES + 1, f"class Step:\n    async def main(self):\n{body}\n") == []


def test_one_function_fetches_files_from_wandb():
    """Any other download accepts references, and bytes that are in no manifest."""
    for path in [*files("steps"), *files("modelgate")]:
        if path.name != "files.py":
            assert not re.search(r"\.download\(|use_model|get_entry", path.read_text(encoding="utf-8")), path


def test_only_approval_knows_github():
    for path in [*files("steps"), *files("modelgate")]:
        if path.parent.name != "approval":
            assert not re.search(r"GITHUB_\w", path.read_text(encoding="utf-8")), path


def test_no_module_has_the_name_of_a_library_that_its_neighbours_import():
    for room in ("modelgate", "modelgate_server", "pages", "runner", "serving", "steps", "usecases", "tools"):
        folders = {path.parent for path in files(room)}
        for folder in folders:
            imported = {top for path in folder.glob("*.py") for top in tops(imports(path))} - ROOMS
            assert not imported & {path.stem for path in folder.iterdir()}, folder


def test_there_is_no_package_named_like_a_library():
    """A folder docker/ with an __init__.py would hide the docker SDK."""
    assert not (ROOT / "docker" / "__init__.py").exists()


def test_nothing_outside_usecases_knows_one_by_name():
    """A team may delete the shipped use cases; the README and docs/ name them as examples."""
    names = "|".join(path.parent.name for path in (ROOT / "usecases").glob("*/config.toml")) or "mnist|digits"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rooms = ("modelgate/", "steps/", "runner/", "docker/", "tools/", ".github/")
    for name in [name for name in listed.split("\0") if name.startswith(rooms)]:
        text = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
        named = rf"usecases[/.]({names})\b|use.case[ =]({names})\b|USE_CASE=({names})\b|[\"'`]({names})[\"'`]"
        assert not re.search(named, text), name


def test_no_test_imports_from_another_test():
    """Code that two tests share is in a module named after it."""
    borrowed = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "tests").rglob("*.py")
        for line in re.findall(r"^ *from \S*\btest_\w+ import .*", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert borrowed == []
