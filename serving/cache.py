"""
Keep the last verified version on this disk, so that the service answers while W&B does not, even after a restart.

There is a folder named by the SHA-256 of the model's file, and `record.json`, which says what was verified and when.
The file is hashed again before it is loaded. Anyone who can write to the folder can replace both, so only the service
may use it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from modelgate.errors import StepError
from modelgate.promotion import ledger
from modelgate.promotion.deployed import Deployed

RECORD = "record.json"


class CachedModel(NamedTuple):
    """A verified version on this disk. description: what answers say about it. verified_at: the time, in the ledger's
    format.
    """

    description: dict[str, Any]
    collection: str
    model: Path
    verified_at: str


class Folder:
    """The place for the version. path: the service's own folder. use_case: the use case of the model."""

    def __init__(self, path: Path, use_case: str) -> None:
        self.path = path / use_case

    def create_staging(self) -> tempfile.TemporaryDirectory[str]:
        """Return a new folder to download into, on the same disk."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StepError(
                "data_not_writable", f"--data: {error}", "choose a folder that only the service uses"
            ) from error
        for left in self.path.glob("staging-*"):  # left by a service that was killed
            shutil.rmtree(left, ignore_errors=True)
        return tempfile.TemporaryDirectory(prefix="staging-", dir=self.path, ignore_cleanup_errors=True)

    def keep(self, version: Deployed, collection: str) -> CachedModel:
        """Keep a verified version, and remove the previous one after the record names this one."""
        home, staging = self.path / version.sha256, version.model.parent
        home.mkdir(exist_ok=True)
        model = version.model.replace(home / version.model.name)
        cached = CachedModel(version.as_json(), collection, model, ledger.format_now())
        record = {
            "about": cached.description,
            "collection": collection,
            "model": model.name,
            "verified_at": cached.verified_at,
        }
        with (staging / RECORD).open("w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(self.path / RECORD)
        for other in self.path.iterdir():
            if other.is_dir() and other != home and not other.name.startswith("staging-"):
                shutil.rmtree(other, ignore_errors=True)
        return cached

    def read(self) -> CachedModel | None:
        """Return the kept version if its file is the one that was verified; None if there is no such version."""
        try:
            record = json.loads((self.path / RECORD).read_text(encoding="utf-8"))
            description, name = dict(record["about"]), Path(record["model"]).name
            cached = CachedModel(
                description,
                str(record["collection"]),
                self.path / description["sha256"] / name,
                str(record["verified_at"]),
            )
            with cached.model.open("rb") as file:
                now = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StepError(
                "copy_unreadable", f"{self.path}: {error}", "it will be downloaded again from W&B"
            ) from error
        if now != description["sha256"]:
            message = f"{cached.model} is {now}, but {description['sha256']} was verified"
            raise StepError("copy_changed", message, "it will be downloaded again from W&B")
        return cached
