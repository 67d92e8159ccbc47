"""Versions from texts, without any protocol."""

import base64
import hashlib
import json
import sqlite3
from dataclasses import replace
from typing import Any

from modelgate_server.store import manifests, projects, registry
from modelgate_server.store.accounts import User
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.manifests import Draft
from modelgate_server.store.projects import Project


class Maker:
    """Makes versions of `name` from texts."""

    def __init__(self, db: sqlite3.Connection, blobs: Blobs, user: User, project: Project, name: str) -> None:
        self.db, self.blobs, self.user, self.project, self.name = db, blobs, user, project, name

    def contents(self, texts: dict[str, str]) -> dict[str, Any]:
        digests = {path: hashlib.md5(text.encode()).digest() for path, text in texts.items()}  # noqa: S324
        return {
            path: {"digest": base64.b64encode(digest).decode(), "size": len(texts[path].encode())}
            for path, digest in digests.items()
        }

    def draft(self, texts: dict[str, str], **changes: Any) -> Draft:
        plain = Draft(
            type_name="model",
            collection_name=self.name,
            digest=manifests.compute_digest(self.contents(texts)),
            run=None,
            description=None,
            metadata=None,
            aliases=[],
            tags=[],
            ttl_seconds=None,
            history_step=None,
            deduplicate=True,
            distributed_id=None,
            client_id=None,
            sequence_client_id=None,
        )
        return replace(plain, **changes)

    def announce(self, texts: dict[str, str], **changes: Any) -> Artifact:
        return manifests.announce(self.db, self.project, self.user, self.draft(texts, **changes))

    def send(self, artifact: Artifact, texts: dict[str, str], kind: str = "FULL", base: int | None = None) -> None:
        for text in texts.values():
            self.blobs.record_uploads(artifact.id, [self.blobs.write(text.encode())])
        made = manifests.create(self.db, artifact, kind=kind, digest="", base_id=base)
        document = {"version": 1, "contents": self.contents(texts)}
        manifests.mark_received(self.db, made.id, self.blobs.write(json.dumps(document).encode()))

    def log(self, texts: dict[str, str], **changes: Any) -> Artifact:
        found = self.announce(texts, **changes)
        if found.state == "PENDING":
            self.send(found, texts)
        return manifests.commit(self.db, self.blobs, self.user, found)


def registry_of(db: sqlite3.Connection) -> Project:
    found = projects.find_by_path(db, f"local-org/{registry.MODEL_REGISTRY}")
    assert found is not None
    return found
