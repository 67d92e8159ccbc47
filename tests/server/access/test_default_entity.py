"""The default entity gives no one a right of its own. Each test is an attack that once worked.

pytest tests/server/access/test_default_entity.py
"""

import json

from tests.server.access.people import TEAM, People
from tests.server.wire import UPSERT_BUCKET


def test_a_viewer_does_not_write_to_the_team_that_is_their_default(people: People) -> None:
    people["vic"].done("updateUser", "user { id }", defaultEntity=TEAM)
    for project in ("new-by-vic", "p"):
        answer = people["vic"].graphql(UPSERT_BUCKET, project=project, name="mine")
        assert answer.status_code == 403, answer.text
    for query in ("project(name: $p) { id }", "model(name: $p) { id }"):
        found = people["ann"].data(
            f"query($p: String) {{ {query.replace('name: $p', f'name: $p, entityName: {json.dumps(TEAM)}')} }}",
            p="new-by-vic",
        )
        assert list(found.values()) == [None]
    people["vic"].done("updateUser", "user { id }", defaultEntity="vic")


def test_who_was_removed_from_a_team_has_their_own_entity_as_default_again(people: People) -> None:
    people["bob"].done("updateUser", "user { id }", defaultEntity=TEAM)
    people["bob"].data(UPSERT_BUCKET, project="of-the-team", name="before")
    (bob,) = [
        one["id"]
        for one in people["ann"].data('{ entity(name: "crew") { members { id username } } }')["entity"]["members"]
        if one["username"] == "bob"
    ]
    people["ann"].done("deleteInvite", "success", entityName=TEAM, id=bob)
    made = people["bob"].data(UPSERT_BUCKET, project="of-the-team", name="after")["upsertBucket"]["bucket"]
    assert made["project"]["entity"]["name"] == "bob"
    assert people["bob"].data("{ viewer { entity } }") == {"viewer": {"entity": "bob"}}
    people["ann"].done("createInvite", "invite { id }", entityName=TEAM, username="bob")
