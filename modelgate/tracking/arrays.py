"""
Read arrays in an `.npz` file from outside: checked for size before anything is unpacked, and never unpickled.

A zip of a few kilobytes can unpack to gigabytes, and the header of an array can claim any shape.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy.typing as npt

MAX_MEMBERS = 1000  # a use case with hundreds of slices and variations has fewer
MAX_UNPACKED_BYTES = 8 * 2**30  # all members together; a million images of 28 x 28 are 3 GiB


class Unreadable(ValueError):
    """The file is not a bounded `.npz` of plain arrays."""


def load(source: Path | bytes, max_bytes: int = MAX_UNPACKED_BYTES) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays of a file, by name; Unreadable says what is wrong with it."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if len(members) > MAX_MEMBERS:
                raise Unreadable(f"it has {len(members)} arrays, but {MAX_MEMBERS} are allowed")
            if (size := sum(member.file_size for member in members)) > max_bytes:
                raise Unreadable(f"it unpacks to {size} bytes, but {max_bytes} are allowed")
            if len({member.filename for member in members}) < len(members):
                raise Unreadable("it has two arrays with the same name")
            return {member.filename.removesuffix(".npy"): _read_array(packed, member) for member in members}
    except Unreadable:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"it is not a readable .npz file: {error}") from error
    except (MemoryError, SyntaxError, RecursionError, TokenError, TypeError) as error:  # of an array's own header
        raise Unreadable(f"it has an array that cannot be read: {type(error).__name__}") from error


def _read_array(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    from numpy.lib import format as npy

    require_true_header(packed, member)
    with packed.open(member) as file:
        array: npt.NDArray[Any] = npy.read_array(file, allow_pickle=False)
    return array


def require_true_header(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Check the header of an array against the size of its member, so that it cannot allocate more memory than that."""
    from numpy.lib import format as npy

    with packed.open(member) as file:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise Unreadable(f"{member.filename} has the format {version}")
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise Unreadable(f"{member.filename} contains Python objects")
        count = 1
        for length in shape:
            count *= length
        if count * dtype.itemsize > member.file_size:
            raise Unreadable(f"{member.filename} claims {count} values, but has {member.file_size} bytes")
