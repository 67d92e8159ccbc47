"""
Read versions, their files and ledgers from the server's store, as modelgate reads them from W&B: a file counts only if
its bytes match the manifest. This user sees only what they may open.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelgate.promotion import evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence
from modelgate.promotion.ledger import Entry
from modelgate.text import shorten_name
from modelgate_server.store import artifact_collections, artifacts, entries, memberships, projects
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.memberships import Membership
from modelgate_server.web import filters, links
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, get_place


@dataclass(frozen=True)
class Version:
    """A version of a collection, as this user may see it."""

    name: str  # pinned: entity/project/collection:vN
    place: Place
    kind: str
    collection: Collection
    membership: Membership
    artifact: Artifact

    @property
    def short(self) -> str:
        return shorten_name(self.name)

    @property
    def url(self) -> str:
        return self.place.build_version_url(self.kind, self.collection.name, self.membership.version_index)

    @property
    def below(self) -> str:
        """The address that its files are below."""
        return self.place.build_plain_version_url(self.kind, self.collection.name, self.membership.version_index)


def find_collection(visit: Visit, name: str) -> tuple[Collection, Place] | None:
    """Return the collection `entity/project/name`; None if there is none whose files this user may have."""
    entity, _, rest = name.partition("/")
    project_name, _, short = rest.partition("/")
    project = projects.find_readable(visit.db, visit.user, entity, project_name)
    if project is None or projects.find_role(visit.db, visit.user, project) not in projects.READERS:
        return None
    known = artifact_collections.find(visit.db, project.id, short)
    return (known, get_place(visit.db, project)) if known else None


def find_version(visit: Visit, name: str) -> Version | None:
    """Return the version `entity/project/name:alias`, or `:vN`."""
    home, _, alias = name.partition(":")
    if (known := find_collection(visit, home)) is None:
        return None
    membership = memberships.resolve(visit.db, known[0].id, alias)
    return _build_version(visit, home, *known, membership) if membership else None


def find_named(visit: Visit, target: Mapping[str, str]) -> Version | None:
    """Return the version that an entry of the ledger names; None if another one has its name by now."""
    known = find_version(visit, target["name"])
    return known if known and known.artifact.digest == target["digest"] else None


def list_versions(visit: Visit, name: str) -> list[Version]:
    """Return all versions of the collection `entity/project/name`, newest first."""
    if (known := find_collection(visit, name)) is None:
        return []
    return [
        _build_version(visit, name, *known, membership)
        for membership in memberships.list_by_collection(visit.db, known[0].id)
    ]


def _build_version(visit: Visit, home: str, known: Collection, place: Place, membership: Membership) -> Version:
    return Version(
        name=f"{home}:v{membership.version_index}",
        place=place,
        kind=links.get_type_name(visit, known),
        collection=known,
        membership=membership,
        artifact=artifacts.get_artifact(visit.db, membership.artifact_id),
    )


def list_aliases(visit: Visit, known: Version) -> list[str]:
    return links.list_aliases(visit, known.membership)


def read_metadata(known: Version) -> dict[str, Any]:
    return filters.parse_object(known.artifact.metadata)


def read_file(visit: Visit, known: Version, path: str, max_bytes: int) -> bytes | None:
    """Return the bytes of a file of a version; None if it is missing, damaged, a reference, or too large."""
    entry = entries.find(visit.db, known.artifact.id, path)
    md5 = entry.md5 if entry else None
    size = visit.blobs.get_size(md5) if md5 else None
    if md5 is None or size is None or size > max_bytes:
        return None
    content = visit.blobs.read(md5)
    return content if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5 else None


def read_entries(visit: Visit, names: Sequence[str]) -> list[Entry]:
    """
    Return the ledger, oldest first, void entries marked; what took effect `verify` says. names: `entity/project/name`.
    """
    return ledger.chain(ledger.join(*(_read_entries(visit, name) for name in names)))


def _read_entries(visit: Visit, name: str) -> list[Entry]:
    return [
        ledger.parse_entry(known.name, read_file(visit, known, ledger.FILE, ledger.MAX_BYTES), read_metadata(known))
        for known in list_versions(visit, name)
    ]


def has_project(visit: Visit, entity: str, name: str) -> bool:
    return projects.find_readable(visit.db, visit.user, entity, name) is not None


def read_evidence(visit: Visit, known: Version) -> Evidence | None:
    """Return the evidence of an evaluation's version; None if it cannot be read."""
    content = read_file(visit, known, form.FILE, evaluation.MAX_BYTES[form.FILE])
    try:
        return form.parse(content) if content is not None else None
    except ValueError:
        return None


def report(visit: Visit, known: Version) -> str | None:
    """Return the report of an evaluation's version."""
    content = read_file(visit, known, evaluation.REPORT, evaluation.MAX_BYTES[evaluation.REPORT])
    return content.decode(errors="replace") if content is not None else None
