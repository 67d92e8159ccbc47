"""
Bytes, addressed by their MD5 because the protocol's digests are MD5.

A file in the folder is whole: it is written beside its place, checked and renamed. Its name is always made from 32 hex
digits, never from a name that came from outside.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from server.errors import Invalid

MD5 = re.compile(r"[0-9a-f]{32}")


class Blobs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of uploads that the last process did not live to finish
            leftover.unlink()
        for number in range(256):
            (folder / f"{number:02x}").mkdir(exist_ok=True)

    def path(self, md5: str) -> Path:
        """Where a blob is, or would be. Raises Invalid for anything but 32 hex digits."""
        return Path(self._name(md5))

    def _name(self, md5: str) -> str:
        if not MD5.fullmatch(md5):
            raise Invalid(f'"{md5[:64]}" is not an MD5 in 32 hex digits')
        return f"{self._folder}/{md5[:2]}/{md5}"

    def size(self, md5: str) -> int | None:
        """Bytes of a blob, None when it is not here."""
        try:
            return os.stat(self._name(md5)).st_size  # noqa: PTH116  called thousands of times a commit
        except FileNotFoundError:
            return None

    def read(self, md5: str) -> bytes:
        return self.path(md5).read_bytes()

    def write(self, data: bytes) -> str:
        """Store what the server itself made; returns its MD5."""
        with self.incoming() as upload:
            upload.write(data)
            return upload.keep()

    def incoming(self) -> "Incoming":
        return Incoming(self, self._incoming / uuid4().hex)

    def make_durable(self, md5s: Iterable[str]) -> None:
        """Return when the blobs, and their names in their folders, would outlive a power cut."""
        folders = set()
        for md5 in md5s:
            _fsync(self.path(md5))
            folders.add(self._folder / md5[:2])
        for folder in folders:
            _fsync(folder)


class Incoming:
    """A blob that is arriving: write its pieces, then `keep()`. Left without, it is as if it had never come."""

    def __init__(self, blobs: Blobs, path: Path) -> None:
        self._blobs = blobs
        self._path = path
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file = path.open("xb")
        self._kept = False
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def keep(self, expected: str | None = None) -> str:
        """Give the blob its place and return its MD5; Invalid when it is not the expected one."""
        self._file.close()
        md5 = self._digest.hexdigest()
        if expected is not None and md5 != expected:
            raise Invalid(f"the received bytes have the MD5 {md5}, announced was {expected}: nothing was stored")
        self._path.rename(self._blobs.path(md5))
        self._kept = True
        return md5

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._kept:
            self._file.close()
            self._path.unlink()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
