"""
A use case of every task, made by the two commands that its page in docs/ begins with, and taken to production.

    pytest tests/e2e/test_own_use_cases.py

One of them here, the others by `make prove`.
"""

from __future__ import annotations

import json

import pytest

from tests.own import ROOT

PAGES = {
    "tables": "tabular-classification",
    "numbers": "tabular-regression",
    "texts": "text-classification",
    "images": "image-classification",
}


def commands(page):
    """Return the arguments of the two commands: `modelgate new ...` and `make run ...`."""
    text = (ROOT / f"docs/how-to/adapting-{page}.md").read_text(encoding="utf-8")
    first, second = text.split("\n```\n")[1].splitlines()
    return first.split(), second.split()


@pytest.mark.parametrize(
    "page", [name if name == "tables" else pytest.param(name, marks=pytest.mark.prove) for name in PAGES]
)
def test_two_commands_make_a_use_case_and_take_it_to_production(clone, page):
    make, run = commands(page)
    assert make[1:4] == ["-m", "modelgate", "new"] and run[:2] == ["make", "run"]
    clone.answer(*make[1:])
    name = make[4]
    settings = dict(word.split("=") for word in run[2:])
    code, output = clone.run("run", **settings)
    assert code == 0, output
    versions = clone.ask(
        f"(lambda version: [version.version, version.metadata['use_case'], sorted(version.manifest.entries)])"
        f"(api.artifact('local-org/wandb-registry-model/{name}-dev:production'))"
    )
    assert versions == ["v0", name, ["model.keras" if page == "images" else "model.skops"]]
    evidence = json.loads((clone.path / ".modelgate/out/evaluate/evidence.json").read_text())
    assert (evidence["task"], evidence["verdict"]) == (PAGES[page], "pass")
