"""A protected alias through the SDK: what a member of the registry reads when he wants it, and that an admin gets it.

pytest tests/server/sdk/test_protection.py
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wandb

from tests.server.administrator import admin
from tests.serving import Server, serving

REGISTRY = "local-org/wandb-registry-guarded"
WORDS = 'the alias "production" is protected in "wandb-registry-guarded", and only an admin there may set'
# The SDK would try for minutes on a status that it takes for a passing fault.
AT_ONCE_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of its own: who is in which team is what other files ask about."""
    with serving(tmp_path_factory.mktemp("protection") / "server") as running:
        yield running


@pytest.fixture(scope="module")
def members_key(server: Server) -> str:
    """Of a member of a team and of the registry, whose alias `production` is protected."""
    key = admin(server.data, "add-user", "ben").stdout.strip()
    for arguments in (
        ("add-member", "local-org", "ben"),
        ("add-team", "careful", "--organization", "local-org", "--admin", "local"),
        ("add-team-member", "careful", "ben"),
    ):
        assert admin(server.data, *arguments).returncode == 0
    return key


@pytest.fixture
def versions(api: Any, server: Server, members_key: str) -> list[Any]:
    """Two versions that the member logged and linked; the admin has put `production` on the first."""
    if "guarded" not in [registry.name for registry in api.registries("local-org")]:
        api.create_registry("guarded", visibility="organization", organization="local-org")
        assert admin(server.data, "protect-alias", REGISTRY, "production").returncode == 0
        for text in "01":
            with wandb.init(entity="careful", project="guarded") as run:
                artifact = wandb.Artifact("model", "model")
                with artifact.new_file("a.txt") as file:
                    file.write(text)
                run.link_artifact(run.log_artifact(artifact).wait(), f"{REGISTRY}/things")
        first = api.artifact(f"{REGISTRY}/things:v0")
        first.aliases.append("production")
        first.save()
    theirs = wandb.Api(api_key=members_key)
    return [theirs.artifact(f"{REGISTRY}/things:v{number}") for number in (0, 1)]


def add(versions: list[Any]) -> None:
    versions[1].aliases.append("production")
    versions[1].save()


def remove(versions: list[Any]) -> None:
    versions[0].aliases.remove("production")
    versions[0].save()


WAYS: dict[str, tuple[Callable[[list[Any]], None], str]] = {
    "add": (add, "add this alias to this artifact"),
    "remove": (remove, "delete this alias from this artifact"),
    "link": (
        lambda versions: versions[1].link(f"{REGISTRY}/things", aliases=["production"]),
        "add this alias to this artifact",
    ),
    "unlink": (lambda versions: versions[0].unlink(), "unlink this artifact"),
    "delete": (lambda versions: versions[0].source_artifact.delete(delete_aliases=True), "delete this artifact"),
    "delete the collection": (lambda versions: versions[0].collection.delete(), "delete this collection"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_member_is_refused_at_once_and_told_why(versions: list[Any], way: str) -> None:
    do, action = WAYS[way]
    began = time.monotonic()
    with pytest.raises((wandb.errors.CommError, ValueError)) as refused:
        do(versions)
    assert time.monotonic() - began < AT_ONCE_S
    assert f"you do not have permission to {action}: {WORDS}" in str(refused.value)
    assert wandb.Api().artifact(f"{REGISTRY}/things:production").version == "v0"


def test_a_member_still_sets_what_is_not_protected(versions: list[Any]) -> None:
    versions[1].aliases.append("candidate")
    versions[1].save()
    assert "candidate" in wandb.Api().artifact(f"{REGISTRY}/things:v1").aliases


def test_an_admin_moves_it(versions: list[Any]) -> None:
    mine = wandb.Api()
    for number in (1, 0):
        found = mine.artifact(f"{REGISTRY}/things:v{number}")
        found.aliases.append("production")
        found.save()
        assert wandb.Api().artifact(f"{REGISTRY}/things:production").version == f"v{number}"
