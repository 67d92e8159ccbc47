"""A protected alias: only an admin sets, moves or removes it, by whatever way.

pytest tests/server/store/test_protection.py
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from modelgate_server.errors import Forbidden, Invalid
from modelgate_server.store import (
    accounts,
    aliases,
    artifact_collections,
    manifests,
    projects,
    protection,
    registry,
    removal,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.projects import Project
from tests.server.store.making import Maker, registry_of


@dataclass
class Scene:
    """A team's two versions in the registry, `production` on the first; `member` may write everywhere."""

    db: sqlite3.Connection
    admin: User
    member: User
    maker: Maker
    versions: list[Artifact]
    registry: Project
    portfolio: Collection

    def add(self, user: User, number: int) -> None:
        aliases.add(self.db, user, self.portfolio.id, self.versions[number].id, "production")

    @property
    def holder(self) -> int | None:
        return dict(aliases.list_numbered(self.db, self.portfolio.id)).get("production")


@pytest.fixture
def scene(db: sqlite3.Connection, blobs: Blobs, user: User) -> Scene:
    organization = accounts.find_organization(db, "local-org")
    assert organization is not None
    team = accounts.create_team(db, "vision", organization.id)
    member = accounts.create_user(db, "bob")
    accounts.set_team_member(db, team.id, member.id, "admin")  # may delete all that the team made
    accounts.set_team_member(db, team.id, user.id, "admin")
    maker = Maker(db, blobs, user, projects.ensure(db, user, "vision", "p"), "model")
    versions = [maker.log({"a": "0"}), maker.log({"a": "1"})]
    home = registry_of(db)
    protection.protect(db, home, "production")
    links = [registry.link(db, user, one, home, "MNIST-dev", []) for one in versions]
    found = Scene(
        db, user, member, maker, versions, home, artifact_collections.get_collection(db, links[0].collection_id)
    )
    found.add(user, 0)
    return found


def delete_sequence(scene: Scene, user: User) -> None:
    removal.delete_collections(
        scene.db, user, [artifact_collections.get_collection(scene.db, scene.versions[0].sequence_id)]
    )


WAYS: dict[str, Callable[[Scene, User], None]] = {
    "moved": lambda scene, user: scene.add(user, 1),
    "moved by linking again": lambda scene, user: void(
        registry.link(scene.db, user, scene.versions[1], scene.registry, "MNIST-dev", ["production"])
    ),
    "removed": lambda scene, user: aliases.remove(
        scene.db, user, scene.portfolio.id, scene.versions[0].id, "production"
    ),
    "unlinked": lambda scene, user: registry.unlink(scene.db, user, scene.versions[0], scene.portfolio.id),
    "deleted with its version": lambda scene, user: removal.delete(
        scene.db, user, scene.versions[0], with_aliases=True
    ),
    "deleted with the collection it was logged to": delete_sequence,
    "deleted with its collection": lambda scene, user: removal.delete_collections(scene.db, user, [scene.portfolio]),
    "renamed away": lambda scene, user: void(
        artifact_collections.edit(scene.db, user, scene.portfolio, name="other", description=None)
    ),
}


def void(_: object) -> None:
    pass


@pytest.mark.parametrize("way", WAYS)
def test_only_an_admin_takes_a_protected_alias_away(scene: Scene, way: str) -> None:
    before = (scene.holder, artifact_collections.get_collection(scene.db, scene.portfolio.id).name)
    scene.db.execute("SAVEPOINT before")
    with pytest.raises(Forbidden, match='the alias "production" is protected in "wandb-registry-model"'):
        WAYS[way](scene, scene.member)
    scene.db.execute("ROLLBACK TO before")
    assert (
        before
        == (0, "MNIST-dev")
        == (scene.holder, artifact_collections.get_collection(scene.db, scene.portfolio.id).name)
    )
    WAYS[way](scene, scene.admin)
    left = artifact_collections.find_by_id(scene.db, scene.portfolio.id)
    assert (scene.holder, left and left.name) != before


def test_only_an_admin_sets_it_the_first_time(scene: Scene) -> None:
    aliases.remove(scene.db, scene.admin, scene.portfolio.id, scene.versions[0].id, "production")
    with pytest.raises(Forbidden, match="you do not have permission to add this alias to this artifact"):
        scene.add(scene.member, 0)
    with pytest.raises(Forbidden):  # nor by a collection of one's own
        registry.link(scene.db, scene.member, scene.versions[0], scene.registry, "mine", ["production"])
    assert scene.holder is None


def test_what_changes_nothing_is_refused_to_nobody(scene: Scene) -> None:
    scene.add(scene.member, 0)
    aliases.remove(scene.db, scene.member, scene.portfolio.id, scene.versions[1].id, "production")
    assert scene.holder == 0


def test_other_aliases_and_versions_are_left_to_members(scene: Scene) -> None:
    db, member, portfolio = scene.db, scene.member, scene.portfolio.id
    aliases.add(db, member, portfolio, scene.versions[0].id, "candidate")
    registry.unlink(db, member, scene.versions[1], portfolio)
    assert dict(aliases.list_numbered(db, portfolio)) == {"latest": 0, "candidate": 0, "production": 0}
    artifact_collections.edit(db, member, scene.portfolio, name=None, description="text")


def test_an_alias_of_the_same_name_elsewhere_is_not_protected(scene: Scene) -> None:
    aliases.add(scene.db, scene.member, scene.versions[0].sequence_id, scene.versions[0].id, "production")


def test_protection_in_a_project_holds_for_what_is_logged_there(scene: Scene) -> None:
    scene.maker.user = member = scene.member
    accounts.set_team_member(scene.db, scene.maker.project.entity_id, member.id, "member")
    pending = scene.maker.announce({"a": "2"}, aliases=["production"])
    scene.maker.send(pending, {"a": "2"})
    protection.protect(scene.db, scene.maker.project, "production")
    for texts in ({"a": "3"}, {"a": "0"}):  # new content, and content that is a version already
        with pytest.raises(Forbidden, match="add this alias"):
            scene.maker.announce(texts, aliases=["production"])
    with pytest.raises(Forbidden, match="add this alias"):  # announced before it was protected
        manifests.commit(scene.db, scene.maker.blobs, member, pending)


def test_who_cannot_see_the_registry_is_not_told_its_name(scene: Scene) -> None:
    scene.db.execute("DELETE FROM organization_members WHERE user_id = ?", (scene.member.id,))
    with pytest.raises(Forbidden, match='"production" is protected in a registry'):
        removal.delete(scene.db, scene.member, scene.versions[0], with_aliases=True)


def test_protecting_and_unprotecting_may_be_repeated(scene: Scene) -> None:
    for _ in range(2):
        protection.protect(scene.db, scene.registry, "staging")
    assert protection.list_protected(scene.db, scene.registry.id) == ["production", "staging"]
    for _ in range(2):
        protection.unprotect(scene.db, scene.registry, "production")
    scene.add(scene.member, 1)
    assert scene.holder == 1


@pytest.mark.parametrize("alias", ["latest", "v3", "a/b", ""])
def test_what_the_server_gives_and_what_is_no_alias_cannot_be_protected(scene: Scene, alias: str) -> None:
    with pytest.raises(Invalid):
        protection.protect(scene.db, scene.registry, alias)
