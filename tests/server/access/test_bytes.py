"""Who may have the bytes of a version, and who may make another one of them. Each test is an attack that once worked.

pytest tests/server/access/test_bytes.py
"""

from typing import Any

from tests.server.access.people import MD5, SECRET, TEAM, People, version
from tests.server.wire import Upload, Wire
from tests.serving import serving


def test_a_restricted_viewer_gets_no_manifest_and_no_digest_of_one(people: People, linked: str) -> None:
    query = "query($id: ID!) { artifact(id: $id) { versionIndex %s } }"
    assert people["rex"].data(query % "commitHash", id=linked)["artifact"] == {"versionIndex": 0, "commitHash": None}
    answer = people["rex"].graphql(query % "currentManifest { file { directUrl } }", id=linked)
    assert answer.status_code == 403 and MD5 not in answer.text and "directUrl" not in answer.text
    assert people["vic"].data(query % "commitHash", id=linked)["artifact"]["commitHash"]


def test_who_knows_only_the_md5_of_a_file_makes_no_version_with_it(people: People, linked: str) -> None:
    for name in ("eve", "rex"):
        wire = people[name]
        upload = Upload(wire, "thief", SECRET)
        wire.start_run("thief")
        artifact = upload.create(entityName=name)
        urls = upload.upload_urls(artifact)
        assert urls["secret.txt"] is not None, "who may not have the bytes is told that they are here"
        upload.put_manifest(artifact)
        answer = upload.commit(artifact)
        assert answer.status_code == 400 and "has not arrived" in answer.text
        # With the bytes, and so not by their MD5 alone, anyone may.
        upload.put_files(artifact)
        assert upload.commit(artifact).status_code == 200


def test_bytes_that_came_for_one_version_do_not_count_for_another(people: People) -> None:
    """Who announces a file first, and never sends it, is not its owner when someone else does."""
    contents = {"later.txt": b"not uploaded by eve"}
    thief = Upload(people["eve"], "first", contents)
    people["eve"].start_run("first")
    draft = thief.create(entityName="eve")
    assert thief.upload_urls(draft)["later.txt"]
    version(people["ann"], "ann", "later", contents)
    thief.put_manifest(draft)
    assert thief.commit(draft).status_code == 400
    assert thief.upload_urls(draft)["later.txt"], "eve is told that somebody else has the same file"


def test_who_may_read_a_file_need_not_send_it_again(people: People) -> None:
    contents = {"shared.txt": b"of the team, for the team"}
    version(people["ann"], TEAM, "once", contents)
    upload = Upload(people["bob"], "twice", contents)
    people["bob"].start_run("twice")
    artifact = upload.create(entityName="bob")
    assert upload.upload_urls(artifact) == {"shared.txt": None}
    upload.put_manifest(artifact)
    assert upload.commit(artifact).status_code == 200


def test_a_draft_of_a_version_that_one_may_read_needs_no_upload_at_all(people: People) -> None:
    """`Artifact.new_draft()`: the manifest names files that the SDK does not announce again."""
    contents = {"a.txt": b"draft", "b.txt": b"of a draft"}
    version(people["ann"], TEAM, "drafts", contents)
    for name, status in (("vic", 200), ("eve", 400)):
        upload = Upload(people[name], "drafts", contents)
        people[name].start_run("drafts")
        artifact = upload.create(entityName=name)
        upload.put_manifest(artifact)
        assert upload.commit(artifact).status_code == status


def test_an_upload_counts_after_the_server_was_killed(tmp_path: Any) -> None:
    with serving(tmp_path / "server") as server:
        upload = Upload(Wire.connect(server), "killed", {"a.txt": b"a", "b.txt": b"b"})
        artifact = upload.create()
        upload.put_files(artifact)
        upload.put_manifest(artifact)
        server.kill()
        with serving(tmp_path / "server", port=server.port):
            assert upload.commit(artifact).status_code == 200
        assert not list((tmp_path / "server" / "blobs" / "arrived").iterdir())
