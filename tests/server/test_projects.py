"""Making and editing projects by the bare protocol: what is given is kept, or is refused.

pytest tests/server/test_projects.py
"""

import json

import pytest

from tests.server.wire import Wire

GIVEN = {"description": "of pets", "views": json.dumps({"main": 1})}


@pytest.mark.parametrize("entity", ["local", "local-org"])
def test_a_new_project_has_all_that_it_was_made_with(wire: Wire, entity: str) -> None:
    name = {"local": "new-pets", "local-org": "wandb-registry-new-pets"}[entity]
    made = wire.done(
        "upsertModel", "inserted model { description views access }", entityName=entity, name=name, **GIVEN
    )
    assert made == {"inserted": True, "model": GIVEN | {"access": "PRIVATE"}}
    again = wire.done("upsertModel", "inserted model { views }", entityName=entity, name=name, description="of cats")
    assert again == {"inserted": False, "model": {"views": GIVEN["views"]}}


def test_a_new_registry_may_be_for_named_people_only(wire: Wire) -> None:
    name = "wandb-registry-few-pets"
    made = wire.done("upsertModel", "model { access }", entityName="local-org", name=name, access="RESTRICTED")
    assert made["model"]["access"] == "RESTRICTED"


@pytest.mark.parametrize("access", ["USER_READ", "ENTITY_WRITE", "RESTRICTED"])
def test_an_access_that_a_project_cannot_have_here_is_refused(wire: Wire, access: str) -> None:
    """Only the people of its entity see a project: to call it public would be a promise that is not kept."""
    answer = wire.mutation("upsertModel", "inserted", name=f"open-pets-{access}", access=access)
    assert answer.status_code == 400
    assert f'the access of a project cannot be "{access}" here' in answer.json()["errors"][0]["message"]
    assert wire.data("query P($name: String) { project(name: $name) { id } }", name=f"open-pets-{access}") == {
        "project": None
    }
