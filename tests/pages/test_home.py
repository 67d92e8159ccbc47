"""
The first page.

    pytest tests/pages/test_home.py
"""

from __future__ import annotations

from types import SimpleNamespace

from modelgate.promotion.ledger import Entry
from pages import shown
from pages.production import UseCase
from tests.pages.seeding import HOSTILE


def test_a_version_that_came_back_by_a_rollback_is_not_introduced_by_a_verdict() -> None:
    content = {
        "from": {"name": "o/r/glyphs-dev:v2"},
        "to": {"name": "o/r/glyphs-dev:v0"},
        "policy": {"name": "rollback"},
        "reason": HOSTILE,
        "approver": "ada",
        "time": "2026-11-23T14:00:00Z",
    }
    version = SimpleNamespace(short="glyphs-dev:v0", url="/v0")
    evidence = SimpleNamespace(
        headline="pass: 1.3 points lower",
        metric="accuracy",
        metrics=SimpleNamespace(candidate=SimpleNamespace(accuracy=0.9)),
    )
    entry = Entry(2, content, applied=True)
    use_case = UseCase("glyphs", (entry,), version=version, entry=entry, evidence=evidence)  # type: ignore[arg-type]
    template = shown._create_environment().get_template("loop.html")
    text = template.render(session=None, use_cases=[use_case], unused=[], waiting=[], runs=[])
    assert "Rollback to glyphs-dev:v0, which replaced glyphs-dev:v2 because: &lt;script&gt;" in text
    assert "1.3 points lower" not in text and "Why:" not in text and "0.9000" in text
