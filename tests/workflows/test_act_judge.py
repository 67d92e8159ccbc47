"""
Under act, with the real images: a pull request that makes the gate always pass, and then one that does not touch it.
test_act_order.py has a pull request that touches its judge with a `docker` that plays the steps.

    make prove ARGS=tests/workflows/test_act_judge.py
"""

from __future__ import annotations

import pytest

from tests import own
from tests.workflows import acting
from tests.workflows.files import ROOT

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]

TEAMS = own.cells
WITHOUT = acting.SERVER


@pytest.fixture(scope="module")
def judging_itself(workspace, yes):
    """A pull request that makes the gate always pass; someone approves anyway."""
    gate = (ROOT / "modelgate/gate/rules.py").read_text()
    always = gate + "\n\ndef passes(outcomes: object) -> bool:\n    return True\n"
    return workspace.pull_request(
        {"modelgate/gate/rules.py": always}, approvals=[yes("bob", environment="production-cells")]
    )


@pytest.fixture(scope="module")
def pulled(judging_itself, workspace):
    """A pull request that changes only words in the model's code."""
    model = "usecases/cells/model.py"
    return workspace.pull_request({model: (workspace.repository / model).read_text() + "# Better.\n"})


def test_a_pull_request_that_makes_the_gate_pass_is_merged_first(judging_itself, workspace):
    assert judging_itself.outputs["evaluate"]["verdict"] == "pass"
    assert judging_itself.outputs["changed"]["touches"] == "true"
    assert (judging_itself.code, "promote" in judging_itself.jobs) == (0, False), judging_itself.log[-3000:]
    assert workspace.production() == []


def test_both_pull_requests_wrote_the_one_comment(judging_itself, pulled, workspace):
    assert [judging_itself.jobs["report"], pulled.jobs["report"]] == ["success", "success"]
    workspace.has_the_one_comment("POST", "PATCH")


def test_what_a_stranger_wrote_stays_text(judging_itself, pulled, workspace):
    """Title, branch and commit message passed through every job, and nothing in them was executed."""
    for ran in (judging_itself, pulled):
        workspace.keeps_as_text(ran)
