"""
The ledger of promotions: a W&B artifact, one version an entry, each entry with the hash of the one before.

W&B has no compare-and-swap on an alias, but it numbers the versions of an artifact and never changes their files.
So the ledger decides: the first entry written on a predecessor wins, a later one on the same predecessor is void.
An entry is written before the alias moves, and marked applied (in the version's metadata) after it; one that is not
marked is an intent that somebody was killed over, and is completed by the next promotion of the same version. One that
W&B refused the alias for is marked refused: it never takes effect, and the next promotion follows it.

The alias moves together with a seal: an alias of the promoted version that holds the entry's number and hash. It lies
in the registry, apart from the ledger, and outlives the entry: verify.py reads the ledger against it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.errors import StepError
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact, Run

ARTIFACT_TYPE = "promotion"
FILE = "entry.json"


@dataclass(frozen=True)
class Entry:
    """
    One promotion, as written.

    number: the artifact version. content: what the entry says. applied: whether the alias is known to have moved.
    void: whether another entry on the same predecessor came first. noted: the version's metadata, which repeats the
    content and says when it was applied, or refused.
    """

    number: int
    content: Mapping[str, Any]
    applied: bool
    void: bool = False
    noted: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether the key that wrote it was not let move the alias."""
        return not self.applied and "refused_at" in self.noted

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
    """The last valid entry, which the next one follows."""
    return next((entry for entry in reversed(list(entries)) if not entry.void), None)


def promotions(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that took effect, or will when they are finished."""
    return [entry for entry in entries if not entry.void and not entry.refused]


def last_in_production(entries: Iterable[Entry], digest: str) -> Entry | None:
    """The last entry by which the model with this digest was in production; None if the ledger knows of none."""
    applied = [entry for entry in promotions(entries) if entry.applied and entry.content["to"]["digest"] == digest]
    return applied[-1] if applied else None


def drops(entries: Iterable[Entry]) -> float:
    """How much accuracy (a fraction) all promotions together have given up since the first, by their evaluations."""
    return sum(entry.content.get("drop") or 0.0 for entry in promotions(entries))


def read(api: wandb.Api, ledger: str) -> list[Entry]:
    """All entries of the ledger `entity/project/name`, void ones marked, oldest first; empty when there is none."""
    if not api.artifact_collection_exists(ledger, ARTIFACT_TYPE):
        return []
    return chained(_entry(version) for version in api.artifact_collection(ARTIFACT_TYPE, ledger).artifacts())


def append(run: Run, use_case: str, content: Mapping[str, Any]) -> int:
    """Write an entry; returns its version number. Whether it won is for `read` to say."""
    import wandb

    artifact = wandb.Artifact(name_of(use_case), type=ARTIFACT_TYPE, metadata={"entry": dict(content)})
    with artifact.new_file(FILE, mode="w", encoding="utf-8") as file:
        file.write(text(content))
    return Reference.of(client.log(run, artifact, ["latest"])).number


def mark_applied(api: wandb.Api, ledger: str, entry: Entry) -> None:
    """Note on the entry's version that its alias has moved."""
    _note(api, ledger, entry, "applied_at")


def mark_refused(api: wandb.Api, ledger: str, entry: Entry) -> None:
    """Note on the entry's version that W&B did not let the key move the alias."""
    _note(api, ledger, entry, "refused_at")


def _note(api: wandb.Api, ledger: str, entry: Entry, what: str) -> None:
    version = api.artifact(f"{ledger}:v{entry.number}")
    version.metadata[what] = now()
    version.save()


def now() -> str:
    """The time as entries and evidence write it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str) -> datetime:
    """A time as W&B, entries and people write it (ISO 8601; UTC where no zone is given); ValueError otherwise."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def applied_at(entry: Entry) -> datetime:
    """When the alias moved, by the mark on the entry's version; else when the entry was written."""
    try:
        return time_of(str(entry.noted.get("applied_at")))
    except ValueError:
        return time_of(entry.content["time"])


def seal_of(entry: Entry) -> str:
    """The alias that a promoted version keeps of its entry."""
    return f"promotion-v{entry.number}-{entry.sha256[:12]}"


def readable(content: object) -> bool:
    """Whether this says all that a promotion says, each in its type: the ledger's project may have other writers."""

    def version(value: object) -> bool:
        if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("name", "digest")):
            return False
        try:
            Reference.parse(value["name"], "")
        except StepError:
            return False
        return True

    def hashes(value: object) -> bool:
        """SHA-256 of the files; entries of schema 1 have none."""
        return value is None or (
            isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("model", "eval_rows"))
        )

    return (
        isinstance(content, dict)
        and hashes(content.get("sha256"))
        and all(version(content.get(key)) for key in ("to", "model", "dataset", "evidence"))
        and (content.get("from") is None or version(content["from"]))
        and all(isinstance(content.get(key), str) for key in ("approver", "time", "reason"))
        and isinstance(content.get("previous"), str | None)
    )


def entry(number: int, file: bytes | None, noted: Mapping[str, Any]) -> Entry:
    """
    The entry that a version holds, by its file and its metadata; file: None if it is missing or damaged.

    What is not a promotion says nothing, follows nothing, and is void.
    """
    try:
        content: Any = json.loads(file) if file is not None else None
    except (ValueError, RecursionError):
        content = None
    said: dict[str, Any] = content if readable(content) else {"previous": "unreadable"}
    return Entry(number, said, "applied_at" in noted, noted=noted)


def _entry(version: Artifact) -> Entry:
    return entry(Reference.of(version).number, _file(version), dict(version.metadata))


def _file(version: Artifact) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return files.fetch(version, FILE, Path(folder)).path.read_bytes()
        except files.FileRefused:  # no such file, or not the bytes of its digest
            return None
