"""
The ledger of promotions: a W&B artifact, one version an entry, each entry with the hash of the one before.

W&B has no compare-and-swap on an alias, but it numbers the versions of an artifact and never changes their files.
So the ledger decides: the first entry written on a predecessor wins, a later one on the same predecessor is void.
An entry is written before the alias moves, and marked applied (in the version's metadata) after it; one that is not
marked is an intent that somebody was killed over, and is completed by the next promotion of the same version.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steps.common import record
from steps.common.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact, Run

ARTIFACT_TYPE = "promotion"
_FILE = "entry.json"


@dataclass(frozen=True)
class Entry:
    """
    One promotion, as written.

    number: the artifact version. content: what the entry says. applied: whether the alias is known to have moved.
    void: whether another entry on the same predecessor came first.
    """

    number: int
    content: Mapping[str, Any]
    applied: bool
    void: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(text(self.content).encode()).hexdigest()


def name_of(use_case: str) -> str:
    """The artifact's name."""
    return f"{use_case}_promotions"


def text(content: Mapping[str, Any]) -> str:
    """An entry's canonical form: what is hashed and what the version's file holds."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def chained(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in the order of their versions, with those marked void that do not follow the last valid one."""
    result: list[Entry] = []
    last: str | None = None
    for entry in sorted(entries, key=lambda entry: entry.number):
        void = entry.content.get("previous") != last
        result.append(replace(entry, void=void))
        if not void:
            last = entry.sha256
    return result


def head(entries: Iterable[Entry]) -> Entry | None:
    """The last valid entry."""
    return next((entry for entry in reversed(list(entries)) if not entry.void), None)


def read(api: wandb.Api, ledger: str) -> list[Entry]:
    """All entries of the ledger `entity/project/name`, void ones marked, oldest first; empty when there is none."""
    if not api.artifact_collection_exists(ledger, ARTIFACT_TYPE):
        return []
    return chained(_entry(version) for version in api.artifact_collection(ARTIFACT_TYPE, ledger).artifacts())


def append(run: Run, use_case: str, content: Mapping[str, Any]) -> int:
    """Write an entry; returns its version number. Whether it won is for `read` to say."""
    import wandb

    artifact = wandb.Artifact(name_of(use_case), type=ARTIFACT_TYPE, metadata={"entry": dict(content)})
    with artifact.new_file(_FILE, mode="w", encoding="utf-8") as file:
        file.write(text(content))
    return Reference.of(record.log(run, artifact, ["latest"])).number


def mark_applied(api: wandb.Api, ledger: str, entry: Entry) -> None:
    """Note on the entry's version that its alias has moved."""
    version = api.artifact(f"{ledger}:v{entry.number}")
    version.metadata["applied_at"] = now()
    version.save()


def now() -> str:
    """The time as entries and evidence write it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(version: Artifact) -> Entry:
    with tempfile.TemporaryDirectory() as folder:
        content = json.loads(Path(version.get_entry(_FILE).download(root=folder)).read_text(encoding="utf-8"))
    return Entry(Reference.of(version).number, content, "applied_at" in version.metadata)
