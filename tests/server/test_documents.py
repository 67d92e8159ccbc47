"""Every GraphQL document that the SDK's Python half carries is answered, or is refused on purpose.

pytest tests/server/test_documents.py
"""

import importlib

import pytest

from modelgate_server.api.graphql_api import prepare

MODULES = (
    "wandb.apis._generated.operations",
    "wandb.sdk.artifacts._generated.operations",
    "wandb.sdk.internal._generated.operations",
)
DOCUMENTS = {name: getattr(module, name) for module in map(importlib.import_module, MODULES) for name in module.__all__}
# Service accounts, keys and users are made by `python -m modelgate_server admin`; which runs an agent made is not kept.
REFUSED = {
    "CREATE_SERVICE_ACCOUNT_GQL",
    "CREATE_USER_FROM_ADMIN_GQL",
    "DELETE_API_KEY_GQL",
    "GENERATE_API_KEY_GQL",
    "GET_AGENT_RUNS_GQL",
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_a_document_of_the_sdk_is_answered_unless_it_is_refused_on_purpose(name: str) -> None:
    errors = [error.message for error in prepare(DOCUMENTS[name]).errors]
    assert bool(errors) == (name in REFUSED), errors


def test_a_document_is_parsed_once() -> None:
    text = "query Once { viewer { id } }"
    assert prepare(text) is prepare(text)
