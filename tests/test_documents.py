"""
What the documents say, held to the code where it can be.

    pytest tests/test_documents.py
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import shlex
from pathlib import Path

import pytest

from modelgate import config
from modelgate.gate import rules
from modelgate_server.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "tests" / "README.md"]
STEPS = ("build", "train", "link", "evaluate", "promote", "audit")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_of_ours_exists(document):
    rooms = "modelgate|modelgate_server|steps|usecases|runner|tools|tests|benchmarks|docs"
    for path in re.findall(rf"`((?:{rooms})/[\w/.\-]*)`", document.read_text(encoding="utf-8")):
        if "letters" not in path:  # the use case that a reader makes
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_exists(document):
    targets = set(" ".join(re.findall(r"^([\w -]+):", text("Makefile"), flags=re.MULTILINE)).split())
    blocks = re.findall(r"`make ([^`]+)`|^make ([^#\n]+)", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for words in (shlex.split(" ".join(block)) for block in blocks):
        assert {word for word in words if "=" not in word} <= targets, words


def test_the_readme_names_every_step():
    for name in STEPS:
        assert f"`steps/{name}.py`" in text("README.md")


def test_the_example_of_every_step_is_understood_by_it():
    for name in STEPS:
        module = importlib.import_module(f"steps.{name}")
        command = re.search(rf"python -m steps\.{name}((?:[^\n]|\\\n)*)", module.__doc__ or "")
        assert command, name
        arguments = command[1].replace("\\\n", " ").split()
        flags = [word for word in arguments if word.startswith("--")]
        source = text(f"steps/{name}.py") + text("modelgate/cli.py")
        assert all(f'"{flag}"' in source for flag in flags), (name, flags)


def test_adapting_names_every_key_of_the_configuration():
    page = text("docs/adapting.md")
    kinds = {"": config.Config, "data": config.Data, "build": config.Build, "gate": config.Gate}
    keys = {one.name for kind in kinds.values() for one in dataclasses.fields(kind)} - {"name", "train", *kinds}
    for key in keys:
        assert f"`{key}`" in page or f"] {key}`" in page, key


def test_the_glossary_names_the_gates_policies():
    for policy in rules.POLICIES:
        assert f"`{policy}`" in text("docs/glossary.md")


def test_no_document_names_a_machine():
    for document in DOCUMENTS:
        assert not re.search(r"/(home|root|work|Users)/", document.read_text(encoding="utf-8")), document


def test_the_servers_page_names_every_command_and_flag():
    page = text("docs/server.md")
    for command in COMMANDS:
        assert f"python -m modelgate_server {command} " in page, command
    for flag in re.findall(r'add_argument\("(--[\w-]+)"', text("modelgate_server/__main__.py")):
        assert f"`{flag}`" in page, flag


def test_the_commands_of_the_servers_page_are_understood():
    commands = re.findall(
        r"^(?:ExecStart=\S+|python) -m modelgate_server(.*)$", text("docs/server.md"), flags=re.MULTILINE
    )
    assert len(commands) == 7
    for line in commands:
        name, *rest = line.split()
        module = importlib.import_module(COMMANDS.get(name, "modelgate_server.__main__"))
        module.parse_args([name, *rest] if name.startswith("--") else rest)


def test_the_servers_page_names_every_finding_of_check():
    kinds = set(re.findall(r'report\.add\("([\w-]+)"', text("modelgate_server/check.py"))) | {"missing", "corrupt"}
    assert all(f"`{kind}`" in text("docs/server.md") for kind in kinds), kinds
