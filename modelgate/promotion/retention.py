"""
Find the datasets and models of a use case that nothing refers to any more.

A version stays if someone named it (with an alias, or by linking it into another collection), if an entry of the ledger
or evidence names it, if a running run uses it, if anything that stays was made with it, or if it is recent. The alias
`inputs-<hash>` is not a name: the steps use it to look for work that is already done.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelgate.promotion import evaluation, evidence, ledger
from modelgate.tracking import client, files, fingerprint
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

MAX_RECORD_BYTES = evaluation.MAX_BYTES[evidence.FILE]  # an entry of the ledger is smaller
UNDER_WAY = ("running", "pending", "preempting", "preempted")


@dataclass(frozen=True)
class Version:
    """
    A dataset or model as W&B has it.

    linked: whether it is also in another collection. in_use: whether a running run uses it. made_with_it: the ids of
    the versions that were logged by runs that used it.
    """

    id: str
    name: str
    size: int
    aliases: tuple[str, ...]
    created_at: datetime
    linked: bool = False
    in_use: bool = False
    made_with_it: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Plan:
    """What may be deleted, the oldest first, and how many versions stay for which reason."""

    versions: tuple[Version, ...]
    kept: Counter[str]

    @property
    def size(self) -> int:
        """Return the bytes of all versions. Files that another version also has stay in W&B."""
        return sum(version.size for version in self.versions)

    @property
    def hash(self) -> str:
        """Return a hash that identifies exactly these versions."""
        return hashlib.sha256("\n".join(sorted(version.id for version in self.versions)).encode()).hexdigest()[:12]


def plan(versions: Iterable[Version], named: frozenset[str], before: datetime) -> Plan:
    """Return which of these versions may be deleted. named: the names in ledger and evidence. before: newer versions
    stay.
    """
    kept: Counter[str] = Counter()
    loose: dict[str, Version] = {}
    for version in versions:
        if reason := find_reason_to_keep(version, named, before):
            kept[reason] += 1
        else:
            loose[version.id] = version
    # A version that stays keeps what it was made with, and so on.
    while needed := [version for version in loose.values() if not version.made_with_it <= loose.keys()]:
        kept["something that stays was made with it"] += len(needed)
        for version in needed:
            del loose[version.id]
    return Plan(tuple(sorted(loose.values(), key=lambda version: (version.created_at, version.id))), kept)


def find_reason_to_keep(version: Version, named: frozenset[str], before: datetime) -> str | None:
    """Return why this version stays, independent of the others; None if it may be deleted."""
    if any(not fingerprint.is_alias(alias) for alias in version.aliases):
        return "an alias names it"
    if version.name in named:
        return "ledger or evidence names it"
    if version.linked:
        return "it is linked into another collection"
    if version.in_use:
        return "a running run uses it"
    return "it is recent" if version.created_at > before else None


# --- asking W&B ------------------------------------------------------------------------------------------------------


def read(api: wandb.Api, project: str, use_case: str, before: datetime) -> Plan:
    """
    Return the plan for the datasets and models of a use case in `entity/project`. Raises FileRefused: see `_read`.
    """
    named = frozenset(list_named(api, project, use_case))
    versions = []
    for kind in ("dataset", "model"):
        for artifact in client.list_versions(api, kind, f"{project}/{use_case}_{kind}"):
            version = _describe_version(artifact)
            # Two requests per version, made only if nothing else keeps the version.
            versions.append(version if find_reason_to_keep(version, named, before) else _add_uses(version, artifact))
    return plan(versions, named, before)


def list_named(api: wandb.Api, project: str, use_case: str) -> Iterator[str]:
    """Return every text in the ledger's entries and in the evidence, including names of versions."""
    entity, home = project.split("/")
    ledgers = ledger.find_names(api, entity, home, use_case)
    records = [
        *((ledger.ARTIFACT_TYPE, name, ledger.FILE) for name in ledgers),
        (evaluation.ARTIFACT_TYPE, f"{project}/{evaluation.get_name(use_case)}", evidence.FILE),
    ]
    for kind, collection, file in records:
        for artifact in client.list_versions(api, kind, collection):
            yield from _list_texts(_read(artifact, file))


def _read(artifact: Artifact, file: str) -> object:
    """Return what a record says. If it cannot be read, it could name anything, so nothing may be deleted."""
    with tempfile.TemporaryDirectory() as folder:
        text = files.fetch(artifact, file, Path(folder), MAX_RECORD_BYTES).path.read_bytes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise files.FileRefused(
            "record_unreadable",
            f"{file} of {artifact.name} is not JSON ({error}), so it is unknown what it names, and nothing was deleted",
            "log it again, or delete this version if it is not yours",
        ) from error


def _list_texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict | list):
            waiting += part.values() if isinstance(part, dict) else part


def _describe_version(artifact: Artifact) -> Version:
    return Version(
        id=str(artifact.id),
        name=str(Reference.pin(artifact)),
        size=int(artifact.size),
        aliases=tuple(artifact.aliases),
        created_at=ledger.parse_time(artifact.created_at),
    )


def _add_uses(version: Version, artifact: Artifact) -> Version:
    runs = artifact.used_by()
    return replace(
        version,
        linked=bool(artifact.linked_artifacts),
        in_use=any(run.state in UNDER_WAY for run in runs),
        made_with_it=frozenset(str(logged.id) for run in runs for logged in run.logged_artifacts()),
    )


def delete(api: wandb.Api, version: Version) -> None:
    """Delete a version. W&B refuses if someone has given it an alias in the meantime."""
    artifact = api.artifact(version.name)
    if artifact.aliases:
        artifact.aliases = [alias for alias in artifact.aliases if alias not in version.aliases]
        artifact.save()
    artifact.delete(delete_aliases=False)
