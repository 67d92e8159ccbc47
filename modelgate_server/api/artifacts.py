"""Serve versions of artifacts, as the SDK writes, changes and reads them. artifact_collections.py finds them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ariadne import MutationType, ObjectType, QueryType, UnionType

from modelgate_server.api import runs as run_api
from modelgate_server.api.artifact_collections import file_page, named_collection, visible_project
from modelgate_server.api.shapes import (
    Call,
    File,
    Info,
    blob_path,
    manifest_blob_path,
    manifest_path,
    node_id,
    number_of,
    page,
    storage_path,
    upload_path,
    whole,
)
from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.settings import SLICE
from modelgate_server.store import artifacts, manifests, names, projects, runs
from modelgate_server.store.accounts import User
from modelgate_server.store.artifacts import Alias, Artifact, ArtifactType, Collection, Tag
from modelgate_server.store.filters import Order
from modelgate_server.store.manifests import Draft, Manifest
from modelgate_server.store.runs import Run

# The places where the SDK may ask to store files: all of them mean this server's folder.
REGIONS = (None, "", "default", "minio-local")
# The SDK's number for "never expires".
NO_TTL = -2

query = QueryType()
mutation = MutationType()
run = ObjectType("Run")
artifact = ObjectType("Artifact")
creator = UnionType("ArtifactCreator")
manifest = ObjectType("ArtifactManifest")
TYPES = (query, mutation, run, artifact, creator, manifest)


# --- permissions -----------------------------------------------------------------------------------------------------


def readable(call: Call, text: str) -> Artifact:
    """Return the version of an id, if the user may see a project that it is in."""
    found = _seen(call, number_of("Artifact", text))
    if found is not None:
        return found
    raise NotFound(f'artifact "{text[:80]}" not found')


def usable(call: Call, text: str) -> Artifact:
    """Return the version of an id, if the user may read its files."""
    found = readable(call, text)
    projects.require_reader(_roles(call, found))
    return found


def writable(call: Call, text: str) -> Artifact:
    """Return the version of an id, if the user may write to the project that it was logged to."""
    found = readable(call, text)
    if _source_role(call, found) not in projects.WRITERS:
        raise Forbidden("you may not change this artifact: you cannot write to its project")
    return found


def _seen(call: Call, number: int) -> Artifact | None:
    found = artifacts.find_artifact(call.db, number)
    return found if found is not None and visible(call, found) else None


def visible(call: Call, artifact: Artifact) -> bool:
    return bool(_roles(call, artifact))


def _source_role(call: Call, artifact: Artifact) -> str | None:
    source = artifacts.collection(call.db, artifact.sequence_id)
    return projects.role(call.db, call.user, projects.project(call.db, source.project_id))


def _roles(call: Call, artifact: Artifact) -> set[str]:
    """Return the user's role in the project that it was logged to and in those that it is linked into."""
    places = {artifact.sequence_id, *(there.collection_id for there in artifacts.memberships(call.db, artifact.id))}
    homes = {artifacts.collection(call.db, place).project_id for place in places}
    roles = (projects.role(call.db, call.user, projects.project(call.db, home)) for home in homes)
    return {role for role in roles if role is not None}


# --- writing a version ----------------------------------------------------------------------------------------------


@mutation.field("createArtifact")
def create_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    """Before the transaction, check that the version with the same content, if there is one, is still intact."""
    call = info.context
    if input.get("storage_region") not in REGIONS:
        raise Invalid(f'storage region "{input["storage_region"]}" is not available here')
    there = projects.readable(call.db, call.user, input["entity_name"], input["project_name"])
    draft = _draft(input)
    if draft.deduplicate and not manifests.is_sound(call.db, call.blobs, there, draft):
        draft = replace(draft, deduplicate=False)
    with call.database.write() as db:
        home = projects.ensure(db, call.user, input["entity_name"], input["project_name"])
        if input.get("run_name"):
            draft = replace(draft, run=runs.require(db, home, input["run_name"]))
        return {"artifact": manifests.announce(db, home, call.user, draft)}


def _draft(input: dict[str, Any]) -> Draft:
    name = input.get("artifact_collection_name") or next(iter(input.get("artifact_collection_names") or []), "")
    return Draft(
        type_name=input["artifact_type_name"],
        collection_name=name,
        digest=input["digest"],
        run=None,
        description=input.get("description"),
        metadata=input.get("metadata"),
        aliases=[one["alias"] for one in input.get("aliases") or []],
        tags=[one["tag_name"] for one in input.get("tags") or []],
        ttl_seconds=input.get("ttl_duration_seconds"),
        history_step=input.get("history_step"),
        deduplicate=bool(input.get("enable_digest_deduplication")),
        distributed_id=input.get("distributed_id") or None,
        client_id=input.get("client_id") or None,
        sequence_client_id=input.get("sequence_client_id") or None,
    )


@mutation.field("createArtifactManifest")
def create_manifest(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Manifest]:
    call = info.context
    made = manifests.create(
        call.db,
        writable(call, input["artifact_id"]),
        kind=input.get("type") or "FULL",
        digest=input["digest"],
        base_id=_base_id(call, input),
    )
    return {"artifact_manifest": made}


@mutation.field("updateArtifactManifest")
def update_manifest(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Manifest]:
    call = info.context
    found = manifests.find(call.db, number_of("ArtifactManifest", input["artifact_manifest_id"]))
    if found is None or _seen(call, found.artifact_id) is None:
        raise NotFound(f'manifest "{input["artifact_manifest_id"][:80]}" not found')
    writable(call, node_id("Artifact", found.artifact_id))
    changed = manifests.edit(call.db, found, digest=input.get("digest"), base_id=_base_id(call, input))
    return {"artifact_manifest": changed}


def _base_id(call: Call, input: dict[str, Any]) -> int | None:
    """Return the version that an incremental one starts from. The new one gets its contents."""
    return usable(call, input["base_artifact_id"]).id if input.get("base_artifact_id") else None


@mutation.field("createArtifactFiles")
def create_artifact_files(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Return one edge per file, in the order of the request, without an upload address if the bytes are already
    here.
    """
    call = info.context
    specs = input["artifact_files"]
    owners = {text: writable(call, text) for text in {spec["artifact_id"] for spec in specs}}
    for spec in specs:
        names.entry_path(spec["name"])  # refused before the upload, not after it by the commit
    wanted = [(owners[spec["artifact_id"]].id, manifests.md5_of_base64(spec["md5"])) for spec in specs]
    unsound = call.blobs.unsound(md5 for _, md5 in wanted)
    # A user must not learn whether someone else has the same bytes, so the client sends them again.
    mine = manifests.entitled(call.db, call.blobs, call.user, wanted)
    with call.database.write() as db:
        born = manifests.births(db, call.blobs, wanted, unsound)
    seen = {birth: found for birth in {birth for birth, _ in born} if (found := _seen(call, birth))}
    nodes = []
    for spec, (owner, md5), (birth, there) in zip(specs, wanted, born, strict=True):
        path, here = blob_path(md5), there and (owner, md5) in mine
        nodes.append(
            File(
                id=f"{node_id('ArtifactFile', owner)}:{spec['name']}",
                name=spec["name"],
                address=call.addresses.download(path) if here else None,
                upload_url=None if here else call.addresses.upload(upload_path(owner, md5)),
                upload_headers=[f"Content-MD5:{spec['md5']}"],
                digest=spec["md5"],
                storage_path=storage_path(md5),
                artifact=seen.get(birth, owners[spec["artifact_id"]]),
            )
        )
    return {"files": whole(nodes)}


@mutation.field("commitArtifact")
def commit_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    """
    This uses several transactions (operations.SELF_TRANSACTING): the manifest is read outside them, its files are
    written in batches, and the last one makes the version visible. If the server is killed in between, nothing is
    visible, and the next try starts again.
    """
    call = info.context
    with _one_at_a_time(input["artifact_id"]):
        found = writable(call, input["artifact_id"])
        with call.lanes.large(manifests.size(call.db, call.blobs, found)):
            ready = manifests.prepare(call.db, call.blobs, call.user, found)
            if ready is not None:
                found = _committed(call, input["artifact_id"], ready)
        call.blobs.forget(found.id)
    return {"artifact": found}


def _committed(call: Call, text: str, ready: manifests.Ready) -> Artifact:
    pieces = [ready.rows[start : start + SLICE] for start in range(0, len(ready.rows), SLICE)] or [[]]
    for number, piece in enumerate(pieces):
        with call.database.write() as db:
            found = writable(replace(call, db=db), text)
            manifests.write_entries(db, found.id, piece, first=number == 0)
            if number == len(pieces) - 1:
                found = manifests.finish(db, call.user, found, ready)
    return found


@contextmanager
def _one_at_a_time(text: str) -> Iterator[None]:
    """A client that has waited for a long time asks again: the second try waits for the first, and then finds it
    done.
    """
    with _committing_lock:
        mine, waiting = _committing.get(text, (threading.Lock(), 0))
        _committing[text] = mine, waiting + 1
    try:
        with mine:
            yield
    finally:
        with _committing_lock:
            left = _committing[text][1] - 1
            _committing[text] = mine, left
            if left == 0:
                del _committing[text]


_committing_lock = threading.Lock()
_committing: dict[str, tuple[threading.Lock, int]] = {}


@mutation.field("useArtifact")
def use_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    user_run = run_api.writable(call, input["entity_name"], input["project_name"], input["run_name"])
    found = usable(call, input["artifact_id"])
    artifacts.record(call.db, user_run.id, found.id, "input")
    return {"artifact": found}


# --- changing versions ----------------------------------------------------------------------------------------------


@mutation.field("updateArtifact")
def update_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    found = writable(call, input["artifact_id"])
    artifacts.add_tags(call.db, found.id, [one["tag_name"] for one in input.get("tags_to_add") or []])
    artifacts.remove_tags(call.db, found.id, [one["tag_name"] for one in input.get("tags_to_delete") or []])
    for one in input.get("aliases") or []:
        artifacts.add_alias(call.db, call.user, found.sequence_id, found.id, one["alias"])
    changed = artifacts.edit(
        call.db,
        found,
        description=input.get("description"),
        metadata=artifacts.checked_metadata(input.get("metadata")),
        ttl_seconds=input.get("ttl_duration_seconds"),
    )
    return {"artifact": changed}


@mutation.field("deleteArtifact")
def delete_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    found = writable(call, input["artifact_id"])
    artifacts.delete(call.db, call.user, found, with_aliases=bool(input.get("delete_aliases")))
    return {"artifact": found}


@mutation.field("addAliases")
def add_aliases(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = readable(call, input["artifact_id"])
    for one in input["aliases"]:
        artifacts.add_alias(call.db, call.user, named_collection(call, one).id, found.id, one["alias"])
    return {"success": True}


@mutation.field("deleteAliases")
def delete_aliases(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = readable(call, input["artifact_id"])
    for one in input["aliases"]:
        artifacts.remove_alias(call.db, call.user, named_collection(call, one).id, found.id, one["alias"])
    return {"success": True}


# --- finding --------------------------------------------------------------------------------------------------------


@query.field("artifact")
def resolve_artifact(_: Any, info: Info, id: str) -> Artifact | None:
    return readable(info.context, id)


@query.field("clientIDMapping")
def resolve_client_id(_: Any, info: Info, client_id: str) -> dict[str, str] | None:
    call = info.context
    found = artifacts.of_client(call.db, client_id)
    return {"server_id": node_id("Artifact", found.id)} if found and _source_role(call, found) else None


# --- a version's fields ---------------------------------------------------------------------------------------------


@artifact.field("id")
def artifact_id(artifact: Artifact, info: Info) -> str:
    return node_id("Artifact", artifact.id)


@artifact.field("artifactSequence")
def artifact_sequence(artifact: Artifact, info: Info) -> Collection:
    return artifacts.collection(info.context.db, artifact.sequence_id)


@artifact.field("artifactType")
def artifact_artifact_type(artifact: Artifact, info: Info) -> ArtifactType:
    home = artifacts.collection(info.context.db, artifact.sequence_id)
    return artifacts.artifact_type(info.context.db, home.type_id)


@artifact.field("ttlDurationSeconds")
def artifact_ttl(artifact: Artifact, info: Info) -> int:
    return NO_TTL if artifact.ttl_seconds is None or artifact.ttl_seconds <= 0 else artifact.ttl_seconds


@artifact.field("ttlIsInherited")
def artifact_ttl_is_inherited(artifact: Artifact, info: Info) -> bool:
    return artifact.ttl_seconds in (None, -1)


@artifact.field("tags")
def artifact_tags(artifact: Artifact, info: Info) -> list[Tag]:
    return artifacts.tags(info.context.db, artifact.id)


@artifact.field("digestAlgorithm")
def artifact_digest_algorithm(artifact: Artifact, info: Info) -> str:
    return "MANIFEST_MD5"


@artifact.field("commitHash")
def artifact_commit_hash(artifact: Artifact, info: Info) -> str | None:
    """Return the manifest's MD5, for users who may read the manifest."""
    return artifact.manifest_md5 if _roles(info.context, artifact) & set(projects.READERS) else None


@artifact.field("aliases")
def artifact_aliases(artifact: Artifact, info: Info) -> list[Alias]:
    call = info.context
    everything = artifacts.aliases(call.db, artifact.id)
    return [one for one in everything if visible_project(call, artifacts.collection(call.db, one.collection_id))]


@artifact.field("currentManifest")
def artifact_manifest(artifact: Artifact, info: Info) -> dict[str, Any] | None:
    """Anyone who has it has the address of each file."""
    call = info.context
    projects.require_reader(_roles(call, artifact))
    if artifact.manifest_md5 is None or artifact.state != "COMMITTED":
        return None
    number = node_id("Manifest", artifact.id)
    address = call.addresses.download(manifest_blob_path(artifact.manifest_md5))
    return {"id": number, "file": File(id=number, name="wandb_manifest.json", address=address)}


@artifact.field("files")
def artifact_files(
    artifact: Artifact,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    """For older releases; newer ones ask for those of a membership."""
    projects.require_reader(_roles(info.context, artifact))
    return file_page(info.context, artifact, names, after, first)


@artifact.field("artifactMemberships")
def artifact_memberships(artifact: Artifact, info: Info) -> dict[str, Any]:
    call = info.context
    homes = [
        there
        for there in artifacts.memberships(call.db, artifact.id)
        if visible_project(call, artifacts.collection(call.db, there.collection_id))
    ]
    return whole(homes)


@artifact.field("usedBy")
def artifact_used_by(artifact: Artifact, info: Info) -> dict[str, Any]:
    return whole([one for one in artifacts.used_by(info.context.db, artifact.id) if _visible_run(info.context, one)])


@artifact.field("createdBy")
def artifact_created_by(artifact: Artifact, info: Info) -> Run | User | None:
    """Return null for a version that no run made: then the client does not ask further."""
    maker = artifacts.created_by(info.context.db, artifact.id)
    return maker if maker is not None and _visible_run(info.context, maker) else None


def _visible_run(call: Call, run: Run) -> bool:
    return projects.role(call.db, call.user, projects.project(call.db, run.project_id)) is not None


@creator.type_resolver
def creator_type(creator: Run | User, *_: Any) -> str:
    return "Run" if isinstance(creator, Run) else "User"


@run.field("inputArtifacts")
def run_inputs(run: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    """Return the visible ones: a run may have used versions that not everyone in its project may see."""
    call = info.context
    used = artifacts.of_run(call.db, run.id, "input")
    return page([one for one in used if _roles(call, one)], after, first, Order(lambda row: [row.id]))


@run.field("outputArtifacts")
def run_outputs(run: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    made = artifacts.of_run(info.context.db, run.id, "output")
    return page(made, after, first, Order(lambda row: [row.id]))


@manifest.field("id")
def manifest_id(manifest: Manifest | dict[str, Any], info: Info) -> str:
    return node_id("ArtifactManifest", manifest.id) if isinstance(manifest, Manifest) else str(manifest["id"])


@manifest.field("file")
def manifest_file(manifest: Manifest | dict[str, Any], info: Info) -> File:
    if not isinstance(manifest, Manifest):
        file: File = manifest["file"]
        return file
    return File(
        id=node_id("ManifestFile", manifest.id),
        name="wandb_manifest.json",
        upload_url=info.context.addresses.upload(manifest_path(manifest.id)),
    )
