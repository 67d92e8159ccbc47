"""
If no container can run, a container test says why: it is skipped, and fails if CI is set.

    pytest tests/test_engine.py
"""

from __future__ import annotations

import pytest

from tests import engine


def forget() -> None:
    engine.wanted.cache_clear()
    engine._lacking.cache_clear()


def get_message(monkeypatch: pytest.MonkeyPatch, ci: str, kind: type[BaseException]) -> str:
    monkeypatch.setenv("CI", ci)
    forget()
    try:
        with pytest.raises(kind) as ended:
            engine.references()
    finally:
        forget()
    return str(ended.value)


@pytest.mark.parametrize(("ci", "kind"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_an_engine_it_says_so(monkeypatch: pytest.MonkeyPatch, ci: str, kind: type[BaseException]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "no container can run here: the `docker` command is not installed" in get_message(monkeypatch, ci, kind)


@pytest.mark.parametrize(("ci", "kind"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_images_that_are_missing_are_named_and_not_built(
    monkeypatch: pytest.MonkeyPatch, ci: str, kind: type[BaseException]
) -> None:
    engine.references()  # skips without an engine
    monkeypatch.setenv("BASE_IMAGE", "modelgate-test/nowhere")
    lacking = "lacks the images build, train, link, evaluate, promote, server, predict, serve; build them first: "
    assert lacking in get_message(monkeypatch, ci, kind)
