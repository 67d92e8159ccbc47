"""
Create a version: it is announced (PENDING), its blobs and manifest arrive, and then it is committed.

A version is complete or does not exist: the commit checks that every blob has arrived, makes them durable, and only
then gives the version its number. The client's half is in `core/pkg/artifacts` of https://github.com/wandb/wandb.
"""

import base64
import binascii
import hashlib
import json
import sqlite3
from collections.abc import Collection as Collection_
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgate_server.errors import Invalid
from modelgate_server.store import (
    aliases,
    artifact_collections,
    artifacts,
    entries,
    lineage,
    names,
    projects,
    protection,
    references,
    tags,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import format_now, get, insert, select_all, select_one, update
from modelgate_server.store.documents import parse_object
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.store.tags import Tag

KINDS = ("FULL", "INCREMENTAL", "PATCH")
DIGEST_HEADER = b"wandb-artifact-manifest-v1\n"
# A reference may have any size up to an exabyte.
MAX_ENTRY_BYTES = 10**18
# SQLite takes at most 999 values in one statement by default.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class Manifest:
    TABLE: ClassVar[str] = "manifests"
    id: int
    artifact_id: int
    base_artifact_id: int | None
    kind: str
    digest: str
    md5: str | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client tells about a version before it sends the contents."""

    type_name: str
    collection_name: str
    digest: str
    run: Run | None
    description: str | None
    metadata: str | None
    aliases: list[str]
    tags: list[str]
    ttl_seconds: int | None
    history_step: int | None
    deduplicate: bool
    distributed_id: str | None
    client_id: str | None
    sequence_client_id: str | None


def decode_md5(text: str) -> str:
    """Return the hex digits of an MD5 in the wire's base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise Invalid(f'"{text[:64]}" is not an MD5 in base64')
    return raw.hex()


# --- announcing ---------------------------------------------------------------------------------------------------


def announce(db: sqlite3.Connection, project: Project, user: User, draft: Draft) -> Artifact:
    """
    Return the PENDING version to upload to, or an existing one: from an earlier try of the same client, with the same
    content in the same collection, or from the other writers of a distributed version.
    """
    if retried := _find_retried(db, project, draft):
        return retried
    # Aliases are assigned at the commit. One that the user may not set is refused before anything is uploaded.
    protection.require(db, user, project.id, map(names.check_alias, draft.aliases), "add this alias to this artifact")
    sequence = artifact_collections.ensure(db, project, draft.collection_name, draft.type_name, kind="sequence")
    if draft.sequence_client_id:
        row = (draft.sequence_client_id, sequence.id)
        db.execute("INSERT OR IGNORE INTO sequence_clients VALUES (?, ?)", row)
    artifact = _find_shared(db, sequence, draft) or _find_same_content(db, user, sequence, draft)
    if artifact is None:
        artifact = _insert(db, sequence, user, draft)
    if draft.client_id:
        # An id that belongs to another version keeps its meaning.
        db.execute("INSERT OR IGNORE INTO artifact_clients VALUES (?, ?)", (draft.client_id, artifact.id))
    if draft.run is not None:
        lineage.record(db, draft.run.id, artifact.id, "output")
    tags.add(db, Tag, artifact.id, draft.tags)
    return artifact


def _find_retried(db: sqlite3.Connection, project: Project, draft: Draft) -> Artifact | None:
    """
    Return the version that this client announced before. If its id names another version, it is as good as a new one:
    forks of one process may draw the same id (SDK 0.24), and none may lose its version.
    """
    artifact = artifacts.find_by_client_id(db, draft.client_id) if draft.client_id else None
    if artifact is None:
        return None
    sequence = artifact_collections.get_collection(db, artifact.sequence_id)
    announced = (sequence.project_id, sequence.name, artifact.digest)
    return artifact if announced == (project.id, draft.collection_name, draft.digest) else None


def _find_shared(db: sqlite3.Connection, sequence: Collection, draft: Draft) -> Artifact | None:
    """Return the version that several writers fill together."""
    if not draft.distributed_id:
        return None
    where = "WHERE sequence_id = ? AND distributed_id = ? AND state = 'PENDING'"
    return next(iter(select_all(db, Artifact, where, sequence.id, draft.distributed_id)), None)


def _find_same_content(db: sqlite3.Connection, user: User, sequence: Collection, draft: Draft) -> Artifact | None:
    """Return the committed version with the same digest. The given aliases move to it at once."""
    if not draft.deduplicate:
        return None
    artifact = _find_by_content(db, sequence, draft)
    if artifact is not None:
        for alias in draft.aliases:
            aliases.add(db, user, sequence.id, artifact.id, alias)
    return artifact


def _find_by_content(db: sqlite3.Connection, sequence: Collection, draft: Draft) -> Artifact | None:
    where = "WHERE sequence_id = ? AND digest = ? AND state = 'COMMITTED' ORDER BY version_index DESC LIMIT 1"
    return select_one(db, Artifact, where, sequence.id, draft.digest)


def is_sound(db: sqlite3.Connection, blobs: Blobs, project: Project | None, draft: Draft) -> bool:
    """
    Return whether the stored version with this draft's content is still intact, as far as a few seconds can show. If
    not, the client must log it again, which repairs it. This reads files, so do not call it in a transaction.
    """
    collection = artifact_collections.find(db, project.id, draft.collection_name) if project else None
    same = _find_by_content(db, collection, draft) if collection else None
    if same is None:
        return True
    md5s = [entry.md5 for entry in entries.list_by_artifact(db, same.id) if entry.md5] + [str(same.manifest_md5)]
    return not blobs.find_unsound(md5s)


def _insert(db: sqlite3.Connection, sequence: Collection, user: User, draft: Draft) -> Artifact:
    created = format_now()
    artifact_id = insert(
        db,
        "artifacts",
        sequence_id=sequence.id,
        state="PENDING",
        digest=draft.digest,
        description=draft.description,
        metadata=artifacts.check_metadata(draft.metadata),
        ttl_seconds=draft.ttl_seconds,
        history_step=draft.history_step,
        pending_aliases=json.dumps(draft.aliases),
        distributed_id=draft.distributed_id,
        run_id=draft.run.id if draft.run else None,
        user_id=user.id,
        created_at=created,
        updated_at=created,
    )
    return artifacts.get_artifact(db, artifact_id)


def register_blobs(
    db: sqlite3.Connection,
    blobs: Blobs,
    wanted: Sequence[tuple[int, str]],
    entitled: Collection_[tuple[int, str]],
    unsound: Collection_[str] = (),
) -> list[tuple[int, bool]]:
    """
    Return, for each (artifact id, md5), the artifact that the blob was first announced for, and whether the version may
    use bytes that are stored.

    The client does not send what is stored, so this must be right, and the bytes must stay until the client commits.
    `entitled` are those that the version may contain. `unsound` are damaged blobs: they are sent again.
    """
    md5s = list(dict.fromkeys(md5 for _, md5 in wanted))
    db.executemany(
        "INSERT INTO blobs (md5, birth_artifact_id) VALUES (?, ?) ON CONFLICT DO UPDATE"
        " SET birth_artifact_id = excluded.birth_artifact_id WHERE birth_artifact_id IS NULL",
        [(md5, owner) for owner, md5 in wanted],
    )
    first: dict[str, int] = {}
    durable: set[str] = set()
    for md5, birth, synced in _read_blob_rows(db, md5s):
        if birth is not None:
            first[md5] = birth
        if synced:
            durable.add(md5)
    stored = {
        md5
        for md5 in durable.union(md5 for _, md5 in entitled)
        if md5 not in unsound and blobs.renew(md5) and (md5 in durable or blobs.is_right(md5))
    }
    # A gc that was killed may have left the row of a blob. The bytes that replace it are not durable yet.
    db.executemany("UPDATE blobs SET durable = 0 WHERE md5 = ?", [(md5,) for md5 in durable - stored])
    return [(first.get(md5, owner), md5 in stored and (owner, md5) in entitled) for owner, md5 in wanted]


def select_entitled(
    db: sqlite3.Connection, blobs: Blobs, user: User, wanted: Iterable[tuple[int, str]]
) -> set[tuple[int, str]]:
    """
    Return those of some (artifact id, md5) that the version may contain: the bytes came through its own addresses, or
    are in a version that the user may read. Otherwise, knowing an MD5 would be enough to get the file.

    What the user may read now is recorded, so that it still counts if that version is deleted before the client
    commits.
    """
    waiting: dict[int, set[str]] = {}
    for owner, md5 in wanted:
        waiting.setdefault(owner, set()).add(md5)
    entitled: set[tuple[int, str]] = set()
    homes: str | None = None
    for owner, md5s in waiting.items():
        noted = blobs.read_uploads(owner)
        if rest := references.select_durable(db, md5s - noted):
            homes = homes or json.dumps(projects.list_readable_ids(db, user))
            read = {md5 for md5 in rest if db.execute(_IS_READ, (md5, homes)).fetchone()}
            blobs.record_uploads(owner, read)
            noted |= read
        entitled.update((owner, md5) for md5 in md5s & noted)
    return entitled


_IS_READ = (
    "SELECT 1 FROM entries JOIN memberships USING (artifact_id) JOIN collections ON collections.id = collection_id"
    " WHERE md5 = ? AND project_id IN (SELECT value FROM json_each(?)) LIMIT 1"
)


def _read_blob_rows(db: sqlite3.Connection, md5s: list[str]) -> Iterator[tuple[str, int | None, int]]:
    """Yield (md5, birth artifact if it still exists, durable) of each blob that has been announced."""
    for start in range(0, len(md5s), CHUNK):
        chunk = md5s[start : start + CHUNK]
        marks = ", ".join("?" * len(chunk))
        birth = "(SELECT id FROM artifacts WHERE artifacts.id = birth_artifact_id)"
        sql = f"SELECT md5, {birth}, durable FROM blobs WHERE md5 IN ({marks})"  # noqa: S608  only question marks
        yield from db.execute(sql, chunk).fetchall()


# --- manifests ----------------------------------------------------------------------------------------------------


def create(db: sqlite3.Connection, artifact: Artifact, *, kind: str, digest: str, base_id: int | None) -> Manifest:
    if kind not in KINDS:
        raise Invalid(f'manifest type "{kind}" is not one of {", ".join(KINDS)}')
    if artifact.state != "PENDING":
        raise Invalid("the version is committed: its manifest cannot be written again")
    manifest_id = insert(db, "manifests", artifact_id=artifact.id, base_artifact_id=base_id, kind=kind, digest=digest)
    return get_manifest(db, manifest_id)


def get_manifest(db: sqlite3.Connection, manifest_id: int) -> Manifest:
    return get(db, Manifest, manifest_id)


def find(db: sqlite3.Connection, manifest_id: int) -> Manifest | None:
    return select_one(db, Manifest, "WHERE id = ?", manifest_id)


def edit(db: sqlite3.Connection, target: Manifest, *, digest: str | None, base_id: int | None) -> Manifest:
    update(
        db,
        "manifests",
        target.id,
        digest=target.digest if digest is None else digest,
        base_artifact_id=target.base_artifact_id if base_id is None else base_id,
    )
    return get_manifest(db, target.id)


def mark_received(db: sqlite3.Connection, manifest_id: int, md5: str) -> None:
    """Record that a manifest has arrived. Its bytes must be durable before this is committed."""
    update(db, "manifests", manifest_id, md5=md5)


# --- committing ---------------------------------------------------------------------------------------------------


Rows = list[tuple[int, str, str, str | None, str | None, int]]


@dataclass(frozen=True, slots=True)
class Ready:
    """
    A version that can be committed, because all of its bytes are stored and durable: its files as rows of `entries`.
    """

    manifest_md5: str
    digest: str
    rows: Rows
    blobs: set[str]


def commit(db: sqlite3.Connection, blobs: Blobs, user: User, artifact: Artifact) -> Artifact:
    """Make a complete version visible. Repeating it changes nothing. Raise Invalid if anything is missing."""
    ready = prepare(db, blobs, user, artifact)
    if ready is None:
        return artifact
    write_entries(db, artifact.id, ready.rows, first=True)
    return finish(db, user, artifact, ready)


def sum_sizes(db: sqlite3.Connection, blobs: Blobs, artifact: Artifact) -> int:
    """Return the size of the manifests that a commit has to read."""
    arrived = select_all(db, Manifest, "WHERE artifact_id = ? AND md5 IS NOT NULL", artifact.id)
    return sum(blobs.get_size(str(manifest.md5)) or 0 for manifest in arrived)


def prepare(db: sqlite3.Connection, blobs: Blobs, user: User, artifact: Artifact) -> Ready | None:
    """
    Do the slow part of a commit: read and compare the manifest, check the bytes and make them durable. This changes no
    row and needs no transaction. Return None for a version that is already committed.
    """
    if artifact.state == "COMMITTED":
        return None
    if artifact.state == "DELETED":
        raise Invalid("the version was deleted and cannot be committed")
    manifest_md5, contents, merged = _read_final_contents(db, blobs, artifact)
    rows = [_build_row(artifact.id, path, entry) for path, entry in contents.items()]
    wanted = {md5 for *_, md5, _ref, _size in rows if md5} | {manifest_md5}
    durable = {md5 for md5, _birth, synced in _read_blob_rows(db, list(wanted)) if synced}
    mine = select_entitled(db, blobs, user, [(artifact.id, md5) for *_, md5, _ref, _size in rows if md5])
    _check_blobs(blobs, rows, durable, {md5 for _, md5 in mine})
    digest = compute_digest(contents)
    if not merged and digest != artifact.digest:
        raise Invalid(
            f"the manifest's digest is {digest}, but {artifact.digest} was announced: the version was not committed"
        )
    # Blobs are synced before the row that says so is committed. Those that an earlier commit has synced are skipped.
    fresh = {md5 for md5 in wanted if md5 not in durable or blobs.is_unsynced(md5)}
    blobs.make_durable(fresh)
    return Ready(manifest_md5, digest, rows, fresh)


def write_entries(db: sqlite3.Connection, artifact_id: int, rows: Rows, *, first: bool) -> None:
    """Write some files of a version that is not visible yet. With `first`, remove what an earlier try has left."""
    if first:
        db.execute("DELETE FROM entries WHERE artifact_id = ?", (artifact_id,))
    db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", rows)


def finish(db: sqlite3.Connection, user: User, artifact: Artifact, ready: Ready) -> Artifact:
    """Once all files are written, give the version its number and its aliases, and make it visible."""
    if artifacts.get_artifact(db, artifact.id).state != "PENDING":
        raise Invalid("the version was committed or deleted in the meantime")
    references.remember(db, ready.blobs)
    sequence = artifact_collections.get_collection(db, artifact.sequence_id)
    membership = artifacts.add_to(db, sequence, artifact.id)
    for alias in json.loads(artifact.pending_aliases):
        aliases.add(db, user, sequence.id, artifact.id, alias)
    update(
        db,
        "artifacts",
        artifact.id,
        state="COMMITTED",
        digest=ready.digest,
        version_index=membership.version_index,
        size=sum(row[-1] for row in ready.rows),
        file_count=len(ready.rows),
        manifest_md5=ready.manifest_md5,
        pending_aliases="[]",
        updated_at=format_now(),
    )
    return artifacts.get_artifact(db, artifact.id)


def compute_digest(contents: dict[str, Any]) -> str:
    """Return the digest of a version: hex MD5 over its sorted paths and their digests."""
    digest = hashlib.md5(DIGEST_HEADER, usedforsecurity=False)
    for path in sorted(contents):
        digest.update(f"{path}:{contents[path]['digest']}\n".encode())
    return digest.hexdigest()


def _read_final_contents(db: sqlite3.Connection, blobs: Blobs, artifact: Artifact) -> tuple[str, dict[str, Any], bool]:
    """Return the MD5 of the manifest to keep, its contents, and whether the server had to merge it from several."""
    arrived = select_all(db, Manifest, "WHERE artifact_id = ? AND md5 IS NOT NULL ORDER BY id", artifact.id)
    if not arrived:
        raise Invalid("no manifest has arrived: the version was not committed")
    last = arrived[-1]
    if last.kind == "FULL":
        return str(last.md5), _check_contents(_read_document(blobs, last.md5)), False
    parts = [last] if last.kind == "INCREMENTAL" else [part for part in arrived if part.kind == "PATCH"]
    merged = _read_document(blobs, last.md5)
    contents = _read_base_contents(db, blobs, last)
    for part in parts:
        contents |= _check_contents(_read_document(blobs, part.md5))
    merged["contents"] = dict(sorted(contents.items()))
    return blobs.write(json.dumps(merged).encode()), contents, True


def _read_base_contents(db: sqlite3.Connection, blobs: Blobs, manifest: Manifest) -> dict[str, Any]:
    """Return the contents that an incremental version starts from."""
    base = artifacts.find(db, manifest.base_artifact_id) if manifest.base_artifact_id else None
    if manifest.kind != "INCREMENTAL" or base is None or base.manifest_md5 is None:
        return {}
    return _check_contents(_read_document(blobs, base.manifest_md5))


def _read_document(blobs: Blobs, md5: str | None) -> dict[str, Any]:
    """Read a manifest from the disk and check it: after a power failure, the row may exist without the bytes."""
    data = blobs.read(str(md5)) if blobs.get_size(str(md5)) is not None else b""
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        raise Invalid("the manifest has not arrived: the version was not committed")
    return parse_object(data, "the manifest")


def _check_contents(document: dict[str, Any]) -> dict[str, Any]:
    contents = document.get("contents")
    if document.get("version") != 1 or not isinstance(contents, dict):
        raise Invalid('the manifest must have version 1 and an object "contents"')
    for path, entry in contents.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("digest"), str):
            raise Invalid(f'the manifest\'s entry "{path[:80]}" has no digest')
    return contents


def _build_row(artifact_id: int, path: str, entry: dict[str, Any]) -> tuple[int, str, str, str | None, str | None, int]:
    """Return a manifest's entry as a row of `entries`."""
    ref, size = entry.get("ref"), entry.get("size") or 0
    if not isinstance(size, int) or not 0 <= size <= MAX_ENTRY_BYTES or not (ref is None or isinstance(ref, str)):
        raise Invalid(f'the manifest\'s entry "{path[:80]}" has an invalid size or reference')
    md5 = None if ref is not None else decode_md5(entry["digest"])
    return artifact_id, names.check_entry_path(path), entry["digest"], md5, ref, size


def _check_blobs(
    blobs: Blobs, rows: list[tuple[int, str, str, str | None, str | None, int]], durable: set[str], mine: set[str]
) -> None:
    for _, path, _, md5, _, size in rows:
        if md5 is None:
            continue
        stored = blobs.get_size(md5)
        if stored is None or md5 not in mine or not (md5 in durable or blobs.is_right(md5)):
            raise Invalid(f'the file "{path}" has not arrived: the version was not committed')
        if stored != size:
            raise Invalid(
                f'the file "{path}" has {stored} bytes, but its manifest says {size}: the version was not committed'
            )
