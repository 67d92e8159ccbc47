"""
Store bytes by their MD5, because the protocol's digests are MD5.

A file in the folder is complete: it is written elsewhere, checked, and then renamed. Its name always consists of 32 hex
digits, and never comes from outside.

A complete file is not yet durable: after a power failure, the name may exist without the bytes. So a blob is trusted if
its row says that it was made durable, if this process itself wrote it, or if its bytes were just read and are correct.
An existing file is replaced only by bytes that are on the disk.

The folder also records which bytes were uploaded for which version, one line per blob: knowing the MD5 of a file does
not give access to it (manifests.py, `select_entitled`). A transaction for each of thousands of uploads would take
seconds.
"""

import ctypes
import filecmp
import hashlib
import itertools
import os
import re
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from types import TracebackType
from typing import Self
from uuid import uuid4

from modelgate_server.errors import Invalid
from modelgate_server.settings import GIB, KIB, MIB
from modelgate_server.store.folders import create_apart

MD5 = re.compile(r"[0-9a-f]{32}")
# Up to this many files are synced one by one. For thousands of files, this takes many seconds, but syncing the whole
# file system takes less than one.
FEW = 16
# The bytes of one upload that may stay in memory. A client may have 128 uploads in progress.
MAX_IN_MEMORY = 256 * KIB
PIECE_BYTES = MIB
# The most bytes to check before telling a client that it does not need to send a file. This takes some seconds.
MAX_LOOKED_AT = GIB


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the folder: `md5` is its name, or None if the server does not use such names."""

    path: Path
    md5: str | None
    size: int
    modified: float


class Blobs:
    def __init__(self, folder: Path, *, make: bool = True) -> None:
        """`make=False` is for readers, perhaps of a read-only folder."""
        self._folder = folder
        self._incoming = folder / "incoming"
        self._arrived = folder / "arrived"
        self._unsynced: set[str] = set()  # correct and in place, but perhaps not yet on the disk
        self._sound: set[str] = set()  # checked by this process
        self._prefix, self._numbers = (
            uuid4().hex,
            itertools.count(),
        )  # for the names of uploads; other processes may write here
        self._noting = threading.Lock()
        self._notes: tuple[int, int] | None = None  # the version of the last note, and its open file
        if not make:
            return
        folder.mkdir(parents=True, exist_ok=True)
        create_apart(self._incoming)
        self._arrived.mkdir(exist_ok=True)
        if not (folder / "ff").exists():
            for number in range(256):
                (folder / f"{number:02x}").mkdir(exist_ok=True)
            fsync(folder)

    def remove_leftovers(self) -> None:
        """Remove what the last process did not finish. Only the process that holds the folder may call this."""
        for leftover in self._incoming.iterdir():
            leftover.unlink()

    def locate(self, md5: str) -> Path:
        """Return the path of a blob, whether it exists or not. Raise Invalid for anything but 32 hex digits."""
        return Path(self._build_path(md5))

    def _build_path(self, md5: str) -> str:
        if not MD5.fullmatch(md5):
            raise Invalid(f'"{md5[:64]}" is not an MD5 in 32 hex digits')
        return f"{self._folder}/{md5[:2]}/{md5}"

    def get_size(self, md5: str) -> int | None:
        """
        Return the size of a blob in bytes, None if it is missing. A link does not count, because it could lead out of
        the folder.
        """
        try:
            status = os.lstat(self._build_path(md5))  # called thousands of times per commit
        except FileNotFoundError:
            return None
        return status.st_size if S_ISREG(status.st_mode) else None

    def read(self, md5: str) -> bytes:
        return self.locate(md5).read_bytes()

    def compute_md5(self, md5: str) -> str:
        """Return the MD5 of the bytes that are stored under a name."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.read_pieces(md5):
            digest.update(piece)
        return digest.hexdigest()

    def read_pieces(self, md5: str) -> Iterator[bytes]:
        with self.locate(md5).open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    def copy(self, md5: str, path: Path) -> str:
        """Copy a blob's bytes, and return their real MD5."""
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("wb") as file:
            for piece in self.read_pieces(md5):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def renew(self, md5: str) -> bool:
        """
        Return whether a blob exists. If so, mark it as recent as an upload, because someone is about to refer to it.
        """
        try:
            os.utime(self._build_path(md5))
        except FileNotFoundError:
            return False
        return True

    def record_uploads(self, version: int, md5s: Iterable[str]) -> None:
        """Record that these blobs were uploaded for a version: to its addresses, or by a user who may read them."""
        lines = "".join([f"{md5}\n" for md5 in md5s]).encode()
        if lines:
            with self._noting:
                os.write(self._open_notes(version), lines)

    def _open_notes(self, version: int) -> int:
        """Return the open file of a version's notes: most uploads are for the same version as the one before."""
        if self._notes is not None:
            last, file = self._notes
            if last == version and os.fstat(file).st_nlink:  # otherwise `forget` or gc has removed it
                return file
            os.close(file)
            self._notes = None
        file = os.open(f"{self._arrived}/{version}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._notes = version, file
        return file

    def read_uploads(self, version: int) -> set[str]:
        """Return the blobs that were uploaded for a version. A partial line, left by a kill, does not count."""
        try:
            lines = (self._arrived / str(version)).read_text().split("\n")
        except FileNotFoundError:
            return set()
        return {line for line in lines if MD5.fullmatch(line)}

    def forget(self, version: int) -> None:
        """Drop the notes of a version that was committed."""
        with self._noting:
            (self._arrived / str(version)).unlink(missing_ok=True)
            if self._notes is not None and self._notes[0] == version:
                os.close(self._notes[1])
                self._notes = None

    def is_unsynced(self, md5: str) -> bool:
        return md5 in self._unsynced

    def is_right(self, md5: str) -> bool:
        """
        Return whether a blob that no row calls durable matches its name: this process wrote it, or its bytes are
        correct.
        """
        if md5 not in self._unsynced:
            if self.get_size(md5) is None or self.compute_md5(md5) != md5:
                return False
            self._unsynced.add(md5)
            self._sound.add(md5)
        return True

    def find_unsound(self, md5s: Iterable[str]) -> set[str]:
        """
        Return those blobs that are missing, or that were damaged on the disk after they were durable. Each one is read
        once per process, small ones first, and `MAX_LOOKED_AT` bytes at a time; the command `check` reads the rest.
        """
        sizes = {md5: self.get_size(md5) for md5 in set(md5s)}
        unsound = {md5 for md5, size in sizes.items() if size is None}
        looked_at = 0
        for size, md5 in sorted((size, md5) for md5, size in sizes.items() if size is not None):
            if md5 in self._sound:
                continue
            looked_at += size
            if looked_at > MAX_LOOKED_AT:
                break
            if self.compute_md5(md5) == md5:
                self._sound.add(md5)
            else:
                unsound.add(md5)
        return unsound

    def write(self, data: bytes) -> str:
        """Store bytes that the server itself made, and return their MD5."""
        with self.begin_upload() as upload:
            upload.write(data)
            return upload.keep()

    def put_in_place(self, path: str, md5: str) -> None:
        """Give a complete file its name."""
        self._unsynced.add(md5)
        self._sound.add(md5)
        os.rename(path, self._build_path(md5))  # noqa: PTH104

    def begin_upload(self) -> "Incoming":
        return Incoming(self, f"{self._incoming}/{self._prefix}-{next(self._numbers)}")

    def make_durable(self, md5s: Collection[str]) -> None:
        """Return once the blobs, and their names in their folders, would survive a power failure."""
        if len(md5s) <= FEW or not sync_file_system(self._folder):
            for md5 in md5s:
                fsync(self.locate(md5))
            for folder in {md5[:2] for md5 in md5s}:
                fsync(self._folder / folder)
        self._unsynced.difference_update(md5s)

    def walk(self) -> Iterator[Found]:
        """Yield every file in the folders of the blobs."""
        for folder in sorted(self._folder.glob("*")):
            if folder in (self._incoming, self._arrived):
                continue
            for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
                known = bool(MD5.fullmatch(path.name)) and path == self.locate(path.name)
                yield from _inspect_file(path, path.name if known else None)

    def walk_arriving(self) -> Iterator[Found]:
        """Yield every file of an upload in progress, and the leftovers of killed servers and of clients that left."""
        for path in [*sorted(self._incoming.glob("*")), *sorted(self._arrived.glob("*"))]:
            yield from _inspect_file(path, None)

    def remove(self, md5: str, *, before: float) -> int | None:
        """
        Remove a blob that nothing refers to, unless someone has asked for it since `before`; return its size.

        It is first moved out of its place. If a client renewed it just then, it is put back; a later client finds it
        missing, and sends it again.
        """
        aside = Path(f"{self._incoming}/{uuid4().hex}")
        try:
            self.locate(md5).rename(aside)
        except FileNotFoundError:
            return None
        status = aside.stat()
        if status.st_mtime >= before:
            aside.rename(self.locate(md5))
            return None
        aside.unlink()
        return status.st_size


class Incoming:
    """
    An upload in progress: write its pieces, then call `keep()`. Without `keep()`, nothing is stored.

    Most uploads are small and stay in memory until they are checked.
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

    def compute_md5(self) -> str:
        """Return the MD5 of what has been written so far."""
        return self._digest.hexdigest()

    def keep(self, expected: str | None = None) -> str:
        """
        Store the blob and return its MD5. Raise Invalid if it is not the expected one. An existing file stays, unless
        it is damaged: someone may have made other bytes with the same MD5.
        """
        md5 = self.compute_md5()
        if expected is not None and md5 != expected:
            raise Invalid(f"the received bytes have the MD5 {md5}, but {expected} was announced: nothing was stored")
        exists = self._blobs.renew(md5)
        if exists and self._is_there(md5):
            return md5
        if exists and self._blobs.compute_md5(md5) == md5:
            raise Invalid(f"other bytes with the MD5 {md5} are already stored: nothing was stored")
        file = self._flush()
        if exists:
            os.fsync(file)
        os.close(file)
        self._file = None
        self._blobs.put_in_place(self._path, md5)
        return md5

    def _is_there(self, md5: str) -> bool:
        """Return whether the stored file of this name has exactly these bytes."""
        if self._file is None:
            return self._blobs.get_size(md5) == self.size and self._blobs.read(md5) == b"".join(self._waiting)
        self._flush()
        return filecmp.cmp(self._path, self._blobs.locate(md5), shallow=False)

    def _flush(self) -> int:
        """Move the bytes in memory to the file, created the first time."""
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


def _inspect_file(path: Path, md5: str | None) -> Iterator[Found]:
    """Yield the file, unless it was removed since its folder was read."""
    try:
        stat = path.lstat()
    except FileNotFoundError:
        return
    if not S_ISDIR(stat.st_mode):
        yield Found(path, md5, stat.st_size, stat.st_mtime)


def fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> bool:
    """
    Wait until all of a file system is on the disk, with Linux's syncfs(2). Return False if the system does not have it.
    """
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
