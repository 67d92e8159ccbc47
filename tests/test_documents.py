"""
Check the documents against the code where possible.

    pytest tests/test_documents.py
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelgate import config, new
from modelgate.gate.policy import POLICIES
from modelgate_server.__main__ import COMMANDS, parse_args
from runner import __main__ as runner
from runner.errors import WrongUse
from tests import own

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests" / "README.md"]
STEPS = ("build", "train", "link", "evaluate", "promote", "audit")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def without_output(page: str) -> str:
    """Return a page without the blocks that no one types: output of programs, and files."""
    return re.sub(r"^```(?!sh\n)\w+\n.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub creates them."""
    page = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not path.startswith("http") and (not target.exists() or (anchor and anchor not in anchors(target))):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    assert broken_links(document) == []


@pytest.mark.parametrize("link", ["gone.md", "page.md#gone", "#gone", "pictures/gone.png"])
def test_a_link_that_leads_nowhere_would_be_seen(tmp_path, link):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n[itself](page.md#a-page), [there](#a-page), [nowhere]({link})\n")
    assert broken_links(page) == [link]


def test_every_page_that_the_code_names_exists():
    rooms = "modelgate modelgate_server pages runner serving steps tools usecases benchmarks docker .github"
    tracked = subprocess.run(["git", "ls-files", *rooms.split()], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / name for name in tracked.stdout.splitlines()]
    texts = [file.read_bytes().decode("utf-8", "ignore") for file in files if file.is_file()]
    named = {page for text in texts for page in re.findall(r"(?<![\w/.])docs/[\w/-]+\.md", text)}
    assert len(named) >= 5
    assert sorted(page for page in named if not (ROOT / page).exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_of_ours_exists(document):
    rooms = "modelgate|modelgate_server|steps|usecases|runner|tools|tests|benchmarks|docs"
    for path in re.findall(rf"`((?:{rooms})/[\w/.\-]*)`", document.read_text(encoding="utf-8")):
        if "letters" not in path:  # the use case that a reader creates
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_exists(document):
    targets = set(" ".join(re.findall(r"^([\w -]+):", text("Makefile"), flags=re.MULTILINE)).split())
    page = without_output(document.read_text(encoding="utf-8"))
    blocks = re.findall(r"`make ([^`]+)`|^make ([^#\n]+)", page, flags=re.MULTILINE)
    for args in (shlex.split(" ".join(block)) for block in blocks):
        assert {word for word in args if "=" not in word} <= targets, args


# --- the site ---------------------------------------------------------------------------------------------------------


def pages_of(navigation: list | dict | str) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]
    items = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for item in items for page in pages_of(item)]


def test_the_navigation_has_every_page_once():
    site = tomllib.loads(text("zensical.toml"))["project"]
    docs = ROOT / site["docs_dir"]
    assert sorted(pages_of(site["nav"])) == sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A copy of the site's sources, to build and to damage."""
    root = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", root)
    shutil.copytree(ROOT / "docs", root / "docs")
    return root


def build(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def test_the_site_builds_and_fetches_nothing_from_elsewhere(site):
    done = build(site)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((site / "build" / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        fetched = re.findall(r"<(?:link|script|img|iframe|source)\b[^>]*(?:src|href)=\"?([^\" >]+)", page.read_text())
        assert fetched
        assert [address for address in fetched if re.match(r"(https?:)?//", address)] == [], page


@pytest.mark.parametrize("link", ["reference/gone.md", "explanation/gate.md#gone"])
def test_the_site_does_not_build_with_a_broken_link(site, link):
    index = site / "docs" / "index.md"
    whole = index.read_text(encoding="utf-8")
    try:
        index.write_text(f"{whole}\n[broken]({link})\n", encoding="utf-8")
        assert build(site).returncode == 1
    finally:
        index.write_text(whole, encoding="utf-8")


# --- the commands, as they are printed -------------------------------------------------------------------------------

# Commands that a person types on their own machine, in a clone. Those of docs/how-to/server.md are checked below.
ADAPTING = {f"docs/how-to/adapting-{name}.md" for name in ("images", "tables", "numbers", "texts")}
TYPED = (
    *(
        "README.md",
        "CONTRIBUTING.md",
        "docs/how-to/adapting.md",
        "docs/how-to/containers.md",
        "docs/explanation/promotion.md",
        "docs/explanation/gate.md",
        "docs/reference/refusals.md",
    ),
    "docs/how-to/production.md",
    "docs/how-to/prune.md",
    "docs/how-to/rollback.md",
    "docs/tutorial/first-promotion.md",
    *sorted(ADAPTING),
)
# The variables that a person may set on make's command line; its help explains each.
SETTINGS = {
    "APPROVE",
    "ARGS",
    "BASE_IMAGE",
    "ENTITY",
    "REPO",
    "REVIEWERS",
    "RUNNER",
    "USE_CASE",
    "WANDB",
    "WANDB_TESTS",
}
# The shipped use cases, and the one that a reader of the pages on adapting creates.
SHIPPED = ("digits", "penguins", "flights", "topics")
EXAMPLES = (*SHIPPED, "letters", "cancer", "progression", "manual")
OTHERS = ("docker image rm", "docker ps", "docker run", "docker build", "docker context")


def commands(name: str) -> list[str]:
    """Return the commands of a page: those of its blocks, without comments, and those that it quotes."""
    page = without_output(text(name))
    command = r"(?:make|cp|pip|docker|export|\S*python3?) [^`\n]+"
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in re.findall(rf"^{command}", block, flags=re.MULTILINE)]
    quoted = re.findall(rf"`({command})`", re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL))
    return [line.partition("  #")[0].strip() for line in (*lines, *quoted)]


def understood(line: str) -> bool:
    """Return whether make and the program behind it accept this line."""
    args = shlex.split(line)
    if args[0] == "make":
        settings = dict(word.split("=", 1) for word in args[1:] if "=" in word)
        targets = [word for word in args[1:] if "=" not in word]
        assert set(settings) <= SETTINGS, line
        done = subprocess.run(
            ["make", "-n", *args[1:]], cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
        )
        assert done.returncode == 0, done.stderr
        if targets and "-m runner" in done.stdout:
            args = shlex.split(settings.get("ARGS", ""))
            use_case = settings.get("USE_CASE")
            if use_case in SHIPPED and use_case not in config.list_names():
                return True  # a team deleted it, with its flags
            runner.parse_args([targets[0], *args], {"USE_CASE": use_case if use_case in SHIPPED else own.USE_CASE})
        return settings.get("USE_CASE", "letters") in EXAMPLES
    if args[:2] == [".venv/bin/python", "-m"]:
        module, flags = args[2], args[3:]
        if module == "modelgate_server" and flags[:1] and flags[0] in COMMANDS:
            module, flags = COMMANDS[flags[0]].module, flags[1:]
        elif not module.startswith(("steps.", "benchmarks.", "tests.")):
            module = f"{module}.__main__"
        try:
            parse_args = getattr(importlib.import_module(module), "parse_args", list)  # some accept any words
            parse_args(flags)
        except SystemExit as ended:
            assert ended.code == 0, line
        return True
    return line.startswith(OTHERS)


@pytest.mark.parametrize("name", TYPED)
def test_every_command_is_understood_as_it_is_printed(name):
    printed = commands(name)
    assert printed
    assert [line for line in printed if not understood(line)] == []


@pytest.mark.parametrize("line", ["python -m steps.build --help", "pip install x", "make run USE_CASE=nothing"])
def test_a_command_that_does_not_work_in_a_clone_would_be_seen(line):
    assert not understood(line)


@pytest.mark.parametrize(
    "line", ["make nothing", "make run ARGS=--nothing", ".venv/bin/python -m steps.build --nothing"]
)
def test_a_flag_or_a_target_that_is_none_would_be_seen(line):
    with pytest.raises((AssertionError, SystemExit, WrongUse)):
        understood(line)


def test_the_readme_s_look_at_a_step_works_as_it_is_printed():
    (line,) = [line for line in commands("README.md") if line.startswith(".venv/bin/python -m steps.")]
    command = [sys.executable, *shlex.split(line)[1:]]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode == 0 and "--rows" in done.stdout + done.stderr


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
    page = text("docs/how-to/adapting.md")
    kinds = {"": config.Config, "data": config.Data, "build": config.Build, "gate": config.Gate}
    kinds |= {"approval": config.Approval, "runs_on": config.RunsOn}
    keys = {item.name for kind in kinds.values() for item in dataclasses.fields(kind)} - {"name", "train", *kinds}
    for key in keys:
        assert f"`{key}`" in page or f"] {key}`" in page, key


@pytest.mark.parametrize("name", sorted(ADAPTING))
def test_a_page_on_adapting_shows_what_the_command_on_it_writes(name, tmp_path, monkeypatch):
    page = text(name)
    use_case, task = re.search(r"-m modelgate new (\S+) --task (\S+)", page).groups()
    monkeypatch.setattr(config, "FOLDER", tmp_path)
    written = new.write(use_case, task, config.list_frameworks(task)[0])
    shown = dict(re.findall(r"^## `([\w.]+)`\n\n```\w+\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL))
    assert shown.keys() == {path.name for path in written.iterdir()} - {"__init__.py"}
    assert {file: (written / file).read_text(encoding="utf-8") for file in shown} == shown


def test_the_glossary_names_the_gates_policies():
    for policy in POLICIES:
        assert f"`{policy}`" in text("docs/reference/glossary.md")


def test_no_document_names_a_machine():
    for document in DOCUMENTS:
        assert not re.search(r"/(home|root|work|Users)/", document.read_text(encoding="utf-8")), document


def test_the_servers_page_names_every_command_and_flag():
    page = text("docs/how-to/server.md")
    for command in COMMANDS:
        assert re.search(rf"(?:python -m modelgate_server|modelgate-server) {command} ", page), command
    for flag in re.findall(r'add_argument\(\s*"(--[\w-]+)"', text("modelgate_server/serve.py")):
        assert f"`{flag}`" in page, flag


def test_the_commands_of_the_servers_page_are_understood():
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```$", text("docs/how-to/server.md"), flags=re.MULTILINE | re.DOTALL))
    pattern = r"^(?:(?:ExecStart=)?\S*modelgate-server|python -m modelgate_server)(| .*)$"
    commands = re.findall(pattern, blocks, flags=re.MULTILINE)
    assert len(commands) == 8
    for line in commands:
        name, rest = parse_args(line.split())
        importlib.import_module(COMMANDS[name].module).parse_args(rest)


def test_the_servers_page_names_every_finding_of_check():
    kinds = set(re.findall(r'report\.add\("([\w-]+)"', text("modelgate_server/check.py"))) | {"missing", "corrupt"}
    assert all(f"`{kind}`" in text("docs/how-to/server.md") for kind in kinds), kinds


@pytest.mark.parametrize("document", ["docs/explanation/promotion.md", "docs/explanation/gate.md"])
def test_every_test_that_is_named_exists(document):
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = set(re.findall(r"^ *(?:async )?def (test_\w+)\(", sources, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", text(document)))
    assert named <= tests


def test_the_threat_model_names_the_test_of_each_line_that_is_refused():
    """An attack that the software cannot prevent is stopped by a person or a copy, and may have no test."""
    table = (
        text("docs/explanation/promotion.md").split("## What the holder of each key can still do")[1].split("\n## ")[0]
    )
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for _, attack, happens, shown in rows:
        assert "`test_" in shown or happens.strip().startswith("works"), attack
