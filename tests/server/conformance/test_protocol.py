"""docs/reference/protocol.md says what the code does, and no operation is without a test.

pytest tests/server/conformance/test_protocol.py
"""

import pytest

from modelgate_server.api import cost
from modelgate_server.api.graphql_api import SCHEMA, prepare
from modelgate_server.settings import MAX_GRAPHQL_COST, MAX_HEAVY_FIELDS
from tests.server.conformance import protocol
from tests.server.conformance.documents import Document
from tests.server.conformance.protocol import NEVER_SENT, Operation


def test_the_page_is_what_the_sdk_the_schema_and_the_tests_say() -> None:
    hint = "make it anew: .venv/bin/python -m tests.server.conformance.protocol"
    assert protocol.PATH.read_text(encoding="utf-8") == protocol.page(), hint


def uncovered(operations: list[Operation]) -> list[str]:
    known = [one.name for one in operations if one.status != "refused"]
    return [name for name in known if name not in protocol.covered() and name not in NEVER_SENT]


def test_every_operation_that_is_not_refused_has_a_test_of_the_sdk() -> None:
    found = protocol.operations()
    assert len(found) > 150  # else the SDK keeps its documents elsewhere than before
    assert uncovered(list(found.values())) == []


def test_no_test_claims_an_operation_that_the_sdk_does_not_have() -> None:
    assert set(protocol.covered()) <= set(protocol.operations())
    assert set(NEVER_SENT) <= set(protocol.operations()) - set(protocol.covered())


def test_an_operation_without_a_test_would_be_caught() -> None:
    assert uncovered([operation("query LookAtIt { viewer { id } }")]) == ["LookAtIt"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ("query Q { viewer { id } }", "implemented"),
        ("query Q { viewer { shoeSize } }", "refused"),
        ('query Q { entity(name: "e") { organization { coreWeaveOrganizationId } } }', "ignored"),
        ('query Q { entity(name: "e") { organization { coreWeaveOrganizationId } } viewer { id } }', "implemented"),
    ],
)
def test_the_schema_is_asked_for_each_operation(document: str, status: str) -> None:
    assert operation(document).status == status


def operation(text: str) -> Operation:
    name = text.split()[1]
    return Operation(name, "query", [Document("query", name, text, whole=True)])


def test_no_document_of_the_sdk_costs_a_tenth_of_what_one_may() -> None:
    pages = {"first": 1000, "perPage": 1000, "limit": 1000, "fileLimit": 5000, "perPageLimit": 1000}
    costs = {}
    for name, one in protocol.operations().items():
        for document in one.documents:
            prepared = prepare(document.text)
            if not prepared.errors and prepared.document:
                costs[name] = cost.estimate(SCHEMA, prepared.document, pages, None)
                assert cost.count_heavy_fields(prepared.document) <= MAX_HEAVY_FIELDS // 4
    dearest = max(costs, key=lambda name: costs[name])
    assert len(costs) > 90 and costs[dearest] <= MAX_GRAPHQL_COST / 10, (dearest, costs[dearest])
