"""
Bytes, addressed by their MD5 because the protocol's digests are MD5.

A file in the folder is whole: it is written beside its place, checked and renamed. Its name is always made from 32 hex
digits, never from a name that came from outside.
"""

import ctypes
import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from server.errors import Invalid
from server.settings import KIB

MD5 = re.compile(r"[0-9a-f]{32}")
# Up to here files are synced one by one. Thousands take many seconds so, and less than one all at once.
FEW = 16
# Of each of the 128 uploads that one client may have under way.
MAX_IN_MEMORY = 256 * KIB


class Blobs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of uploads that the last process did not live to finish
            leftover.unlink()
        if not (folder / "ff").exists():
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True)
            _fsync(folder)

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
        return Incoming(self, f"{self._incoming}/{uuid4().hex}")

    def make_durable(self, md5s: Collection[str]) -> None:
        """Return when the blobs, and their names in their folders, would outlive a power cut."""
        if len(md5s) > FEW and _sync_file_system(self._folder):
            return
        for md5 in md5s:
            _fsync(self.path(md5))
        for folder in {md5[:2] for md5 in md5s}:
            _fsync(self._folder / folder)


class Incoming:
    """
    A blob that is arriving: write its pieces, then `keep()`. Left without, it is as if it had never come.

    Most are small and wait in memory until they are known to be right.
    """

    def __init__(self, blobs: Blobs, path: str) -> None:
        self._blobs = blobs
        self._path = path
        self._digest = hashlib.md5(usedforsecurity=False)
        self._waiting: list[bytes] = []
        self._file: int | None = None
        self.size = 0

    def write(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.size += len(piece)
        self._waiting.append(piece)
        if self.size > MAX_IN_MEMORY:
            self._flush()

    def keep(self, expected: str | None = None) -> str:
        """Give the blob its place and return its MD5; Invalid when it is not the expected one."""
        md5 = self._digest.hexdigest()
        if expected is not None and md5 != expected:
            raise Invalid(f"the received bytes have the MD5 {md5}, announced was {expected}: nothing was stored")
        if self._blobs.size(md5) is None:  # else it stays as it is: it may have been made durable already
            file = self._flush()
            os.close(file)
            self._file = None
            os.rename(self._path, self._blobs.path(md5))  # noqa: PTH104
        return md5

    def _flush(self) -> int:
        """Move what waits in memory to the file, made if this is the first time."""
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        rest = memoryview(b"".join(self._waiting))
        self._waiting.clear()
        while rest:
            rest = rest[os.write(self._file, rest) :]
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            os.close(self._file)
            os.unlink(self._path)  # noqa: PTH108


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file_system(folder: Path) -> bool:
    """Linux's syncfs(2): wait until all of a file system is on the disk. False where there is no such call."""
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle) != 0:
            raise OSError(ctypes.get_errno(), "the file system could not be synced", str(folder))
    finally:
        os.close(handle)
    return True
