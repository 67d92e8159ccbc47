"""A blob is whole or not there, and nothing outside can choose where it lies.

pytest tests/server/store/test_blobs.py
"""

import hashlib
from pathlib import Path

import pytest

from server.errors import Invalid
from server.store.blobs import Blobs

HELLO = hashlib.md5(b"hello").hexdigest()  # noqa: S324


def test_what_is_written_is_read_back_under_its_md5(blobs: Blobs) -> None:
    assert blobs.write(b"hello") == HELLO
    assert (blobs.read(HELLO), blobs.size(HELLO)) == (b"hello", 5)
    blobs.make_durable([HELLO])


def test_many_blobs_are_made_durable_at_once(blobs: Blobs) -> None:
    blobs.make_durable([blobs.write(str(number).encode()) for number in range(100)])


def test_a_blob_that_is_there_is_not_written_again(blobs: Blobs) -> None:
    before = blobs.path(blobs.write(b"hello")).stat()
    assert blobs.path(blobs.write(b"hello")).stat() == before


def test_a_large_blob_does_not_wait_in_memory(blobs: Blobs, tmp_path: Path) -> None:
    with blobs.incoming() as upload:
        for _ in range(5):
            upload.write(b"0" * (100 << 10))
        assert [path.stat().st_size for path in (tmp_path / "blobs" / "incoming").iterdir()] == [500 << 10]
        md5 = upload.keep()
    assert blobs.read(md5) == b"0" * (500 << 10)


def test_other_bytes_than_announced_are_not_kept(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="nothing was stored"), blobs.incoming() as upload:
        upload.write(b"hallo")
        upload.keep(HELLO)
    assert blobs.size(HELLO) is None
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_a_broken_upload_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), blobs.incoming() as upload:
        upload.write(b"hel")
        raise ConnectionError
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


def test_the_leftovers_of_a_killed_server_are_swept(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "incoming" / "left").write_bytes(b"half")
    Blobs(tmp_path / "blobs")
    assert list((tmp_path / "blobs" / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n", "é" * 32])
def test_only_32_hex_digits_are_a_name(blobs: Blobs, name: str) -> None:
    for ask in (blobs.path, blobs.size, blobs.read):
        with pytest.raises(Invalid, match="is not an MD5"):
            ask(name)
