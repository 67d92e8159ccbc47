"""Artifacts as the SDK writes and reads them. The wire calls collections sequences and portfolios."""

import mimetypes
from typing import Any

from ariadne import InterfaceType, MutationType, ObjectType, QueryType, UnionType

from server.api import runs as run_api
from server.api.shapes import (
    Call,
    Info,
    blob_path,
    connection,
    manifest_blob_path,
    manifest_path,
    node_id,
    number_of,
    page,
    page_size,
    storage_path,
    whole,
)
from server.errors import Forbidden, Invalid, NotFound
from server.settings import MAX_FILES_PER_CALL
from server.store import artifacts, filters, history, manifests, projects, runs
from server.store.accounts import User
from server.store.artifacts import Alias, Artifact, ArtifactType, Collection, CollectionTag, Membership, Tag
from server.store.documents import json_object
from server.store.manifests import Draft, Manifest
from server.store.names import LATEST
from server.store.projects import Project
from server.store.runs import Run

# Where the SDK may ask to keep files: all of them are this server's folder.
REGIONS = (None, "", "default", "minio-local")
# The SDK's number for "never expires".
NO_TTL = -2

query = QueryType()
mutation = MutationType()
project = ObjectType("Project")
run = ObjectType("Run")
artifact_type = ObjectType("ArtifactType")
collection = InterfaceType("ArtifactCollection")
sequence = ObjectType("ArtifactSequence")
portfolio = ObjectType("ArtifactPortfolio")
artifact = ObjectType("Artifact")
creator = UnionType("ArtifactCreator")
membership = ObjectType("ArtifactCollectionMembership")
alias = ObjectType("ArtifactAlias")
tag = ObjectType("Tag")
manifest = ObjectType("ArtifactManifest")
TYPES = (
    query,
    mutation,
    project,
    run,
    artifact_type,
    collection,
    sequence,
    portfolio,
    artifact,
    creator,
    membership,
    alias,
    tag,
    manifest,
)


# --- who may --------------------------------------------------------------------------------------------------------


def readable(call: Call, text: str) -> Artifact:
    """The version behind an id, if the user may see a project that it is in."""
    found = artifacts.find_artifact(call.db, number_of("Artifact", text))
    if found is not None and (_source_role(call, found) or _linked_role(call, found)):
        return found
    raise NotFound(f'artifact "{text[:80]}" not found')


def writable(call: Call, text: str) -> Artifact:
    """The version behind an id, if the user may write to the project that it was logged to."""
    found = readable(call, text)
    if _source_role(call, found) not in projects.WRITERS:
        raise Forbidden("you may not change this artifact: it is of a project that you cannot write to")
    return found


def _source_role(call: Call, found: Artifact) -> str | None:
    source = artifacts.collection(call.db, found.sequence_id)
    return projects.role(call.db, call.user, projects.project(call.db, source.project_id))


def _linked_role(call: Call, found: Artifact) -> str | None:
    for there in artifacts.memberships(call.db, found.id):
        home = artifacts.collection(call.db, there.collection_id)
        role = projects.role(call.db, call.user, projects.project(call.db, home.project_id))
        if role is not None:
            return role
    return None


def writable_collection(call: Call, text: str, kind: str) -> Collection:
    found = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", text))
    if found is None or found.kind != kind:
        raise NotFound(f'{kind} "{text[:80]}" not found')
    projects.require_writer(call.db, call.user, projects.project(call.db, found.project_id))
    return found


def named_collection(call: Call, named: dict[str, Any]) -> Collection:
    """The collection that an input names, for writing."""
    home = projects.writable(call.db, call.user, named["entity_name"], named["project_name"])
    found = artifacts.find_collection(call.db, home.id, named["artifact_collection_name"])
    if found is None:
        raise NotFound(f'collection "{named["artifact_collection_name"]}" not found in "{home.name}"')
    return found


# --- writing a version ----------------------------------------------------------------------------------------------


@mutation.field("createArtifact")
def create_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    if input.get("storage_region") not in REGIONS:
        raise Invalid(f'storage region "{input["storage_region"]}" is not available here')
    home = projects.ensure(call.db, call.user, input["entity_name"], input["project_name"])
    name = input.get("artifact_collection_name") or next(iter(input.get("artifact_collection_names") or []), "")
    maker = runs.require(call.db, home, input["run_name"]) if input.get("run_name") else None
    draft = Draft(
        type_name=input["artifact_type_name"],
        collection_name=name,
        digest=input["digest"],
        run=maker,
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
    return {"artifact": manifests.announce(call.db, home, call.user, draft)}


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
    if found is None:
        raise NotFound(f'manifest "{input["artifact_manifest_id"][:80]}" not found')
    writable(call, node_id("Artifact", found.artifact_id))
    changed = manifests.edit(call.db, found, digest=input.get("digest"), base_id=_base_id(call, input))
    return {"artifact_manifest": changed}


def _base_id(call: Call, input: dict[str, Any]) -> int | None:
    """The version that an incremental one starts from; its contents become the new one's, so it must be readable."""
    return readable(call, input["base_artifact_id"]).id if input.get("base_artifact_id") else None


@mutation.field("createArtifactFiles")
def create_artifact_files(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """One edge a file, in the order of the request; no upload address where the bytes are here already."""
    call = info.context
    specs = input["artifact_files"]
    if len(specs) > MAX_FILES_PER_CALL:
        raise Invalid(f"at most {MAX_FILES_PER_CALL} files can be announced at once")
    owners = {text: writable(call, text) for text in {spec["artifact_id"] for spec in specs}}
    wanted = [(owners[spec["artifact_id"]].id, manifests.md5_of_base64(spec["md5"])) for spec in specs]
    born = manifests.births(call.db, call.blobs, wanted)
    nodes = []
    for spec, (_owner, md5), (birth, here) in zip(specs, wanted, born, strict=True):
        path = blob_path(md5)
        nodes.append(
            {
                "name": spec["name"],
                "storage_path": storage_path(md5),
                "upload_url": None if here else call.addresses.upload(path),
                "upload_headers": [f"Content-MD5:{spec['md5']}"],
                "upload_multipart_urls": None,  # the client then sends the file in one PUT
                "artifact": artifacts.artifact(call.db, birth) if birth != _owner else owners[spec["artifact_id"]],
            }
        )
    return {"files": whole(nodes)}


@mutation.field("commitArtifact")
def commit_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    return {"artifact": manifests.commit(call.db, call.blobs, call.user, writable(call, input["artifact_id"]))}


@mutation.field("useArtifact")
def use_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Artifact]:
    call = info.context
    user_run = run_api.writable(call, input["entity_name"], input["project_name"], input["run_name"])
    found = readable(call, input["artifact_id"])
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


# --- collections ----------------------------------------------------------------------------------------------------


@mutation.field("updateArtifactSequence")
def update_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    found = writable_collection(info.context, input["artifact_sequence_id"], "sequence")
    return {"artifact_collection": _edited(info.context, found, input)}


@mutation.field("updateArtifactPortfolio")
def update_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    found = writable_collection(info.context, input["artifact_portfolio_id"], "portfolio")
    return {"artifact_collection": _edited(info.context, found, input)}


def _edited(call: Call, found: Collection, input: dict[str, Any]) -> Collection:
    name, description = input.get("name"), input.get("description")
    return artifacts.edit_collection(call.db, call.user, found, name=name, description=description)


@mutation.field("moveArtifactSequence")
def move_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    call = info.context
    found = writable_collection(call, input["artifact_sequence_id"], "sequence")
    home = projects.project(call.db, found.project_id)
    moved = artifacts.move_collection(call.db, home, found, input["destination_artifact_type_name"])
    return {"artifact_collection": moved}


@mutation.field("deleteArtifactSequence")
def delete_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    return _deleted(info.context, writable_collection(info.context, input["artifact_sequence_id"], "sequence"))


@mutation.field("deleteArtifactPortfolio")
def delete_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    return _deleted(info.context, writable_collection(info.context, input["artifact_portfolio_id"], "portfolio"))


def _deleted(call: Call, found: Collection) -> dict[str, Any]:
    artifacts.delete_collection(call.db, call.user, found)
    return {"artifact_collection": {"__typename": _typename(found), "state": "DELETED"}}


@mutation.field("createArtifactCollectionTagAssignments")
def tag_collection(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    found = named_collection(call, input)
    tags = [one["tag_name"] for one in input["tags"]]
    return {"tags": artifacts.tag_collection(call.db, found.id, tags)}


@mutation.field("deleteArtifactCollectionTagAssignments")
def untag_collection(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = named_collection(call, input)
    artifacts.untag_collection(call.db, found.id, [one["tag_name"] for one in input["tags"]])
    return {"success": True}


# --- finding --------------------------------------------------------------------------------------------------------


@query.field("artifact")
def resolve_artifact(_: Any, info: Info, id: str) -> Artifact | None:
    return readable(info.context, id)


@query.field("artifactCollection")
def resolve_collection(_: Any, info: Info, id: str) -> Collection | None:
    call = info.context
    found = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", id))
    return found if found is not None and _visible_project(call, found) else None


@query.field("clientIDMapping")
def resolve_client_id(_: Any, info: Info, client_id: str) -> dict[str, str] | None:
    call = info.context
    found = artifacts.of_client(call.db, client_id)
    return {"server_id": node_id("Artifact", found.id)} if found and _source_role(call, found) else None


@project.field("artifact")
def project_artifact(found: Project, info: Info, name: str) -> Artifact | None:
    there = _by_name(info.context, found, name)
    return artifacts.artifact(info.context.db, there.artifact_id) if there else None


@project.field("artifactCollectionMembership")
def project_membership(found: Project, info: Info, name: str) -> Membership | None:
    return _by_name(info.context, found, name)


def _by_name(call: Call, found: Project, name: str) -> Membership | None:
    """`collection:alias`, `collection:v3` or `collection:digest`; without the second half it is `latest`."""
    collection_name, _, version = name.partition(":")
    where = artifacts.find_collection(call.db, found.id, collection_name)
    return artifacts.resolve(call.db, where.id, version or LATEST) if where else None


@project.field("artifactTypes")
def project_types(
    found: Project,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    include_all: bool | None = None,
) -> dict[str, Any]:
    return page(artifacts.types(info.context.db, found.id), after, first)


@project.field("artifactType")
def project_type(found: Project, info: Info, name: str) -> ArtifactType | None:
    return artifacts.find_type(info.context.db, found.id, name)


@project.field("artifactCollections")
def project_collections(
    found: Project,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    filters: str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    return page(select_collections(call, artifacts.collections(call.db, found.id), filters, order), after, first)


@project.field("artifactCollection")
def project_collection(found: Project, info: Info, name: str) -> Collection | None:
    return artifacts.find_collection(info.context.db, found.id, name)


@artifact_type.field("id")
def type_id(found: ArtifactType, info: Info) -> str:
    return node_id("ArtifactType", found.id)


@artifact_type.field("artifactCollections")
def type_collections(
    found: ArtifactType,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    filters: str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    mine = [one for one in artifacts.collections(call.db, found.project_id) if one.type_id == found.id]
    return page(select_collections(call, mine, filters, order), after, first)


@artifact_type.field("artifactCollection")
def type_collection(found: ArtifactType, info: Info, name: str) -> Collection | None:
    there = artifacts.find_collection(info.context.db, found.project_id, name)
    return there if there is not None and there.type_id == found.id else None


def select_collections(
    call: Call, found: list[Collection], condition: str | None, order: str | None
) -> list[Collection]:
    """Filtered and ordered as the SDK asks."""

    def value_of(one: Collection, name: str) -> Any:
        if name in ("name", "description"):
            return getattr(one, name)
        if name in ("created_at", "createdAt"):
            return one.created_at
        if name in ("updated_at", "updatedAt"):
            return one.updated_at
        if name in ("id", "artifact_collection_id"):
            return [one.id, node_id("ArtifactCollection", one.id)]
        if name == "type":
            return artifacts.artifact_type(call.db, one.type_id).name
        if name in ("tag", "tags"):
            return [tag.name for tag in artifacts.collection_tags(call.db, one.id)]
        raise Invalid(f'collections cannot be filtered or ordered by "{name}"')

    chosen = filters.select(found, json_object(condition, "the filter for collections"), value_of)
    return filters.order(chosen, order, value_of)


# --- a collection's fields ------------------------------------------------------------------------------------------


def _typename(found: Collection) -> str:
    return "ArtifactSequence" if found.kind == "sequence" else "ArtifactPortfolio"


@collection.type_resolver
def collection_type(found: Collection | dict[str, Any], *_: Any) -> str:
    return _typename(found) if isinstance(found, Collection) else str(found["__typename"])


def _visible_project(call: Call, found: Collection) -> Project | None:
    """Null for who may not see it: a linked version's source, for instance."""
    home = projects.project(call.db, found.project_id)
    return home if projects.role(call.db, call.user, home) is not None else None


@collection.field("id")
def collection_id(found: Collection, info: Info) -> str:
    return node_id("ArtifactCollection", found.id)


@collection.field("state")
def collection_state(found: Collection | dict[str, Any], info: Info) -> str:
    return "READY" if isinstance(found, Collection) else str(found["state"])


@collection.field("project")
def collection_project(found: Collection, info: Info) -> Project | None:
    return _visible_project(info.context, found)


@collection.field("defaultArtifactType")
def collection_artifact_type(found: Collection, info: Info) -> ArtifactType:
    return artifacts.artifact_type(info.context.db, found.type_id)


@collection.field("tags")
def collection_tags(found: Collection, info: Info) -> dict[str, Any]:
    return whole(artifacts.collection_tags(info.context.db, found.id))


@collection.field("aliases")
def collection_aliases(
    found: Collection, info: Info, after: str | None = None, first: int | None = None
) -> dict[str, Any]:
    return page(artifacts.aliases_in(info.context.db, found.id), after, first)


@collection.field("artifactMembership")
def collection_membership(found: Collection, info: Info, alias_name: str) -> Membership | None:
    return artifacts.resolve(info.context.db, found.id, alias_name)


@collection.field("artifacts")
def collection_artifacts(
    found: Collection,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
    filters: str | None = None,
) -> dict[str, Any]:
    """Versions, newest first; `edge.version` is the number in this collection."""
    call = info.context
    chosen = select_versions(call, artifacts.versions(call.db, found.id), filters, order)
    paged = page(chosen, after, first)
    for edge in paged["edges"]:
        there: Membership = edge["node"]
        edge |= {"version": f"v{there.version_index}", "node": artifacts.artifact(call.db, there.artifact_id)}
    return paged


def select_versions(call: Call, found: list[Membership], condition: str | None, order: str | None) -> list[Membership]:
    """Filtered and ordered as the SDK asks."""

    def value_of(one: Membership, name: str) -> Any:
        there = artifacts.artifact(call.db, one.artifact_id)
        if name in ("state", "size", "digest", "description"):
            return getattr(there, name)
        if name in ("version", "version_index", "versionIndex"):
            return [one.version_index, f"v{one.version_index}"]
        if name in ("created_at", "createdAt"):
            return one.created_at
        if name in ("updated_at", "updatedAt"):
            return there.updated_at
        if name == "id":
            return [there.id, node_id("Artifact", there.id)]
        if name in ("tag", "tags"):
            return [tag.name for tag in artifacts.tags(call.db, there.id)]
        if name in ("alias", "aliases"):
            return [alias.name for alias in artifacts.aliases_of(call.db, one.id)]
        if name.startswith("metadata."):
            return history.lookup(json_object(there.metadata, "the metadata"), name.removeprefix("metadata."))
        raise Invalid(f'versions cannot be filtered or ordered by "{name}"')

    chosen = filters.select(found, json_object(condition, "the filter for versions"), value_of)
    return filters.order(chosen, order, value_of)


@sequence.field("latestArtifact")
def sequence_latest(found: Collection, info: Info) -> Artifact | None:
    newest = artifacts.latest(info.context.db, found.id)
    return artifacts.artifact(info.context.db, newest.artifact_id) if newest else None


# --- a version's fields ---------------------------------------------------------------------------------------------


@artifact.field("id")
def artifact_id(found: Artifact, info: Info) -> str:
    return node_id("Artifact", found.id)


@artifact.field("artifactSequence")
def artifact_sequence(found: Artifact, info: Info) -> Collection:
    return artifacts.collection(info.context.db, found.sequence_id)


@artifact.field("artifactType")
def artifact_artifact_type(found: Artifact, info: Info) -> ArtifactType:
    home = artifacts.collection(info.context.db, found.sequence_id)
    return artifacts.artifact_type(info.context.db, home.type_id)


@artifact.field("ttlDurationSeconds")
def artifact_ttl(found: Artifact, info: Info) -> int:
    return NO_TTL if found.ttl_seconds is None or found.ttl_seconds <= 0 else found.ttl_seconds


@artifact.field("ttlIsInherited")
def artifact_ttl_is_inherited(found: Artifact, info: Info) -> bool:
    return found.ttl_seconds in (None, -1)


@artifact.field("tags")
def artifact_tags(found: Artifact, info: Info) -> list[Tag]:
    return artifacts.tags(info.context.db, found.id)


@artifact.field("digestAlgorithm")
def artifact_digest_algorithm(found: Artifact, info: Info) -> str:
    return "MANIFEST_MD5"


@artifact.field("commitHash")
def artifact_commit_hash(found: Artifact, info: Info) -> str | None:
    return found.manifest_md5


@artifact.field("aliases")
def artifact_aliases(found: Artifact, info: Info) -> list[Alias]:
    return artifacts.aliases(info.context.db, found.id)


@artifact.field("currentManifest")
def artifact_manifest(found: Artifact, info: Info) -> dict[str, Any] | None:
    call = info.context
    if found.manifest_md5 is None or found.state != "COMMITTED":
        return None
    address = call.addresses.download(manifest_blob_path(found.manifest_md5))
    return {"id": node_id("Manifest", found.id), "file": {"direct_url": address, "name": "wandb_manifest.json"}}


@artifact.field("artifactMemberships")
def artifact_memberships(found: Artifact, info: Info) -> dict[str, Any]:
    call = info.context
    homes = [
        there
        for there in artifacts.memberships(call.db, found.id)
        if _visible_project(call, artifacts.collection(call.db, there.collection_id))
    ]
    return whole(homes)


@artifact.field("usedBy")
def artifact_used_by(found: Artifact, info: Info) -> dict[str, Any]:
    return whole([one for one in artifacts.used_by(info.context.db, found.id) if _visible_run(info.context, one)])


@artifact.field("createdBy")
def artifact_created_by(found: Artifact, info: Info) -> Run | User | None:
    """Null for a version that no run made: the client then asks nothing more."""
    maker = artifacts.created_by(info.context.db, found.id)
    return maker if maker is not None and _visible_run(info.context, maker) else None


def _visible_run(call: Call, found: Run) -> bool:
    return projects.role(call.db, call.user, projects.project(call.db, found.project_id)) is not None


@creator.type_resolver
def creator_type(found: Run | User, *_: Any) -> str:
    return "Run" if isinstance(found, Run) else "User"


@run.field("inputArtifacts")
def run_inputs(found: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    return page(artifacts.of_run(info.context.db, found.id, "input"), after, first)


@run.field("outputArtifacts")
def run_outputs(found: Run, info: Info, after: str | None = None, first: int | None = None) -> dict[str, Any]:
    return page(artifacts.of_run(info.context.db, found.id, "output"), after, first)


# --- memberships, aliases, tags, manifests --------------------------------------------------------------------------


@membership.field("id")
def membership_id(found: Membership, info: Info) -> str:
    return node_id("ArtifactCollectionMembership", found.id)


@membership.field("aliases")
def membership_aliases(found: Membership, info: Info) -> list[Alias]:
    return artifacts.aliases_of(info.context.db, found.id)


@membership.field("artifactCollection")
def membership_collection(found: Membership, info: Info) -> Collection:
    return artifacts.collection(info.context.db, found.collection_id)


@membership.field("artifact")
def membership_artifact(found: Membership, info: Info) -> Artifact:
    return artifacts.artifact(info.context.db, found.artifact_id)


@membership.field("files")
def membership_files(
    found: Membership,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    """Every entry of the manifest, references too: downloads follow this list. The cursor is the path."""
    call = info.context
    there = artifacts.artifact(call.db, found.artifact_id)
    size = page_size(first)
    entries = artifacts.entries(call.db, there.id, after=after or "", limit=size + 1, paths=names or None)
    edges = [{"node": _file(call, there, entry), "cursor": entry.path} for entry in entries[:size]]
    return connection(edges, len(entries) > size, len(entries) if names else there.file_count)


def _file(call: Call, owner: Artifact, entry: artifacts.Entry) -> dict[str, Any]:
    address = entry.ref if entry.md5 is None else call.addresses.download(blob_path(entry.md5))
    return {
        "id": node_id("ArtifactFile", owner.id) + f":{entry.path}",
        "name": entry.path,
        "display_name": entry.path,
        "url": address,
        "direct_url": address,
        "size_bytes": entry.size,
        "storage_path": None if entry.md5 is None else storage_path(entry.md5),
        "mimetype": mimetypes.guess_type(entry.path)[0] or "application/octet-stream",
        "updated_at": owner.updated_at,
        "digest": entry.digest,
        "md5": entry.digest,
        "artifact": owner,
    }


@alias.field("id")
def alias_id(found: Alias, info: Info) -> str:
    return node_id("ArtifactAlias", found.id)


@alias.field("alias")
def alias_name(found: Alias, info: Info) -> str:
    return found.name


@alias.field("artifactCollection")
def alias_collection(found: Alias, info: Info) -> Collection:
    return artifacts.collection(info.context.db, found.collection_id)


@tag.field("id")
def tag_id(found: Tag | CollectionTag, info: Info) -> str:
    return node_id("Tag", found.id)


@manifest.field("id")
def manifest_id(found: Manifest | dict[str, Any], info: Info) -> str:
    return node_id("ArtifactManifest", found.id) if isinstance(found, Manifest) else str(found["id"])


@manifest.field("file")
def manifest_file(found: Manifest | dict[str, Any], info: Info) -> dict[str, Any]:
    call = info.context
    if not isinstance(found, Manifest):
        file: dict[str, Any] = found["file"]
        return file
    return {
        "id": node_id("ManifestFile", found.id),
        "name": "wandb_manifest.json",
        "upload_url": call.addresses.upload(manifest_path(found.id)),
        "upload_headers": [],
    }
