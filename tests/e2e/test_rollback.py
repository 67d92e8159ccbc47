"""
Roll back as a person does: the drill of `make drill`, and a bad version that was already deleted.

    pytest tests/e2e/test_rollback.py -m prove
"""

from __future__ import annotations

import re

import pytest

from benchmarks import drill
from tests import own
from tests.e2e.facts import PRODUCTION

LOOP = ("run", "--use-case", "glyphs", "--epochs", "8")
DELETE = """
    bad = api.artifact("local-org/wandb-registry-model/glyphs-dev:production")
    answer = bad.version
    bad.source_artifact.delete(delete_aliases=True)
"""


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_the_drill_comes_back_to_the_first_model_and_says_the_seconds(capsys):
    assert drill.main() == 0
    output = capsys.readouterr().out
    parts = ("promote A", "promote B under load", "go back to A", "from the decision to go back until A answers")
    for part in parts:
        assert re.search(rf"^{part}: \d+\.\d s", output, re.MULTILINE), output
    served = re.search(
        r"^(\d+) requests were answered \((\d+) by v0, (\d+) by v1\), and 0 failed$", output, re.MULTILINE
    )
    assert served and int(served[1]) == int(served[2]) + int(served[3]), output
    assert min(map(int, served.groups())) > 0


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_rollback_when_the_bad_version_was_deleted(clone):
    own.lenient(clone.path)
    for seed in ("0", "1"):
        code, output = clone.run(*LOOP, "--seed", seed, APPROVE="ada")
        assert code == 0, output
    assert clone.ask(DELETE) == "v1"
    code, output = clone.run("rollback", "--reason", "v1 was deleted", APPROVE="ada")
    assert code == 0, output
    assert "Rollback: this model was in production before" in output
    assert clone.ask(PRODUCTION.format(collection="glyphs-dev") + ".version") == "v0"
