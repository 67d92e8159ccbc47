"""Users, organizations and teams from the command line, while the server runs.

pytest tests/server/test_admin.py
"""

from pathlib import Path

import pytest

from tests.server.administrator import admin
from tests.server.wire import Wire
from tests.serving import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with serving(tmp_path_factory.mktemp("admin") / "server") as running:
        yield running


def test_a_new_user_can_use_the_printed_key_at_once(server: Server) -> None:
    done = admin(server.data, "add-user", "ann")
    assert done.returncode == 0, done.stderr
    wire = Wire(server.url, done.stdout.strip())
    teams = "{ viewer { username entity teams { edges { node { name } } } } }"
    assert wire.data(teams)["viewer"] == {
        "username": "ann",
        "entity": "ann",
        "teams": {"edges": [{"node": {"name": "ann"}}]},
    }


def test_a_revoked_user_is_shut_out(server: Server) -> None:
    key = admin(server.data, "add-user", "bob").stdout.strip()
    assert Wire(server.url, key).graphql("{ viewer { id } }").status_code == 200
    assert admin(server.data, "revoke-user", "bob").returncode == 0
    assert Wire(server.url, key).graphql("{ viewer { id } }").status_code == 401


def test_organizations_and_teams_are_made_and_repeating_changes_nothing(server: Server) -> None:
    key = admin(server.data, "add-user", "carol").stdout.strip()
    admin(server.data, "add-user", "dave")
    for _ in range(2):
        assert admin(server.data, "add-organization", "acme", "--admin", "carol").returncode == 0
        assert admin(server.data, "add-member", "acme", "dave", "--role", "viewer").returncode == 0
        assert admin(server.data, "add-team", "vision", "--organization", "acme", "--admin", "carol").returncode == 0
    query = """{ entity(name: "vision") { isTeam organization { name } members { username role } }
                 organization(name: "acme") { orgEntity { name entityType } } }"""
    assert Wire(server.url, key).data(query) == {
        "entity": {
            "isTeam": True,
            "organization": {"name": "acme"},
            "members": [{"username": "carol", "role": "admin"}],
        },
        "organization": {"orgEntity": {"name": "acme_wandb-org", "entityType": "organization"}},
    }


def test_roles_in_registries_and_teams_are_set_and_taken_back(server: Server) -> None:
    key = admin(server.data, "add-user", "fred").stdout.strip()
    assert admin(server.data, "add-member", "local-org", "fred", "--role", "viewer").returncode == 0
    query = """{ entity(name: "local-org") { project(name: "wandb-registry-model") { readOnly } } }"""

    def may_write() -> bool:
        return not Wire(server.url, key).data(query)["entity"]["project"]["readOnly"]

    assert not may_write()
    for _ in range(2):
        assert admin(server.data, "add-registry-member", "local-org/wandb-registry-model", "fred").returncode == 0
    assert may_write()
    for _ in range(2):
        assert admin(server.data, "remove-registry-member", "local-org/wandb-registry-model", "fred").returncode == 0
    assert not may_write()
    assert admin(server.data, "add-team", "sound", "--organization", "local-org", "--admin", "local").returncode == 0
    for _ in range(2):
        assert admin(server.data, "add-team-member", "sound", "fred", "--role", "viewer").returncode == 0
    team = """{ entity(name: "sound") { members { username role } } }"""
    assert Wire(server.url, key).data(team)["entity"]["members"] == [
        {"username": "local", "role": "admin"},
        {"username": "fred", "role": "viewer"},
    ]


def test_aliases_are_protected_listed_and_let_go(server: Server) -> None:
    for alias in ("staging", "production", "production"):
        assert admin(server.data, "protect-alias", "local-org/wandb-registry-model", alias).returncode == 0
    listed = admin(server.data, "protected-aliases").stdout.splitlines()
    assert listed == ["local-org/wandb-registry-model production", "local-org/wandb-registry-model staging"]
    for _ in range(2):
        assert admin(server.data, "unprotect-alias", "local-org/wandb-registry-model", "staging").returncode == 0
    assert admin(server.data, "protected-aliases").stdout == "local-org/wandb-registry-model production\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add-user", "a/b"], "may not contain"),
        (["add-user", "local-org"], "is taken"),
        (["add-user", "erin", "--key", "short"], "at least 40 characters"),
        (["revoke-user", "nobody"], 'user "nobody" not found'),
        (["add-member", "nothing", "local"], 'organization "nothing" not found'),
        (["add-team", "local", "--organization", "local-org", "--admin", "local"], "is taken"),
        (["add-team-member", "local", "local"], 'team "local" not found'),
        (["add-registry-member", "local-org/model", "local"], 'registry "local-org/model" not found'),
        (["protect-alias", "local-org/wandb-registry-model", "latest"], "cannot be protected"),
        (["protect-alias", "local-org/wandb-registry-model", "a/b"], "may not contain"),
        (["protect-alias", "wandb-registry-model", "production"], "write it as acme/wandb-registry-model"),
    ],
)
def test_a_mistake_is_one_clear_error(server: Server, arguments: list[str], sentence: str) -> None:
    done = admin(server.data, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and sentence in done.stderr and "Traceback" not in done.stderr


def test_a_folder_without_a_server_is_refused(tmp_path: Path) -> None:
    done = admin(tmp_path, "add-user", "ann")
    assert done.returncode == 2 and "is not the data folder of a server" in done.stderr
