"""Serve versions of artifacts, as the SDK writes, changes and reads them. artifact_collections.py finds them."""

from dataclasses import replace
from typing import Any

from ariadne import MutationType, ObjectType, QueryType, UnionType

from modelgate_server.api import runs as run_api
from modelgate_server.api.artifact_collections import find_visible_project, require_named_collection
from modelgate_server.api.memberships import paginate_files
from modelgate_server.api.shapes import (
    Call,
    File,
    Info,
    build_blob_path,
    build_manifest_blob_path,
    build_manifest_path,
    build_storage_path,
    build_upload_path,
    decode_id,
    encode_id,
    make_single_page,
    paginate,
)
from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.keyed_locks import KeyedLocks
from modelgate_server.settings import SLICE
from modelgate_server.store import (
    aliases,
    artifact_collections,
    artifacts,
    lineage,
    manifests,
    memberships,
    names,
    projects,
    references,
    removal,
    runs,
    tags,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.aliases import Alias
from modelgate_server.store.artifact_collections import ArtifactType, Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.filters import Order
from modelgate_server.store.manifests import Draft, Manifest
from modelgate_server.store.runs import Run
from modelgate_server.store.tags import Tag

# The storage regions that the SDK may name: all of them mean this server's folder.
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


def require_readable(call: Call, text: str) -> Artifact:
    """Return the version with this id if the user may see a project that it is in."""
    artifact = _find_visible(call, decode_id("Artifact", text))
    if artifact is not None:
        return artifact
    raise NotFound(f'artifact "{text[:80]}" not found')


def require_usable(call: Call, text: str) -> Artifact:
    """Return the version with this id if the user may read its files."""
    artifact = require_readable(call, text)
    projects.require_reader(_collect_roles(call, artifact))
    return artifact


def require_writable(call: Call, text: str) -> Artifact:
    """Return the version with this id if the user may write to the project that it was logged to."""
    artifact = require_readable(call, text)
    if _find_source_role(call, artifact) not in projects.WRITERS:
        raise Forbidden("you may not change this artifact: you cannot write to its project")
    return artifact


def _find_visible(call: Call, number: int) -> Artifact | None:
    artifact = artifacts.find(call.db, number)
    return artifact if artifact is not None and is_visible(call, artifact) else None


def is_visible(call: Call, artifact: Artifact) -> bool:
    return bool(_collect_roles(call, artifact))


def _find_source_role(call: Call, artifact: Artifact) -> str | None:
    source = artifact_collections.get_collection(call.db, artifact.sequence_id)
    return projects.find_role(call.db, call.user, projects.get_project(call.db, source.project_id))


def _collect_roles(call: Call, artifact: Artifact) -> set[str]:
    """Return the user's role in the project that it was logged to and in those that it is linked into."""
    places = {
        artifact.sequence_id,
        *(membership.collection_id for membership in memberships.list_by_artifact(call.db, artifact.id)),
    }
    homes = {artifact_collections.get_collection(call.db, place).project_id for place in places}
    roles = (projects.find_role(call.db, call.user, projects.get_project(call.db, home)) for home in homes)
    return {role for role in roles if role is not None}


# --- writing a version ----------------------------------------------------------------------------------------------


@mutation.field("createArtifact")
def create_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    """If a version with the same content exists, check that it is still intact, before the transaction begins."""
    call = info.context
    if input.get("storage_region") not in REGIONS:
        raise Invalid(f'storage region "{input["storage_region"]}" is not available here')
    project = projects.find_readable(call.db, call.user, input["entity_name"], input["project_name"])
    draft = _read_draft(input)
    if draft.deduplicate and not manifests.is_sound(call.db, call.blobs, project, draft):
        draft = replace(draft, deduplicate=False)
    with call.database.write() as db:
        home = projects.ensure(db, call.user, input["entity_name"], input["project_name"])
        if input.get("run_name"):
            draft = replace(draft, run=runs.require(db, home, input["run_name"]))
        return {"artifact": manifests.announce(db, home, call.user, draft)}


def _read_draft(input: dict[str, Any]) -> Draft:
    name = input.get("artifact_collection_name") or next(iter(input.get("artifact_collection_names") or []), "")
    return Draft(
        type_name=input["artifact_type_name"],
        collection_name=name,
        digest=input["digest"],
        run=None,
        description=input.get("description"),
        metadata=input.get("metadata"),
        aliases=[item["alias"] for item in input.get("aliases") or []],
        tags=[item["tag_name"] for item in input.get("tags") or []],
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
        require_writable(call, input["artifact_id"]),
        kind=input.get("type") or "FULL",
        digest=input["digest"],
        base_id=_find_base_id(call, input),
    )
    return {"artifact_manifest": made}


@mutation.field("updateArtifactManifest")
def update_manifest(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Manifest]:
    call = info.context
    manifest = manifests.find(call.db, decode_id("ArtifactManifest", input["artifact_manifest_id"]))
    if manifest is None or _find_visible(call, manifest.artifact_id) is None:
        raise NotFound(f'manifest "{input["artifact_manifest_id"][:80]}" not found')
    require_writable(call, encode_id("Artifact", manifest.artifact_id))
    changed = manifests.edit(call.db, manifest, digest=input.get("digest"), base_id=_find_base_id(call, input))
    return {"artifact_manifest": changed}


def _find_base_id(call: Call, input: dict[str, Any]) -> int | None:
    """Return the id of the version that an incremental one starts from. The new version gets its contents."""
    return require_usable(call, input["base_artifact_id"]).id if input.get("base_artifact_id") else None


@mutation.field("createArtifactFiles")
def create_artifact_files(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """
    Return one edge per file, in the order of the request. A file whose bytes are already stored gets no upload address.
    """
    call = info.context
    specs = input["artifact_files"]
    owners = {text: require_writable(call, text) for text in {spec["artifact_id"] for spec in specs}}
    for spec in specs:
        names.check_entry_path(spec["name"])  # refused before the upload, not by the commit after it
    wanted = [(owners[spec["artifact_id"]].id, manifests.decode_md5(spec["md5"])) for spec in specs]
    unsound = call.blobs.find_unsound(references.select_durable(call.db, [md5 for _, md5 in wanted]))
    # A user must not learn whether someone else has the same bytes, so the client sends them again.
    entitled = manifests.select_entitled(call.db, call.blobs, call.user, wanted)
    with call.database.write() as db:
        born = manifests.register_blobs(db, call.blobs, wanted, entitled, unsound)
    seen = {artifact.id: artifact for artifact in owners.values()}
    earlier = {birth for birth, _ in born} - seen.keys()
    seen |= {birth: artifact for birth in earlier if (artifact := _find_visible(call, birth))}
    nodes = []
    for spec, (owner, md5), (birth, is_stored) in zip(specs, wanted, born, strict=True):
        nodes.append(
            File(
                id=f"{encode_id('ArtifactFile', owner)}:{spec['name']}",
                name=spec["name"],
                address=call.addresses.download(build_blob_path(md5)) if is_stored else None,
                upload_url=None if is_stored else call.addresses.upload(build_upload_path(owner, md5)),
                upload_headers=[f"Content-MD5:{spec['md5']}"],
                digest=spec["md5"],
                storage_path=build_storage_path(md5),
                artifact=seen.get(birth, owners[spec["artifact_id"]]),
            )
        )
    return {"files": make_single_page(nodes)}


_committing = KeyedLocks()


@mutation.field("commitArtifact")
def commit_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    """
    Use several transactions (graphql_api.SELF_TRANSACTING): the manifest is read outside of them, its files are written
    in batches, and the last one makes the version visible. If the server is killed in between, nothing is visible, and
    the next try starts again. A client that has waited for a long time asks again: its second request waits for the
    first one, and then finds the version committed.
    """
    call = info.context
    with _committing.hold(input["artifact_id"]):
        artifact = require_writable(call, input["artifact_id"])
        with call.lanes.hold_memory(manifests.sum_sizes(call.db, call.blobs, artifact)):
            ready = manifests.prepare(call.db, call.blobs, call.user, artifact)
            if ready is not None:
                artifact = _commit_in_slices(call, input["artifact_id"], ready)
        call.blobs.forget(artifact.id)
    return {"artifact": artifact}


def _commit_in_slices(call: Call, text: str, ready: manifests.Ready) -> Artifact:
    pieces = [ready.rows[start : start + SLICE] for start in range(0, len(ready.rows), SLICE)] or [[]]
    for number, piece in enumerate(pieces):
        with call.database.write() as db:
            artifact = require_writable(replace(call, db=db), text)
            manifests.write_entries(db, artifact.id, piece, first=number == 0)
            if number == len(pieces) - 1:
                artifact = manifests.finish(db, call.user, artifact, ready)
    return artifact


@mutation.field("useArtifact")
def use_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    user_run = run_api.require_writable(call, input["entity_name"], input["project_name"], input["run_name"])
    artifact = require_usable(call, input["artifact_id"])
    lineage.record(call.db, user_run.id, artifact.id, "input")
    return {"artifact": artifact}


# --- changing versions ----------------------------------------------------------------------------------------------


@mutation.field("updateArtifact")
def update_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    artifact = require_writable(call, input["artifact_id"])
    tags.add(call.db, Tag, artifact.id, [item["tag_name"] for item in input.get("tags_to_add") or []])
    tags.remove(call.db, Tag, artifact.id, [item["tag_name"] for item in input.get("tags_to_delete") or []])
    for item in input.get("aliases") or []:
        aliases.add(call.db, call.user, artifact.sequence_id, artifact.id, item["alias"])
    changed = artifacts.edit(
        call.db,
        artifact,
        description=input.get("description"),
        metadata=artifacts.check_metadata(input.get("metadata")),
        ttl_seconds=input.get("ttl_duration_seconds"),
    )
    return {"artifact": changed}


@mutation.field("deleteArtifact")
def delete_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    artifact = require_writable(call, input["artifact_id"])
    removal.delete(call.db, call.user, artifact, with_aliases=bool(input.get("delete_aliases")))
    return {"artifact": artifact}


@mutation.field("addAliases")
def add_aliases(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    artifact = require_readable(call, input["artifact_id"])
    for item in input["aliases"]:
        aliases.add(call.db, call.user, require_named_collection(call, item).id, artifact.id, item["alias"])
    return {"success": True}


@mutation.field("deleteAliases")
def delete_aliases(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    artifact = require_readable(call, input["artifact_id"])
    for item in input["aliases"]:
        aliases.remove(call.db, call.user, require_named_collection(call, item).id, artifact.id, item["alias"])
    return {"success": True}


# --- finding --------------------------------------------------------------------------------------------------------


@query.field("artifact")
def resolve_artifact(_: Any, info: Info, id: str) -> Artifact | None:
    return require_readable(info.context, id)


@query.field("clientIDMapping")
def resolve_client_id(_: Any, info: Info, client_id: str) -> dict[str, str] | None:
    call = info.context
    artifact = artifacts.find_by_client_id(call.db, client_id)
    return {"server_id": encode_id("Artifact", artifact.id)} if artifact and _find_source_role(call, artifact) else None


# --- a version's fields ---------------------------------------------------------------------------------------------


@artifact.field("id")
def artifact_id(artifact: Artifact, info: Info) -> str:
    return encode_id("Artifact", artifact.id)


@artifact.field("artifactSequence")
def artifact_sequence(artifact: Artifact, info: Info) -> Collection:
    return artifact_collections.get_collection(info.context.db, artifact.sequence_id)


@artifact.field("artifactType")
def artifact_artifact_type(artifact: Artifact, info: Info) -> ArtifactType:
    home = artifact_collections.get_collection(info.context.db, artifact.sequence_id)
    return artifact_collections.get_type(info.context.db, home.type_id)


@artifact.field("ttlDurationSeconds")
def artifact_ttl(artifact: Artifact, info: Info) -> int:
    return NO_TTL if artifact.ttl_seconds is None or artifact.ttl_seconds <= 0 else artifact.ttl_seconds


@artifact.field("ttlIsInherited")
def artifact_ttl_is_inherited(artifact: Artifact, info: Info) -> bool:
    return artifact.ttl_seconds in (None, -1)


@artifact.field("tags")
def artifact_tags(artifact: Artifact, info: Info) -> list[Tag]:
    return tags.list_by_owner(info.context.db, Tag, artifact.id)


@artifact.field("digestAlgorithm")
def artifact_digest_algorithm(artifact: Artifact, info: Info) -> str:
    return "MANIFEST_MD5"


@artifact.field("commitHash")
def artifact_commit_hash(artifact: Artifact, info: Info) -> str | None:
    """Return the manifest's MD5, for users who may read the manifest."""
    return artifact.manifest_md5 if _collect_roles(info.context, artifact) & set(projects.READERS) else None


@artifact.field("aliases")
def artifact_aliases(artifact: Artifact, info: Info) -> list[Alias]:
    call = info.context
    listed = aliases.list_by_artifact(call.db, artifact.id)
    return [
        alias
        for alias in listed
        if find_visible_project(call, artifact_collections.get_collection(call.db, alias.collection_id))
    ]


@artifact.field("currentManifest")
def artifact_manifest(artifact: Artifact, info: Info) -> dict[str, Any] | None:
    """Return the address of the manifest. Anyone who has the manifest has the address of each file."""
    call = info.context
    projects.require_reader(_collect_roles(call, artifact))
    if artifact.manifest_md5 is None or artifact.state != "COMMITTED":
        return None
    number = encode_id("Manifest", artifact.id)
    address = call.addresses.download(build_manifest_blob_path(artifact.manifest_md5))
    return {"id": number, "file": File(id=number, name="wandb_manifest.json", address=address)}


@artifact.field("files")
def artifact_files(
    artifact: Artifact,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    """Return the files for older releases; newer ones ask for the files of a membership."""
    projects.require_reader(_collect_roles(info.context, artifact))
    return paginate_files(info.context, artifact, names, after, first)


@artifact.field("artifactMemberships")
def artifact_memberships(artifact: Artifact, info: Info) -> dict[str, Any]:
    call = info.context
    homes = [
        membership
        for membership in memberships.list_by_artifact(call.db, artifact.id)
        if find_visible_project(call, artifact_collections.get_collection(call.db, membership.collection_id))
    ]
    return make_single_page(homes)


@artifact.field("usedBy")
def artifact_used_by(artifact: Artifact, info: Info) -> dict[str, Any]:
    return make_single_page(
        [run for run in lineage.list_users(info.context.db, artifact.id) if _is_visible_run(info.context, run)]
    )


@artifact.field("createdBy")
def artifact_created_by(artifact: Artifact, info: Info) -> Run | User | None:
    """Return None for a version that no run created: then the client does not ask further."""
    maker = lineage.find_creator(info.context.db, artifact.id)
    return maker if maker is not None and _is_visible_run(info.context, maker) else None


def _is_visible_run(call: Call, run: Run) -> bool:
    return projects.find_role(call.db, call.user, projects.get_project(call.db, run.project_id)) is not None


@creator.type_resolver
def creator_type(creator: Run | User, *_: Any) -> str:
    return "Run" if isinstance(creator, Run) else "User"


@run.field("inputArtifacts")
def run_inputs(run: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    """Return the visible versions: a run may have used versions that not everyone in its project may see."""
    call = info.context
    used = lineage.list_by_run(call.db, run.id, "input")
    return paginate(
        [artifact for artifact in used if _collect_roles(call, artifact)], after, first, Order(lambda row: [row.id])
    )


@run.field("outputArtifacts")
def run_outputs(run: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    made = lineage.list_by_run(info.context.db, run.id, "output")
    return paginate(made, after, first, Order(lambda row: [row.id]))


@manifest.field("id")
def manifest_id(manifest: Manifest | dict[str, Any], info: Info) -> str:
    return encode_id("ArtifactManifest", manifest.id) if isinstance(manifest, Manifest) else str(manifest["id"])


@manifest.field("file")
def manifest_file(manifest: Manifest | dict[str, Any], info: Info) -> File:
    if not isinstance(manifest, Manifest):
        file: File = manifest["file"]
        return file
    return File(
        id=encode_id("ManifestFile", manifest.id),
        name="wandb_manifest.json",
        upload_url=info.context.addresses.upload(build_manifest_path(manifest.id)),
    )
