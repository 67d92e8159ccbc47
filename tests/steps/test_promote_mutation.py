"""
Each check of promote is needed: without it, its own test fails. A new check without a test fails here.

    pytest tests/steps/test_promote_mutation.py -m prove
"""

from __future__ import annotations

import inspect

import pytest

from steps import promote
from tests.mutation import without_each_rule

CHECKS = sorted(name for name, _ in inspect.getmembers(promote, inspect.isfunction) if name.startswith("check_"))
TESTS = {
    "check_verdict": "test_promote.py::test_a_verdict_that_the_predictions_do_not_bear_out",
    "check_policy": "test_promote.py::test_a_policy_that_is_not_the_use_cases",
    "check_bytes": "test_bytes.py::test_a_model_that_was_replaced_after_the_evaluation_is_not_promoted",
    "check_lineage": "test_lineage.py::test_evidence_that_names_another_dataset_is_not_promoted",
    "check_collection": "test_collection.py::test_evidence_for_another_collection_is_not_promoted",
    "check_rows": "test_promote.py::test_answers_to_an_eval_set_that_was_swapped",
    "check_digest": "test_promote.py::test_a_digest_that_is_not_what_was_evaluated",
    "check_production": "test_promote.py::test_production_that_moved_since_the_evaluation",
    "check_use_case": "test_promote.py::test_evidence_of_another_use_case_is_not_promoted",
    "check_registry": "test_attacks.py::test_a_version_of_another_registry_is_not_promoted",
    "check_evidence": "test_attacks.py::test_evidence_that_was_replaced_while_it_waited_is_not_promoted",
    "check_model": "test_attacks.py::test_evidence_that_names_another_model_is_not_promoted",
    "check_age": "test_promote.py::test_evidence_that_is_too_old",
}


def test_every_check_has_a_test():
    assert sorted(TESTS) == CHECKS


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_without_a_check_its_test_goes_red():
    tests = [f"tests/steps/{test}" for test in TESTS.values()]
    own = {check: f"/{test}[" for check, test in TESTS.items()}
    result = without_each_rule(["steps.promote"], tests, own=own, timeout_s=1100)
    assert result.exit == 0, result.log
    assert sorted(result.red) == CHECKS
