"""
Fetch the files of a version: the only way in which bytes from W&B get into a step.

A version's digest is the digest of its manifest, and a manifest can say anything: that a file is whatever an address
returns today, or that it has an MD5 that other bytes also have. So each file is read again after the download, compared
with the size and the MD5 of its manifest, and identified by its SHA-256, which evidence and ledger keep.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wandb.errors import CommError

from modelgate.errors import UNREACHABLE, StepError

if TYPE_CHECKING:
    from wandb import Artifact

GIB = 2**30
MAX_BYTES = 4 * GIB  # the largest file that a step downloads; a model is rarely above 1 GiB


@dataclass(frozen=True)
class Fetched:
    """A file of a version, on this disk. sha256: of the bytes that were read, hex."""

    path: Path
    sha256: str


class FileRefused(StepError):
    """A version does not have the file, or not in a form that can be trusted."""


def fetch(version: Artifact, name: str, folder: Path, max_bytes: int = MAX_BYTES) -> Fetched:
    """
    Download one file of a version into a folder, replacing a file of this name there.

    Raises FileRefused: `reference_entry`, `file_missing`, `file_too_large`, or `file_changed` if the bytes are not
    those of the manifest. The SDK's cache is not used: it trusts a file by its name and size.
    """
    if (entry := version.manifest.entries.get(name)) is None:
        raise FileRefused("file_missing", f"{version.name} has no {name}", "choose a version that a step made")
    if entry.ref is not None:
        raise _refuse_reference(version, name)
    if not isinstance(entry.size, int) or entry.size > max_bytes:
        raise FileRefused(
            "file_too_large",
            f"{name} of {version.name} has {entry.size} bytes according to its manifest, but {max_bytes} are allowed",
            "log a smaller file",
        )
    (folder / name).unlink(missing_ok=True)
    path = _download(version, name, folder)
    size, md5, sha256 = _hash(path)
    if (size, md5) != (entry.size, entry.digest):
        raise FileRefused(
            "file_changed",
            f"{name} of {version.name}: W&B sent {size} bytes with MD5 {md5}, but the manifest says {entry.size} bytes "
            f"with {entry.digest}",
            "the stored file was damaged or replaced: log the version again",
        )
    return Fetched(path, sha256)


def require_no_references(version: Artifact) -> None:
    """Refuse a version in which any entry is a reference: its target can change without a new version."""
    for name, entry in sorted(version.manifest.entries.items()):
        if entry.ref is not None:
            raise _refuse_reference(version, name)


def _refuse_reference(version: Artifact, name: str) -> FileRefused:
    return FileRefused(
        "reference_entry",
        f"{name} of {version.name} is a reference, so its bytes can change without a new version",
        "log the file itself: artifact.add_file(...)",
    )


def _download(version: Artifact, name: str, folder: Path) -> Path:
    try:
        return Path(version.get_entry(name).download(root=str(folder), skip_cache=True))
    except (CommError, OSError) as error:  # an OSError of the SDK's HTTP client has the answer
        if getattr(getattr(error, "response", None), "status_code", None) == 404:
            raise FileRefused("file_missing", f"W&B has lost {name} of {version.name}", "log it again") from error
        message = f"W&B could not be asked for {name} of {version.name}: {type(error).__name__}"
        raise StepError("wandb_failed", message, "try again", UNREACHABLE) from error
    except ValueError as error:  # a digest that is not base64
        raise FileRefused("file_changed", f"{name} of {version.name}: {error}", "log the version again") from error
    finally:
        _use_cache_again(version)


def _use_cache_again(version: Artifact) -> None:
    """
    Undo what skip_cache leaves behind in wandb 0.31.0 (storage_policies/wandb_storage_policy.py, load_file): a cache
    that the whole process shares keeps the path of this file, and writes every later download into it.
    """
    policy = version.manifest.storage_policy
    policy._cache._override_cache_path = None  # type: ignore[attr-defined]


def _hash(path: Path) -> tuple[int, str, str]:
    """Return size in bytes, MD5 as the manifest writes it (base64), and SHA-256 (hex)."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            md5.update(piece)
            sha256.update(piece)
            size += len(piece)
    return size, base64.b64encode(md5.digest()).decode(), sha256.hexdigest()
