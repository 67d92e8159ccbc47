"""
May this version answer? The one place that says so before a model is loaded, for predict and for the service.

An alias is a name that moves, and files can be replaced. So a version answers only if the ledger's last entry for its
collection promoted it, if it carries the seal of that entry, and if its file is, byte for byte, the one in the entry.
The names of the refusals are those of `audit --verify` where it finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.errors import StepError
from modelgate.promotion import ledger
from modelgate.promotion.ledger import Entry
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

UNAPPROVED = "unapproved"
_AUDIT = "find out what happened: python -m steps.audit --verify; to go on, promote a version through the gate"


@dataclass(frozen=True)
class Deployed:
    """
    A version that may answer, with its model's file on this disk.

    version: pinned. entry: the promotion that put it into production; None for a trial that nobody approved. sha256: of
    the file.
    """

    version: str
    digest: str
    sha256: str
    model: Path
    url: str
    entry: Entry | None

    @property
    def ledger_entry(self) -> str:
        """The entry by its number, as people name it; `unapproved` for a trial."""
        return f"v{self.entry.number}" if self.entry else UNAPPROVED

    def as_json(self) -> dict[str, Any]:
        """What each answer, run and readiness page says of it."""
        return {
            "version": self.version,
            "digest": self.digest,
            "sha256": self.sha256,
            "ledger_entry": self.ledger_entry,
            "ledger_sha256": self.entry.sha256 if self.entry else None,
            "approved": self.entry is not None,
        }


def verified(
    api: wandb.Api,
    entries: Sequence[Entry],
    collection: str,
    file: str,
    folder: Path,
    *,
    version: Reference | None = None,
    unapproved: bool = False,
) -> Deployed:
    """
    The version in production, or another one that the ledger knows, once everything about it agrees; its file is then
    in the folder.

    entries: the ledger. collection: `entity/project/name` in the registry. file: the name of the model's file. version:
    another one than production's. unapproved: take it even if it was never promoted.
    Raises StepError by the name of what does not agree, and nothing is loaded.
    """
    artifact, entry = _named(api, entries, version, unapproved) if version else _in_production(api, entries, collection)
    if entry is not None:
        _require_sealed(artifact, entry)
    folder.mkdir(parents=True, exist_ok=True)
    fetched = files.fetch(artifact, file, folder)
    if entry is not None:
        _require_bytes(artifact, entry, fetched.sha256)
    reference = str(Reference.of(artifact))
    return Deployed(reference, artifact.digest, fetched.sha256, fetched.path, client.page_of(artifact), entry)


def collection_of(entries: Sequence[Entry], name: str) -> str:
    """
    A registered model of the registry that the ledger's first entry promoted in, `entity/project/name`.

    Whoever may write to the ledger could name a registry of their own later, and not before.
    """
    first: Entry | None = next((entry for entry in entries if not entry.void and ledger.readable(entry.content)), None)
    if first is None:
        raise _nothing(name)
    return f"{first.content['to']['name'].rpartition('/')[0]}/{name}"


def promoted(entries: Sequence[Entry], collection: str) -> Entry | None:
    """The last entry that took effect in a collection: it says what should be in production there."""
    ours = (entry for entry in reversed(entries) if entry.applied)
    return next((entry for entry in ours if _version_of(entry).collection == collection), None)


def _version_of(entry: Entry) -> Reference:
    return Reference.parse(entry.content["to"]["name"], "the ledger")


def _in_production(api: wandb.Api, entries: Sequence[Entry], collection: str) -> tuple[Artifact, Entry]:
    entry = promoted(entries, collection)
    holder = client.production(api, collection)
    now = Reference.of(holder) if holder else None
    if entry is None:
        if holder is None:
            raise _nothing(collection)
        raise StepError("moved_outside", f"{now} is {client.PRODUCTION}, and the ledger has no promotion of it", _AUDIT)
    if holder is None:
        message = f"{_version_of(entry)} should be {client.PRODUCTION} by entry v{entry.number}, and no version is"
        raise StepError("production_gone", message, _AUDIT)
    if now != _version_of(entry):
        message = f"{now} is {client.PRODUCTION}, and the last entry, v{entry.number}, promoted {_version_of(entry)}"
        raise StepError("moved_outside", message, _AUDIT)
    return holder, entry


def _named(
    api: wandb.Api, entries: Sequence[Entry], version: Reference, unapproved: bool
) -> tuple[Artifact, Entry | None]:
    artifact = client.get(api, version, "--version")
    entry = next((entry for entry in reversed(entries) if entry.applied and _version_of(entry) == version), None)
    if entry is None and not unapproved:
        raise StepError(
            "version_not_promoted",
            f"the ledger has no promotion of {version}",
            "promote it, or add --unapproved for a trial; its answers say so",
        )
    return artifact, entry


def _require_sealed(artifact: Artifact, entry: Entry) -> None:
    """The version has the seal of the entry, and the entry and its version are what was promoted."""
    if ledger.seal_of(entry) not in artifact.aliases:
        message = f"{Reference.of(artifact)} has no seal of entry v{entry.number}, which says that it was promoted"
        raise StepError("entry_not_sealed", message, _AUDIT)
    if entry.noted.get("entry") != entry.content:
        message = f"entry v{entry.number} and its version's metadata differ"
        raise StepError("entry_changed", message, _AUDIT)
    if artifact.digest != entry.content["to"]["digest"]:
        message = f"{Reference.of(artifact)} is {artifact.digest}, and {entry.content['to']['digest']} was promoted"
        raise StepError("version_changed", message, _AUDIT)


def _require_bytes(artifact: Artifact, entry: Entry, sha256: str) -> None:
    """The file is the one that was promoted; entries of schema 1 did not record it."""
    judged = (entry.content.get("sha256") or {}).get("model")
    if judged not in (None, sha256):
        message = f"the file of {Reference.of(artifact)} is {sha256}, and entry v{entry.number} promoted {judged}"
        raise StepError("model_bytes_changed", message, _AUDIT)


def _nothing(collection: str) -> StepError:
    message = f"nothing is in production for {collection}"
    return StepError("nothing_in_production", message, "promote a version first: make run")
