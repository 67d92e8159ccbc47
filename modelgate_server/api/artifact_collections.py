"""Serve collections of versions, and find what is in them. The wire calls them sequences and portfolios."""

from collections.abc import Callable
from typing import Any

from ariadne import InterfaceType, MutationType, ObjectType, QueryType

from modelgate_server.api.shapes import (
    Call,
    File,
    Info,
    blob_path,
    connection,
    node_id,
    number_of,
    page,
    page_size,
    storage_path,
    whole,
)
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import artifacts, filters, history, projects
from modelgate_server.store.artifacts import Alias, Artifact, ArtifactType, Collection, CollectionTag, Membership, Tag
from modelgate_server.store.documents import json_object
from modelgate_server.store.filters import Order
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project

query = QueryType()
mutation = MutationType()
project = ObjectType("Project")
artifact_type = ObjectType("ArtifactType")
collection = InterfaceType("ArtifactCollection")
sequence = ObjectType("ArtifactSequence")
portfolio = ObjectType("ArtifactPortfolio")
membership = ObjectType("ArtifactCollectionMembership")
alias = ObjectType("ArtifactAlias")
tag = ObjectType("Tag")
TYPES = (query, mutation, project, artifact_type, collection, sequence, portfolio, membership, alias, tag)


# --- permissions -----------------------------------------------------------------------------------------------------


def writable_collection(call: Call, text: str, kind: str) -> Collection:
    found = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", text))
    mine = found if found is not None and found.kind == kind else None
    return projects.writable_thing(call.db, call.user, mine, f'{kind} "{text[:80]}" not found')


def named_collection(call: Call, named: dict[str, Any]) -> Collection:
    """Return the collection that an input names, for writing."""
    home = projects.writable(call.db, call.user, named["entity_name"], named["project_name"])
    found = artifacts.find_collection(call.db, home.id, named["artifact_collection_name"])
    if found is None:
        raise NotFound(f'collection "{named["artifact_collection_name"]}" not found in "{home.name}"')
    return found


# --- writing --------------------------------------------------------------------------------------------------------


@mutation.field("updateArtifactSequence")
def update_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    found = writable_collection(info.context, input["artifact_sequence_id"], "sequence")
    return {"artifact_collection": _edited(info.context, found, input)}


@mutation.field("updateArtifactPortfolio")
def update_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    found = writable_collection(info.context, input["artifact_portfolio_id"], "portfolio")
    return {"artifact_collection": _edited(info.context, found, input)}


def _edited(call: Call, collection: Collection, input: dict[str, Any]) -> Collection:
    name, description = input.get("name"), input.get("description")
    return artifacts.edit_collection(call.db, call.user, collection, name=name, description=description)


@mutation.field("moveArtifactSequence")
def move_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    call = info.context
    found = writable_collection(call, input["artifact_sequence_id"], "sequence")
    home = projects.project(call.db, found.project_id)
    moved = artifacts.move_collection(call.db, home, found, input["destination_artifact_type_name"])
    return {"artifact_collection": moved}


@mutation.field("deleteArtifactSequence")
def delete_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    return _deleted(info.context, writable_collection(info.context, input["artifact_sequence_id"], "sequence"))


@mutation.field("deleteArtifactPortfolio")
def delete_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    return _deleted(info.context, writable_collection(info.context, input["artifact_portfolio_id"], "portfolio"))


def _deleted(call: Call, collection: Collection) -> dict[str, Collection]:
    artifacts.delete_collections(call.db, call.user, [collection])
    return {"artifact_collection": collection}


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


@query.field("artifactCollection")
def resolve_collection(_: Any, info: Info, id: str) -> Collection | None:
    call = info.context
    found = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", id))
    return found if found is not None and visible_project(call, found) else None


@project.field("artifact")
def project_artifact(project: Project, info: Info, name: str, enable_tracking: bool | None = None) -> Artifact | None:
    there = _by_name(info.context, project, name)
    return artifacts.artifact(info.context.db, there.artifact_id) if there else None


@project.field("artifactCollectionMembership")
def project_membership(project: Project, info: Info, name: str) -> Membership | None:
    return _by_name(info.context, project, name)


def _by_name(call: Call, project: Project, name: str) -> Membership | None:
    """`collection:alias`, `collection:v3` or `collection:digest`; without the second half it is `latest`."""
    collection_name, _, version = name.partition(":")
    where = artifacts.find_collection(call.db, project.id, collection_name)
    return artifacts.resolve(call.db, where.id, version or LATEST) if where else None


@project.field("artifactTypes")
def project_types(
    project: Project,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    include_all: bool | None = None,
) -> dict[str, Any]:
    return page(artifacts.types(info.context.db, project.id), after, first, Order(lambda kind: [kind.name]))


@project.field("artifactType")
def project_type(project: Project, info: Info, name: str) -> ArtifactType | None:
    return artifacts.find_type(info.context.db, project.id, name)


@project.field("artifactCollections")
def project_collections(
    project: Project,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    filters: str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    chosen = select_collections(call, artifacts.collections(call.db, project.id), filters)
    return page(chosen, after, first, collection_order(call, order))


@project.field("artifactCollection")
def project_collection(project: Project, info: Info, name: str) -> Collection | None:
    return artifacts.find_collection(info.context.db, project.id, name)


@artifact_type.field("id")
def type_id(artifact_type: ArtifactType, info: Info) -> str:
    return node_id("ArtifactType", artifact_type.id)


@artifact_type.field("artifactCollections")
def type_collections(
    artifact_type: ArtifactType,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    filters: str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    call = info.context
    everything = (
        artifacts.collections(call.db, artifact_type.project_id) if _visible(call, artifact_type.project_id) else []
    )
    mine = [one for one in everything if one.type_id == artifact_type.id]
    return page(select_collections(call, mine, filters), after, first, collection_order(call, order))


@artifact_type.field("artifactCollection")
def type_collection(artifact_type: ArtifactType, info: Info, name: str) -> Collection | None:
    there = artifacts.find_collection(info.context.db, artifact_type.project_id, name)
    mine = there is not None and there.type_id == artifact_type.id and _visible(info.context, artifact_type.project_id)
    return there if mine else None


@artifact_type.field("artifactSequence")
def type_sequence(artifact_type: ArtifactType, info: Info, name: str) -> Collection | None:
    """Older releases ask this way whether a collection is a sequence or a portfolio."""
    there = type_collection(artifact_type, info, name)
    return there if there is not None and there.kind == "sequence" else None


@artifact_type.field("artifact")
def type_artifact(artifact_type: ArtifactType, info: Info, name: str) -> Artifact | None:
    call = info.context
    if type_collection(artifact_type, info, name.partition(":")[0]) is None:
        return None
    there = _by_name(call, projects.project(call.db, artifact_type.project_id), name)
    return artifacts.artifact(call.db, there.artifact_id) if there else None


def select_collections(call: Call, collections: list[Collection], condition: str | None) -> list[Collection]:
    """Filtered as the SDK asks."""
    return filters.select(
        collections, json_object(condition, "the filter for collections"), _value_of_collections(call)
    )


def collection_order(call: Call, by: str | None) -> Order[Collection]:
    """As the SDK asks, or by name in each registry."""
    return Order(lambda row: [row.project_id, row.name], by=by, value_of=_value_of_collections(call))


def _value_of_collections(call: Call) -> Callable[[Collection, str], Any]:
    def value_of(collection: Collection, name: str) -> Any:
        if name in ("name", "description"):
            return getattr(collection, name)
        if name in ("created_at", "createdAt"):
            return collection.created_at
        if name in ("updated_at", "updatedAt"):
            return collection.updated_at
        if name in ("id", "artifact_collection_id"):
            return [collection.id, node_id("ArtifactCollection", collection.id)]
        if name == "type":
            return artifacts.artifact_type(call.db, collection.type_id).name
        if name in ("tag", "tags"):
            return [tag.name for tag in artifacts.collection_tags(call.db, collection.id)]
        raise Invalid(f'collections cannot be filtered or ordered by "{name}"')

    return value_of


# --- a collection's fields ------------------------------------------------------------------------------------------


@collection.type_resolver
def collection_type(collection: Collection, *_: Any) -> str:
    return "ArtifactSequence" if collection.kind == "sequence" else "ArtifactPortfolio"


def visible_project(call: Call, collection: Collection) -> Project | None:
    """Return null for users who may not see it: they learn only the name of a linked version's source."""
    return _visible(call, collection.project_id)


def _visible(call: Call, project_id: int) -> Project | None:
    home = projects.project(call.db, project_id)
    return home if projects.role(call.db, call.user, home) is not None else None


@collection.field("id")
def collection_id(collection: Collection, info: Info) -> str:
    return node_id("ArtifactCollection", collection.id)


@collection.field("state")
def collection_state(collection: Collection, info: Info) -> str:
    return "READY" if artifacts.find_collection_by_id(info.context.db, collection.id) else "DELETED"


@collection.field("project")
def collection_project(collection: Collection, info: Info) -> Project | None:
    return visible_project(info.context, collection)


@collection.field("defaultArtifactType")
def collection_artifact_type(collection: Collection, info: Info) -> ArtifactType:
    return artifacts.artifact_type(info.context.db, collection.type_id)


@collection.field("tags")
def collection_tags(collection: Collection, info: Info) -> dict[str, Any]:
    return whole(artifacts.collection_tags(info.context.db, collection.id))


@collection.field("aliases")
def collection_aliases(
    collection: Collection, info: Info, after: str | None = None, first: int | None = None
) -> dict[str, Any]:
    visible = visible_project(info.context, collection)
    aliases = artifacts.aliases_in(info.context.db, collection.id) if visible else []
    return page(aliases, after, first, Order(lambda alias: [alias.id]))


@collection.field("artifactMembership")
def collection_membership(collection: Collection, info: Info, alias_name: str) -> Membership | None:
    visible = visible_project(info.context, collection)
    return artifacts.resolve(info.context.db, collection.id, alias_name) if visible else None


@collection.field("artifacts")
def collection_artifacts(
    collection: Collection,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    order: str | None = None,
    filters: str | None = None,
) -> dict[str, Any]:
    """Return versions, newest first; `edge.version` is the number in this collection."""
    call = info.context
    everything = artifacts.versions(call.db, collection.id) if visible_project(call, collection) else []
    newest_first = Order[Membership](
        lambda row: [row.version_index], backwards=True, by=order, value_of=value_of_versions(call)
    )
    paged = page(select_versions(call, everything, filters), after, first, newest_first)
    for edge in paged["edges"]:
        there: Membership = edge["node"]
        edge |= {"version": f"v{there.version_index}", "node": artifacts.artifact(call.db, there.artifact_id)}
    return paged


def select_versions(call: Call, memberships: list[Membership], condition: str | None) -> list[Membership]:
    """Filtered as the SDK asks."""
    return filters.select(memberships, json_object(condition, "the filter for versions"), value_of_versions(call))


def value_of_versions(call: Call) -> Callable[[Membership, str], Any]:
    """Return the value of a field that versions may be filtered and ordered by."""

    def value_of(membership: Membership, name: str) -> Any:
        there = artifacts.artifact(call.db, membership.artifact_id)
        if name in ("state", "size", "digest", "description"):
            return getattr(there, name)
        if name in ("version", "version_index", "versionIndex"):
            return [membership.version_index, f"v{membership.version_index}"]
        if name in ("created_at", "createdAt"):
            return membership.created_at
        if name in ("updated_at", "updatedAt"):
            return there.updated_at
        if name == "id":
            return [there.id, node_id("Artifact", there.id)]
        if name in ("tag", "tags"):
            return [tag.name for tag in artifacts.tags(call.db, there.id)]
        if name in ("alias", "aliases"):
            return [alias.name for alias in artifacts.aliases_of(call.db, membership.id)]
        if name.startswith("metadata."):
            return history.lookup(json_object(there.metadata, "the metadata"), name.removeprefix("metadata."))
        raise Invalid(f'versions cannot be filtered or ordered by "{name}"')

    return value_of


@sequence.field("latestArtifact")
def sequence_latest(collection: Collection, info: Info) -> Artifact | None:
    newest = artifacts.latest(info.context.db, collection.id) if visible_project(info.context, collection) else None
    return artifacts.artifact(info.context.db, newest.artifact_id) if newest else None


# --- memberships, aliases, tags -------------------------------------------------------------------------------------


@membership.field("id")
def membership_id(membership: Membership, info: Info) -> str:
    return node_id("ArtifactCollectionMembership", membership.id)


@membership.field("aliases")
def membership_aliases(membership: Membership, info: Info) -> list[Alias]:
    return artifacts.aliases_of(info.context.db, membership.id)


@membership.field("artifactCollection")
def membership_collection(membership: Membership, info: Info) -> Collection:
    return artifacts.collection(info.context.db, membership.collection_id)


@membership.field("artifact")
def membership_artifact(membership: Membership, info: Info) -> Artifact:
    return artifacts.artifact(info.context.db, membership.artifact_id)


@membership.field("files")
def membership_files(
    membership: Membership,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    call = info.context
    home = projects.project(call.db, artifacts.collection(call.db, membership.collection_id).project_id)
    projects.require_reader({projects.role(call.db, call.user, home) or ""})
    return file_page(call, artifacts.artifact(call.db, membership.artifact_id), names, after, first)


def file_page(
    call: Call, owner: Artifact, names: list[str] | None, after: str | None, first: int | None
) -> dict[str, Any]:
    """Return every entry of the manifest, including references: downloads follow this list. The cursor is the path."""
    size = page_size(first)
    entries = artifacts.entries(call.db, owner.id, after=after or "", limit=size + 1, paths=names or None)
    edges = [{"node": _file(call, owner, entry), "cursor": entry.path} for entry in entries[:size]]
    return connection(edges, len(entries) > size, len(entries) if names else owner.file_count)


def _file(call: Call, owner: Artifact, entry: artifacts.Entry) -> File:
    return File(
        id=f"{node_id('ArtifactFile', owner.id)}:{entry.path}",
        name=entry.path,
        address=entry.ref if entry.md5 is None else call.addresses.download(blob_path(entry.md5)),
        size_bytes=entry.size,
        updated_at=owner.updated_at,
        digest=entry.digest,
        storage_path=None if entry.md5 is None else storage_path(entry.md5),
        artifact=owner,
    )


@alias.field("id")
def alias_id(alias: Alias, info: Info) -> str:
    return node_id("ArtifactAlias", alias.id)


@alias.field("alias")
def alias_name(alias: Alias, info: Info) -> str:
    return alias.name


@alias.field("artifactCollection")
def alias_collection(alias: Alias, info: Info) -> Collection:
    return artifacts.collection(info.context.db, alias.collection_id)


@tag.field("id")
def tag_id(tag: Tag | CollectionTag, info: Info) -> str:
    return node_id("Tag", tag.id)


@tag.field("tagCategoryName")
def tag_category(tag: Tag | CollectionTag, info: Info) -> None:
    """Tags have only names."""
