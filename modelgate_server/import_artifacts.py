"""Import the collections of an export, their versions and the aliases of these."""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelgate_server.api.shapes import encode_id
from modelgate_server.errors import StartError
from modelgate_server.exporting import REFERENCE
from modelgate_server.import_source import Source, find_user_id
from modelgate_server.store import (
    aliases,
    artifact_collections,
    artifacts,
    manifests,
    memberships,
    registry,
    runs,
    tags,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database, update
from modelgate_server.store.manifests import Draft
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.tags import CollectionTag


class ArtifactImport:
    """Import each version in its own transaction, with its bytes durable before that."""

    def __init__(self, database: Database, blobs: Blobs, source: Source) -> None:
        self.database = database
        self.blobs = blobs
        self.source = source
        self.made = self.there = 0

    def import_collection(self, db: sqlite3.Connection, project: Project, document: dict[str, Any]) -> None:
        if artifact_collections.find_type(db, project.id, document["type"]) is None and not project.allow_all_types:
            registry.add_types(db, project, [document["type"]])
        collection = artifact_collections.ensure(
            db, project, document["name"], document["type"], kind=document["kind"], description=document["description"]
        )
        number = max(collection.next_version, int(document["next_version"]))
        update(db, "collections", collection.id, next_version=number, created_at=document["created_at"])
        tags.add(db, CollectionTag, collection.id, document["tags"])
        for client in document["client_ids"]:
            db.execute("INSERT OR IGNORE INTO sequence_clients VALUES (?, ?)", (client, collection.id))

    def import_version(self, project: Project, user: User, folder: str, document: dict[str, Any]) -> None:
        home = self.source.read_collection(folder)
        with self.database.read() as db:
            artifact = artifacts.find_by_number(db, project.id, home["name"], document["number"])
            if artifact is not None and artifact.digest != document["digest"]:
                raise StartError(
                    f"{self.source.target}/{home['name']} has another v{document['number']}",
                    "import into another project with --to ENTITY/PROJECT",
                )
        # Even if the version exists: its bytes may be lost.
        self.source.copy_files(self.blobs, folder, document["files"])
        if artifact is not None:
            self.there += 1
            return
        with self.database.write() as db:
            made = self._commit(db, project, user, home, folder, document)
        self.blobs.forget(made)
        self.made += 1

    def _commit(
        self,
        db: sqlite3.Connection,
        project: Project,
        user: User,
        home: dict[str, Any],
        folder: str,
        document: dict[str, Any],
    ) -> int:
        """Create the version as a client would, with its old number; return its id."""
        artifact = manifests.announce(db, project, user, _read_draft(home, document))
        manifest = manifests.create(db, artifact, kind="FULL", digest="", base_id=None)
        content = self._translate_manifest(db, folder, document, artifact.id)
        manifests.mark_received(db, manifest.id, self.blobs.write(content))
        uploaded = [entry["md5"] for entry in document["files"] if entry["md5"] is not None]
        self.blobs.record_uploads(artifact.id, uploaded)
        with set_next_number(db, artifact.sequence_id, int(document["number"])):
            manifests.commit(db, self.blobs, user, artifact)
        maker = runs.find(db, project.id, document["run"]) if document["run"] else None
        update(
            db,
            "artifacts",
            artifact.id,
            created_at=document["created_at"],
            updated_at=document["updated_at"],
            run_id=maker.id if maker else None,
            user_id=find_user_id(db, document["user"]),
        )
        for client in document["client_ids"]:
            db.execute("INSERT OR IGNORE INTO artifact_clients VALUES (?, ?)", (client, artifact.id))
        return artifact.id

    def _translate_manifest(
        self, db: sqlite3.Connection, folder: str, document: dict[str, Any], artifact_id: int
    ) -> bytes:
        """Return the version's manifest, with the ids of the other server replaced by those of this one."""
        manifest = self.source.read_document(f"{folder}/manifest.json")
        for entry in manifest["contents"].values():
            if "birthArtifactID" in entry:
                entry["birthArtifactID"] = encode_id("Artifact", artifact_id)
            match = REFERENCE.match(entry.get("ref") or "")
            if match:
                reference = document["refers_to"].get(match[1])
                artifact = self.source.find_version(db, reference) if reference else None
                if artifact is None:
                    what = reference["version"] if reference else entry["ref"]
                    self.source.not_carried.append(f"{folder} refers to {what}, which does not exist here")
                else:
                    own = base64.b64decode(encode_id("Artifact", artifact.id)).hex()
                    entry["ref"] = entry["ref"].replace(match[1], own, 1)
        return json.dumps(manifest).encode()

    def find_latest(
        self, db: sqlite3.Connection, project: Project, collections: list[dict[str, Any]]
    ) -> dict[str, Membership]:
        """Return the `latest` version per collection, if this folder has newer ones than the export."""
        held = {}
        for document in collections:
            collection = artifact_collections.find(db, project.id, document["name"])
            latest = memberships.resolve(db, collection.id, LATEST) if collection else None
            if latest is not None and latest.version_index >= document["next_version"]:
                held[document["name"]] = latest
        return held

    def assign_aliases(
        self,
        db: sqlite3.Connection,
        project: Project,
        versions: list[tuple[str, dict[str, Any]]],
        held: dict[str, Membership],
    ) -> None:
        for folder, document in versions:
            name = self.source.read_collection(folder)["name"]
            artifact = artifacts.find_by_number(db, project.id, name, document["number"])
            if artifact is None or artifact.state != "COMMITTED":
                self.source.not_carried.append(f"{name}:v{document['number']}: it was deleted here")
                continue
            for alias in document["aliases"]:
                aliases.assign(db, artifact.sequence_id, artifact.id, alias)
        for latest in held.values():
            aliases.assign(db, latest.collection_id, latest.artifact_id, LATEST)


@contextmanager
def set_next_number(db: sqlite3.Connection, collection_id: int, number: int) -> Iterator[None]:
    """Give the next version of a collection this number; after that, the count continues as before."""
    before = artifact_collections.get_collection(db, collection_id).next_version
    update(db, "collections", collection_id, next_version=number)
    yield
    update(db, "collections", collection_id, next_version=max(before, number + 1))


def _read_draft(home: dict[str, Any], document: dict[str, Any]) -> Draft:
    """Return a version as a client would announce it. `home` is its collection."""
    return Draft(
        type_name=home["type"],
        collection_name=home["name"],
        digest=document["digest"],
        run=None,
        description=document["description"],
        metadata=json.dumps(document["metadata"]) if document["metadata"] is not None else None,
        aliases=[],
        tags=document["tags"],
        ttl_seconds=document["ttl_seconds"],
        history_step=document["history_step"],
        deduplicate=False,
        distributed_id=None,
        client_id=None,
        sequence_client_id=None,
    )
