"""When another use case replaces one whose rows are not available: real processes, fake steps.

python -m pytest tests/runner/test_fallback.py
"""

from __future__ import annotations

import pytest

from .conftest import Checkout

UNAVAILABLE = {"name": "source_unavailable", "message": "no route to the download", "hint": "set GLYPHS_NPZ"}


@pytest.fixture
def remote_unavailable(checkout: Checkout) -> Checkout:
    """The fake fails only for `remote`, which is the default use case and names glyphs as its fallback."""
    checkout.behave(build={"error": UNAVAILABLE, "exit": 3})
    build = checkout.root / "steps" / "build.py"
    build.write_text(
        build.read_text().replace("step(behaviour())", "step(behaviour() if 'remote' in sys.argv[1] else {})")
    )
    return checkout


def built(checkout: Checkout) -> list[str]:
    return [call["argv"][0] for call in checkout.calls() if call["name"] == "build"]


def test_the_fallback_takes_the_place_of_the_default_when_nobody_asked(remote_unavailable: Checkout) -> None:
    code, output = remote_unavailable.runner("run", "--epochs", "3")
    assert code == 0
    assert "The plan for remote (glyphs if its rows are not available)" in output
    assert "\nremote is not available here; see the error above.\n" in output
    assert output.count("no route to the download") == 1
    assert built(remote_unavailable) == ["--use-case=remote", "--use-case=glyphs"]
    assert "--epochs=3" in remote_unavailable.call("train")["argv"]
    assert remote_unavailable.state("glyphs")["pending"]["use_case"] == "glyphs"
    assert "remote" not in remote_unavailable.runner("status")[1]
    assert remote_unavailable.runner("rollback", APPROVE="ada")[0] == 0  # only one use case has run


def test_no_fallback_takes_the_place_of_what_was_approved_in_advance(remote_unavailable: Checkout) -> None:
    code, output = remote_unavailable.runner("run", APPROVE="ada")
    assert (code, built(remote_unavailable)) == (3, ["--use-case=remote"])
    assert "The plan for remote:" in output
    assert "ada approved remote in advance, so glyphs does not run instead." in output


def test_no_fallback_where_it_lacks_a_hyperparameter_that_was_given(remote_unavailable: Checkout) -> None:
    config = remote_unavailable.root / "usecases" / "remote" / "config.toml"
    config.write_text(config.read_text().replace("[train]", "[train]\nlearning_rate = 0.1"))
    code, _ = remote_unavailable.runner("run", "--learning-rate", "0.2")
    assert (code, built(remote_unavailable)) == (3, ["--use-case=remote"])


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_use_case_that_was_asked_for_is_not_replaced(checkout: Checkout, way: str) -> None:
    checkout.behave(build={"error": UNAVAILABLE, "exit": 3})
    flags, more = (["--use-case", "remote"], {}) if way == "flag" else ([], {"USE_CASE": "remote"})
    code, _ = checkout.runner("run", *flags, **more)
    assert (code, checkout.steps()) == (3, ["build"])


def test_other_failure_of_build_is_no_reason_for_the_fallback(checkout: Checkout) -> None:
    checkout.behave(build={"error": UNAVAILABLE | {"name": "host_unreachable"}, "exit": 3})
    code, _ = checkout.runner("run")
    assert (code, checkout.steps()) == (3, ["build"])
