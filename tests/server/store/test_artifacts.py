"""Versions, aliases and links, without any protocol.

pytest tests/server/store/test_artifacts.py
"""

import hashlib
import sqlite3
from pathlib import Path

import pytest

from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.store import (
    accounts,
    aliases,
    artifact_collections,
    entries,
    files,
    manifests,
    memberships,
    projects,
    references,
    registry,
    removal,
    runs,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.projects import Project
from tests.server.store.making import Maker, registry_of


@pytest.fixture
def maker(db: sqlite3.Connection, blobs: Blobs, user: User, project: Project) -> Maker:
    return Maker(db, blobs, user, project, "model")


def test_versions_are_numbered_in_the_order_of_their_commits(maker: Maker, db: sqlite3.Connection) -> None:
    first, second = maker.announce({"a": "1"}), maker.announce({"a": "2"})
    maker.send(second, {"a": "2"})
    maker.send(first, {"a": "1"})
    assert manifests.commit(db, maker.blobs, maker.user, second).version_index == 0
    assert manifests.commit(db, maker.blobs, maker.user, first).version_index == 1


def test_committing_twice_is_the_same_as_once(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"})
    assert manifests.commit(db, maker.blobs, maker.user, found) == found
    assert len(memberships.list_by_collection(db, found.sequence_id)) == 1


def test_the_same_content_is_the_same_version_and_takes_the_aliases(maker: Maker, db: sqlite3.Connection) -> None:
    first = maker.log({"a": "1"})
    maker.log({"a": "2"})
    again = maker.announce({"a": "1"}, aliases=["best"])
    assert (again.id, again.state) == (first.id, "COMMITTED")
    assert dict(aliases.list_numbered(db, first.sequence_id)) == {"latest": 1, "best": 0}


def test_a_client_that_asks_again_gets_the_same_draft(maker: Maker) -> None:
    assert maker.announce({"a": "1"}, client_id="c1").id == maker.announce({"a": "1"}, client_id="c1").id
    assert maker.announce({"a": "1"}, client_id="c2").id != maker.announce({"a": "1"}, client_id="c3").id


def test_forks_that_draw_the_same_client_id_each_get_their_own_version(maker: Maker) -> None:
    """SDK 0.24 draws the ids from a generator that forks of one process share."""
    first = maker.announce({"a": "1"}, client_id="c1")
    others = [
        maker.announce({"a": "2"}, client_id="c1"),
        maker.announce({"a": "1"}, client_id="c1", collection_name="another"),
    ]
    assert len({first.id, *(other.id for other in others)}) == 3
    assert maker.announce({"a": "1"}, client_id="c1").id == first.id


def test_a_pending_version_is_not_to_be_seen(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.announce({"a": "1"}, aliases=["best"])
    assert memberships.list_by_collection(db, found.sequence_id) == []
    assert memberships.resolve(db, found.sequence_id, "best") is None


def test_the_aliases_of_a_draft_take_effect_at_its_commit(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"}, aliases=["best"])
    assert dict(aliases.list_numbered(db, found.sequence_id)) == {"latest": 0, "best": 0}


def test_a_version_without_all_of_its_blobs_is_not_committed(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.announce({"a": "1"})
    maker.send(found, {"a": "1"})
    maker.blobs.locate(hashlib.md5(b"1").hexdigest()).unlink()  # noqa: S324
    with pytest.raises(Invalid, match="has not arrived"):
        manifests.commit(db, maker.blobs, maker.user, found)
    assert memberships.list_by_collection(db, found.sequence_id) == []


def test_an_incremental_version_overlays_its_base(maker: Maker, db: sqlite3.Connection) -> None:
    base = maker.log({"a": "1", "b": "1"})
    found = maker.announce({"b": "2", "c": "3"})
    maker.send(found, {"b": "2", "c": "3"}, "INCREMENTAL", base.id)
    done = manifests.commit(db, maker.blobs, maker.user, found)
    whole = maker.contents({"a": "1", "b": "2", "c": "3"})
    assert done.digest == manifests.compute_digest(whole) and done.file_count == 3
    assert {entry.path: entry.digest for entry in entries.list_by_artifact(db, done.id)} == {
        path: entry["digest"] for path, entry in whole.items()
    }


def test_patches_of_several_writers_become_one_version(maker: Maker, db: sqlite3.Connection) -> None:
    writers = [maker.announce({"x": "x"}, distributed_id="d") for _ in range(2)]
    assert writers[0].id == writers[1].id
    for text, writer in zip("ab", writers, strict=True):
        maker.send(writer, {text: text}, "PATCH")
    done = manifests.commit(db, maker.blobs, maker.user, writers[0])
    assert [entry.path for entry in entries.list_by_artifact(db, done.id)] == ["a", "b"]


def test_latest_goes_to_the_newest_that_is_left(maker: Maker, db: sqlite3.Connection) -> None:
    first, second = maker.log({"a": "1"}), maker.log({"a": "2"})
    removal.delete(db, maker.user, second, with_aliases=True)
    assert dict(aliases.list_numbered(db, first.sequence_id)) == {"latest": 0}
    assert maker.log({"a": "3"}).version_index == 2


def test_the_number_of_another_version_cannot_be_an_alias(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"})
    aliases.add(db, maker.user, found.sequence_id, found.id, "v0")
    assert dict(aliases.list_numbered(db, found.sequence_id)) == {"latest": 0}
    with pytest.raises(Invalid, match="name of a version"):
        aliases.add(db, maker.user, found.sequence_id, found.id, "v1")


def test_taking_an_alias_from_another_version_changes_nothing(maker: Maker, db: sqlite3.Connection) -> None:
    first, second = maker.log({"a": "1"}), maker.log({"a": "2"}, aliases=["best"])
    aliases.remove(db, maker.user, first.sequence_id, first.id, "best")
    assert dict(aliases.list_numbered(db, second.sequence_id))["best"] == 1


def test_one_name_has_one_type_and_one_kind(maker: Maker, project: Project, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"})
    with pytest.raises(Invalid, match='holds artifacts of type "model", not "dataset"'):
        maker.announce({"a": "2"}, type_name="dataset")
    with pytest.raises(Invalid, match="is a sequence"):
        registry.link(db, maker.user, found, project, "model", [])


def test_linking_twice_keeps_one_version(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"})
    target = registry_of(db)
    first = registry.link(db, maker.user, found, target, "MNIST-dev", ["candidate"])
    assert registry.link(db, maker.user, found, target, "MNIST-dev", ["candidate", "best"]) == first
    assert dict(aliases.list_numbered(db, first.collection_id)) == {"latest": 0, "candidate": 0, "best": 0}


def test_linked_versions_have_numbers_and_aliases_of_their_own(maker: Maker, db: sqlite3.Connection) -> None:
    maker.log({"a": "0"})
    found = maker.log({"a": "1"})
    there = registry.link(db, maker.user, found, registry_of(db), "MNIST-dev", ["candidate"])
    assert (found.version_index, there.version_index) == (1, 0)
    assert "candidate" not in dict(aliases.list_numbered(db, found.sequence_id))


def test_a_deleted_version_leaves_the_registry_too(maker: Maker, db: sqlite3.Connection) -> None:
    found = maker.log({"a": "1"})
    there = registry.link(db, maker.user, found, registry_of(db), "MNIST-dev", ["candidate"])
    removal.delete(db, maker.user, found, with_aliases=True)
    assert memberships.list_by_collection(db, there.collection_id) == []


def test_a_registry_takes_only_its_own_types_and_organization(
    maker: Maker, blobs: Blobs, db: sqlite3.Connection
) -> None:
    data = Maker(db, blobs, maker.user, maker.project, "data").log({"a": "1"}, type_name="dataset")
    with pytest.raises(Invalid, match='does not take artifacts of type "dataset"'):
        registry.link(db, maker.user, data, registry_of(db), "MNIST-dev", [])
    stranger = accounts.create_user(db, "stranger")
    theirs = projects.ensure(db, stranger, None, "p")
    found = Maker(db, blobs, stranger, theirs, "model").log({"a": "1"})
    with pytest.raises(Forbidden, match="not belong to the organization"):
        registry.link(db, maker.user, found, registry_of(db), "MNIST-dev", [])


def test_a_stranger_sees_no_project(db: sqlite3.Connection, project: Project) -> None:
    stranger = accounts.create_user(db, "stranger")
    assert projects.find_readable(db, stranger, "local", "p") is None
    assert projects.find_readable(db, stranger, "local-org", registry.MODEL_REGISTRY) is None
    with pytest.raises(NotFound, match='entity "local" not found'):
        projects.ensure(db, stranger, "local", "p")


def test_no_id_is_given_twice(maker: Maker, project: Project, db: sqlite3.Connection) -> None:
    first = maker.log({"a": "1"})
    removal.delete_collections(db, maker.user, [artifact_collections.get_collection(db, first.sequence_id)])
    second = maker.log({"a": "1"})
    assert second.id > first.id and second.sequence_id > first.sequence_id
    other = projects.ensure(db, maker.user, None, "other")
    projects.delete(db, other)
    assert projects.ensure(db, maker.user, None, "third").id > other.id


def test_bytes_outlive_the_version_that_they_came_with(maker: Maker, db: sqlite3.Connection) -> None:
    first = maker.log({"a": "1"})
    md5 = hashlib.md5(b"1").hexdigest()  # noqa: S324
    manifests.register_blobs(db, maker.blobs, [(first.id, md5)], set())
    removal.delete_collections(db, maker.user, [artifact_collections.get_collection(db, first.sequence_id)])
    second = maker.log({"a": "1"})
    assert manifests.register_blobs(db, maker.blobs, [(second.id, md5)], {(second.id, md5)}) == [(second.id, True)]


def test_stored_bytes_are_announced_only_to_whom_they_may_be_given(maker: Maker, db: sqlite3.Connection) -> None:
    first = maker.log({"a": "1"})
    md5 = hashlib.md5(b"1").hexdigest()  # noqa: S324
    assert manifests.register_blobs(db, maker.blobs, [(first.id, md5)], set()) == [(first.id, False)]
    assert manifests.register_blobs(db, maker.blobs, [(first.id, md5)], {(first.id, md5)}) == [(first.id, True)]


@pytest.mark.parametrize("entitled", [True, False])
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_blob_that_was_lost_is_no_longer_durable(
    maker: Maker, db: sqlite3.Connection, entitled: bool, damage: str
) -> None:
    first = maker.log({"a": "1"})
    md5 = hashlib.md5(b"1").hexdigest()  # noqa: S324
    assert references.select_durable(db, [md5, "0" * 32]) == {md5}
    maker.blobs.locate(md5).unlink() if damage == "missing" else maker.blobs.locate(md5).write_bytes(b"2")
    wanted = [(first.id, md5)]
    unsound = Blobs(maker.blobs.locate(md5).parent.parent).find_unsound(references.select_durable(db, [md5]))
    registered = manifests.register_blobs(db, maker.blobs, wanted, set(wanted) if entitled else set(), unsound)
    assert registered == [(first.id, False)] and references.select_durable(db, [md5]) == set()


class Watched(Blobs):
    """Counts how often bytes are read to be believed."""

    reads = 0

    def compute_md5(self, md5: str) -> str:
        self.reads += 1
        return super().compute_md5(md5)


def test_a_version_of_a_runs_file_does_not_have_it_read_again(
    db: sqlite3.Connection, user: User, project: Project, tmp_path: Path
) -> None:
    blobs = Watched(tmp_path / "watched")
    md5 = blobs.write(b"a model")
    blobs.make_durable([md5])
    files.put(db, runs.create(db, project, user, "run-1", {}).id, "model.h5", md5=md5, size=7)
    first, second = (Maker(db, blobs, user, project, name).announce({"a": name}) for name in ("first", "second"))
    assert manifests.register_blobs(db, blobs, [(first.id, md5)], {(first.id, md5)}) == [(first.id, True)]
    assert manifests.register_blobs(db, blobs, [(second.id, md5)], {(second.id, md5)}) == [(first.id, True)]
    assert blobs.reads == 0
