"""Who is who in the tests of access, and how a version of theirs is made."""

import hashlib
from dataclasses import dataclass

from tests.server.wire import UPSERT_BUCKET, Upload, Wire
from tests.serving import Server

ORGANIZATION, TEAM, REGISTRY = "local-org", "crew", "wandb-registry-shared"
NAMES = ("ann", "bob", "eve", "vic", "rex")


SECRET = {"secret.txt": b"the bytes that only the team may have"}
MD5 = hashlib.md5(SECRET["secret.txt"]).hexdigest()  # noqa: S324


@dataclass(frozen=True)
class People:
    """ann is admin of the team, bob a member, vic a viewer, rex a restricted viewer of the registry, eve a stranger."""

    server: Server
    wires: dict[str, Wire]

    def __getitem__(self, name: str) -> Wire:
        return self.wires[name]


def version(wire: Wire, entity: str, project: str, contents: dict[str, bytes], name: str = "data") -> str:
    """A committed version of these files; returns its id."""
    wire.data(UPSERT_BUCKET, entity=entity, project=project, name="run-1")
    upload = Upload(wire, project, contents, name)
    artifact = upload.create(entityName=entity, enableDigestDeduplication=False)
    upload.put_files(artifact)
    upload.put_manifest(artifact)
    answer = upload.commit(artifact)
    assert answer.status_code == 200, answer.text
    return artifact
