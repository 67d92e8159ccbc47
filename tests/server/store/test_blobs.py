"""A blob is whole or not there, and nothing outside can choose where it lies.

pytest tests/server/store/test_blobs.py
"""

import hashlib
import os
import time
from pathlib import Path

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store.blobs import Blobs

HELLO = hashlib.md5(b"hello").hexdigest()  # noqa: S324


def test_what_is_written_is_read_back_under_its_md5(blobs: Blobs) -> None:
    assert blobs.write(b"hello") == HELLO
    assert (blobs.read(HELLO), blobs.get_size(HELLO)) == (b"hello", 5)
    blobs.make_durable([HELLO])


def test_many_blobs_are_made_durable_at_once(blobs: Blobs) -> None:
    blobs.make_durable([blobs.write(str(number).encode()) for number in range(100)])


def test_a_blob_that_is_there_is_not_written_again(blobs: Blobs) -> None:
    before = blobs.locate(blobs.write(b"hello")).stat()
    assert blobs.locate(blobs.write(b"hello")).stat().st_ino == before.st_ino


def test_a_blob_that_a_power_cut_left_empty_is_not_believed_and_is_replaced(blobs: Blobs, tmp_path: Path) -> None:
    blobs.write(b"hello")
    blobs.locate(HELLO).write_bytes(b"")
    after_the_cut = Blobs(tmp_path / "blobs")
    assert after_the_cut.get_size(HELLO) == 0 and not after_the_cut.is_right(HELLO)
    assert after_the_cut.write(b"hello") == HELLO
    assert after_the_cut.read(HELLO) == b"hello" and after_the_cut.is_right(HELLO)


def test_a_blob_that_outlived_its_process_is_believed_once_it_was_read(blobs: Blobs, tmp_path: Path) -> None:
    blobs.write(b"hello")
    after_the_kill = Blobs(tmp_path / "blobs")
    assert not after_the_kill.is_unsynced(HELLO)
    assert after_the_kill.is_right(HELLO)
    assert after_the_kill.is_unsynced(HELLO)  # and is made durable before a version refers to it


def test_a_blob_that_somebody_asked_for_is_not_removed(blobs: Blobs) -> None:
    blobs.write(b"hello")
    os.utime(blobs.locate(HELLO), (0, 0))
    before = time.time() - 60
    assert blobs.renew(HELLO)
    assert blobs.remove(HELLO, before=before) is None and blobs.read(HELLO) == b"hello"
    os.utime(blobs.locate(HELLO), (0, 0))
    assert blobs.remove(HELLO, before=before) == 5 and blobs.get_size(HELLO) is None
    assert not blobs.renew(HELLO) and list(blobs.walk_arriving()) == []


def test_what_others_put_into_the_folder_has_no_md5(blobs: Blobs, tmp_path: Path) -> None:
    blobs.write(b"hello")
    (tmp_path / "blobs" / "notes").write_text("")
    (tmp_path / "blobs" / "00" / HELLO).write_text("in another's place")
    assert [found.md5 for found in blobs.walk()] == [None, HELLO, None]


def test_a_large_blob_does_not_wait_in_memory(blobs: Blobs, tmp_path: Path) -> None:
    with blobs.begin_upload() as upload:
        for _ in range(5):
            upload.write(b"0" * (100 << 10))
        assert [path.stat().st_size for path in (tmp_path / "blobs" / "incoming").iterdir()] == [500 << 10]
        md5 = upload.keep()
    assert blobs.read(md5) == b"0" * (500 << 10)


def test_other_bytes_than_announced_are_not_kept(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nothing was stored"), blobs.begin_upload() as upload:
        upload.write(b"hallo")
        upload.keep(HELLO)
    assert blobs.get_size(HELLO) is None
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_a_broken_upload_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), blobs.begin_upload() as upload:
        upload.write(b"hel")
        raise ConnectionError
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


def test_the_leftovers_of_a_killed_server_are_swept(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "incoming" / "left").write_bytes(b"half")
    Blobs(tmp_path / "blobs")  # a command next to a running server: its uploads do not concern it
    assert len(list(blobs.walk_arriving())) == 1
    Blobs(tmp_path / "blobs").remove_leftovers()
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n", "é" * 32])
def test_only_32_hex_digits_are_a_name(blobs: Blobs, name: str) -> None:
    for ask in (blobs.locate, blobs.get_size, blobs.read):
        with pytest.raises(Invalid, match="is not an MD5"):
            ask(name)


def test_a_link_in_a_blobs_place_is_no_blob(blobs: Blobs, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not of this folder")
    md5 = "0" * 32
    blobs.locate(md5).symlink_to(secret)
    assert blobs.get_size(md5) is None
    assert not blobs.is_right(md5)


def test_a_note_is_there_whatever_happened_to_those_before(blobs: Blobs, tmp_path: Path) -> None:
    """The file of the notes stays open: other versions, a commit, and a gc of another process come between."""
    first, second = "1" * 32, "2" * 32
    for version in (7, 8, 7):
        blobs.record_uploads(version, [first])
    assert (blobs.read_uploads(7), blobs.read_uploads(8)) == ({first}, {first})
    blobs.forget(7)
    blobs.record_uploads(7, [second])
    assert blobs.read_uploads(7) == {second}
    (tmp_path / "blobs/arrived/7").unlink()
    blobs.record_uploads(7, [first])
    assert Blobs(tmp_path / "blobs").read_uploads(7) == {first}
