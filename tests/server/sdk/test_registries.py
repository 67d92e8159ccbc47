"""Registries and teams through the SDK, and who may do what in them.

pytest tests/server/sdk/test_registries.py
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import wandb

from tests.server.wire import Wire
from tests.serving import ROOT, Server

ORG = "local-org"


@pytest.fixture
def add_user(server: Server) -> Callable[..., str]:
    """`add_user(name, role)`: someone else in the organization; returns the API key."""

    def admin(*arguments: str) -> str:
        command = [sys.executable, "-m", "modelgate_server", "admin", "--data", str(server.data), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
        return done.stdout.strip()

    def add(name: str, role: str | None = None) -> str:
        key = admin("add-user", name)
        if role is not None:
            admin("add-member", ORG, name, "--role", role)
        return key

    return add


def logged(team: str, project: str, text: str = "1", type_name: str = "dataset") -> Any:
    with wandb.init(entity=team, project=project) as run:
        artifact = wandb.Artifact("data", type_name)
        with artifact.new_file("a.txt") as file:
            file.write(text)
        return run.log_artifact(artifact).wait()


@pytest.mark.covers("UpsertRegistry", "FetchRegistry", "FetchOrganization", "RenameRegistry", "DeleteRegistry")
def test_a_registry_is_made_edited_renamed_and_deleted(api: Any) -> None:
    made = api.create_registry("crud", visibility="organization", organization=ORG, description="first")
    assert (made.full_name, made.description, made.allow_all_artifact_types) == ("wandb-registry-crud", "first", True)
    made.allow_all_artifact_types = False
    made.artifact_types.append("dataset")
    made.description, made.name = "second", "renamed"
    made.save()
    found = wandb.Api().registry("renamed", ORG)
    assert (found.id, found.description, list(found.artifact_types)) == (made.id, "second", ["dataset"])
    found.delete()
    with pytest.raises(ValueError, match="Failed to load registry"):
        wandb.Api().registry("renamed", ORG)


def test_a_second_registry_of_the_same_name_is_refused(api: Any) -> None:
    api.create_registry("double", visibility="organization", organization=ORG)
    with pytest.raises(ValueError, match="different name"):
        api.create_registry("double", visibility="organization", organization=ORG)


@pytest.mark.covers(
    "FetchRegistries", "RegistryCollections", "RegistryVersions", "FetchAdvancedRegistryFeatures", "OrgFeatureFlags"
)
def test_registries_collections_and_versions_are_searched(api: Any, project: str) -> None:
    for name in ("search-a", "search-b"):
        api.create_registry(name, visibility="organization", organization=ORG)
    for number in range(2):
        version = logged("local", project, f"{number}")
        version.link(f"{ORG}/wandb-registry-search-a/numbers", aliases=[f"n{number}"])
    version.link(f"{ORG}/wandb-registry-search-b/letters")
    found = wandb.Api().registries(ORG, filter={"name": {"$regex": "search-"}}, order="name")
    assert [registry.name for registry in found] == ["search-a", "search-b"]
    assert [collection.name for collection in found.collections()] == ["numbers", "letters"]
    assert [collection.name for collection in found.collections(filter={"name": "letters"})] == ["letters"]
    versions = wandb.Api().registries(ORG, filter={"name": "wandb-registry-search-a"}).versions(filter={"alias": "n1"})
    assert [version.name for version in versions] == ["numbers:v1"]
    assert api._service_api.org_feature_flags(ORG, "anything") == {}


@pytest.mark.covers("SearchUsers", "CreateRegistryMembers", "UpdateUserRegistryRole", "DeleteRegistryMembers")
def test_members_are_added_changed_and_removed(api: Any, add_user: Callable[..., str]) -> None:
    add_user("member-1")
    registry = api.create_registry("members", visibility="restricted", organization=ORG)
    user = api.user("member-1")

    def roles() -> dict[str, str]:
        return {member.user.username: member.role for member in registry.user_members()}

    registry.add_members(user)
    assert roles() == {"local": "admin", "member-1": "member"}
    registry.update_member(user, role="viewer")
    assert roles() == {"local": "admin", "member-1": "viewer"}
    registry.remove_members(user)
    assert roles() == {"local": "admin"}


def test_who_is_not_in_a_restricted_registry_does_not_see_it(api: Any, add_user: Callable[..., str]) -> None:
    key = add_user("outsider", "member")
    api.create_registry("secret", visibility="restricted", organization=ORG)
    api.create_registry("open", visibility="organization", organization=ORG)
    theirs = wandb.Api(api_key=key)
    names = [registry.name for registry in theirs.registries(ORG)]
    assert "open" in names and "secret" not in names
    with pytest.raises(ValueError, match="Failed to load registry"):
        theirs.registry("secret", ORG)


def test_a_viewer_reads_a_registry_and_may_not_change_it(api: Any, project: str, add_user: Callable[..., str]) -> None:
    key = add_user("viewer-1", "viewer")
    api.create_registry("viewed", visibility="organization", organization=ORG)
    logged("local", project).link(f"{ORG}/wandb-registry-viewed/things")
    theirs = wandb.Api(api_key=key)
    found = theirs.artifact(f"{ORG}/wandb-registry-viewed/things:v0")
    assert found.name == "things:v0" and found.source_project == ""
    found.aliases.append("mine")
    with pytest.raises(wandb.errors.CommError, match="may not write"):
        found.save()
    assert wandb.Api().artifact(f"{ORG}/wandb-registry-viewed/things:v0").aliases == ["latest"]


def test_a_member_of_the_registry_may_set_an_alias_without_seeing_the_source(
    api: Any, project: str, add_user: Callable[..., str]
) -> None:
    key = add_user("member-2", "member")
    api.create_registry("shared", visibility="organization", organization=ORG)
    logged("local", project).link(f"{ORG}/wandb-registry-shared/things")
    found = wandb.Api(api_key=key).artifact(f"{ORG}/wandb-registry-shared/things:v0")
    found.aliases.append("theirs")
    found.save()
    assert sorted(wandb.Api().artifact(f"{ORG}/wandb-registry-shared/things:v0").aliases) == ["latest", "theirs"]
    with pytest.raises(wandb.errors.CommError, match="not found"):
        wandb.Api(api_key=key).artifact(f"local/{project}/data:v0")


def test_a_stranger_sees_nothing_of_a_project(api: Any, project: str, add_user: Callable[..., str]) -> None:
    key = add_user("stranger-1")
    source = logged("local", project)
    theirs = wandb.Api(api_key=key)
    with pytest.raises(wandb.errors.CommError, match="not found"):
        theirs.artifact(f"local/{project}/data:v0")
    with pytest.raises((ValueError, wandb.errors.CommError)):
        theirs.run(f"local/{project}/{source.logged_by().id}")


@pytest.mark.covers("CreateInvite", "DeleteInvite")
def test_a_team_logs_and_links(api: Any, project: str, add_user: Callable[..., str]) -> None:
    add_user("teammate")
    assert [member.username for member in api.team("local").members] == ["local"]
    team = api.create_team("team-1")
    assert team.invite("teammate") and not team.invite("nobody-at-all")
    assert sorted(member.username for member in wandb.Api().team("team-1").members) == ["local", "teammate"]
    api.create_registry("of-teams", visibility="organization", organization=ORG)
    source = logged("team-1", project)
    linked = source.link("wandb-registry-of-teams/things")
    assert linked.qualified_name == f"{ORG}/wandb-registry-of-teams/things:v0"
    next(member for member in wandb.Api().team("team-1").members if member.username == "teammate").delete()
    assert [member.username for member in wandb.Api().team("team-1").members] == ["local"]


def test_deleting_a_project_leaves_latest_on_what_is_left_elsewhere(
    api: Any, project: str, server: Server, wandb_env: dict[str, str]
) -> None:
    api.create_registry("left-over", visibility="organization", organization=ORG)
    for name in ("stays", "goes"):
        logged("local", f"{project}-{name}", name).link(f"{ORG}/wandb-registry-left-over/things")
    wire = Wire.connect(server)
    found = wire.data("query($name: String) { project(name: $name) { id } }", name=f"{project}-goes")["project"]
    query = "mutation($id: String!) { deleteModel(input: {id: $id}) { success } }"
    assert wire.data(query, id=found["id"]) == {"deleteModel": {"success": True}}
    assert wandb.Api().artifact(f"{ORG}/wandb-registry-left-over/things:latest").version == "v0"
