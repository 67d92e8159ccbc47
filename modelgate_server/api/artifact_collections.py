"""Serve collections of versions, and find what is in them. The wire calls them sequences and portfolios."""

from collections.abc import Callable
from typing import Any

from ariadne import InterfaceType, MutationType, ObjectType, QueryType

from modelgate_server.api.memberships import make_version_reader, select_versions
from modelgate_server.api.shapes import Call, Info, decode_id, encode_id, make_single_page, paginate
from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import (
    aliases,
    artifact_collections,
    artifacts,
    filters,
    memberships,
    projects,
    removal,
    tags,
)
from modelgate_server.store.artifact_collections import ArtifactType, Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.documents import parse_object
from modelgate_server.store.filters import Order
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.tags import CollectionTag

query = QueryType()
mutation = MutationType()
project = ObjectType("Project")
artifact_type = ObjectType("ArtifactType")
collection = InterfaceType("ArtifactCollection")
sequence = ObjectType("ArtifactSequence")
portfolio = ObjectType("ArtifactPortfolio")
TYPES = (query, mutation, project, artifact_type, collection, sequence, portfolio)


# --- permissions -----------------------------------------------------------------------------------------------------


def require_writable_collection(call: Call, text: str, kind: str) -> Collection:
    collection = artifact_collections.find_by_id(call.db, decode_id("ArtifactCollection", text))
    mine = collection if collection is not None and collection.kind == kind else None
    return projects.require_writable_item(call.db, call.user, mine, f'{kind} "{text[:80]}" not found')


def require_named_collection(call: Call, named: dict[str, Any]) -> Collection:
    """Return the collection that an input names, for writing."""
    home = projects.require_writable(call.db, call.user, named["entity_name"], named["project_name"])
    collection = artifact_collections.find(call.db, home.id, named["artifact_collection_name"])
    if collection is None:
        raise NotFound(f'collection "{named["artifact_collection_name"]}" not found in "{home.name}"')
    return collection


# --- writing --------------------------------------------------------------------------------------------------------


@mutation.field("updateArtifactSequence")
def update_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    sequence = require_writable_collection(info.context, input["artifact_sequence_id"], "sequence")
    return {"artifact_collection": _edit_collection(info.context, sequence, input)}


@mutation.field("updateArtifactPortfolio")
def update_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    portfolio = require_writable_collection(info.context, input["artifact_portfolio_id"], "portfolio")
    return {"artifact_collection": _edit_collection(info.context, portfolio, input)}


def _edit_collection(call: Call, collection: Collection, input: dict[str, Any]) -> Collection:
    name, description = input.get("name"), input.get("description")
    return artifact_collections.edit(call.db, call.user, collection, name=name, description=description)


@mutation.field("moveArtifactSequence")
def move_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    call = info.context
    sequence = require_writable_collection(call, input["artifact_sequence_id"], "sequence")
    home = projects.get_project(call.db, sequence.project_id)
    moved = artifact_collections.move(call.db, home, sequence, input["destination_artifact_type_name"])
    return {"artifact_collection": moved}


@mutation.field("deleteArtifactSequence")
def delete_sequence(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    return _delete_collection(
        info.context, require_writable_collection(info.context, input["artifact_sequence_id"], "sequence")
    )


@mutation.field("deleteArtifactPortfolio")
def delete_portfolio(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Collection]:
    return _delete_collection(
        info.context, require_writable_collection(info.context, input["artifact_portfolio_id"], "portfolio")
    )


def _delete_collection(call: Call, collection: Collection) -> dict[str, Collection]:
    removal.delete_collections(call.db, call.user, [collection])
    return {"artifact_collection": collection}


@mutation.field("createArtifactCollectionTagAssignments")
def tag_collection(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    collection = require_named_collection(call, input)
    given = [tag["tag_name"] for tag in input["tags"]]
    tags.add(call.db, CollectionTag, collection.id, given)
    listed = tags.list_by_owner(call.db, CollectionTag, collection.id)
    return {"tags": [tag for tag in listed if tag.name in given]}


@mutation.field("deleteArtifactCollectionTagAssignments")
def untag_collection(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    collection = require_named_collection(call, input)
    tags.remove(call.db, CollectionTag, collection.id, [tag["tag_name"] for tag in input["tags"]])
    return {"success": True}


# --- finding --------------------------------------------------------------------------------------------------------


@query.field("artifactCollection")
def resolve_collection(_: Any, info: Info, id: str) -> Collection | None:
    call = info.context
    collection = artifact_collections.find_by_id(call.db, decode_id("ArtifactCollection", id))
    return collection if collection is not None and find_visible_project(call, collection) else None


@project.field("artifact")
def project_artifact(project: Project, info: Info, name: str, enable_tracking: bool | None = None) -> Artifact | None:
    membership = _resolve_name(info.context, project, name)
    return artifacts.get_artifact(info.context.db, membership.artifact_id) if membership else None


@project.field("artifactCollectionMembership")
def project_membership(project: Project, info: Info, name: str) -> Membership | None:
    return _resolve_name(info.context, project, name)


def _resolve_name(call: Call, project: Project, name: str) -> Membership | None:
    """
    Find a version by `collection:alias`, `collection:v3` or `collection:digest`; `collection` alone means `latest`.
    """
    collection_name, _, version = name.partition(":")
    where = artifact_collections.find(call.db, project.id, collection_name)
    return memberships.resolve(call.db, where.id, version or LATEST) if where else None


@project.field("artifactTypes")
def project_types(
    project: Project,
    info: Info,
    after: str | None = None,
    first: int | None = None,
    include_all: bool | None = None,
) -> dict[str, Any]:
    return paginate(
        artifact_collections.list_types(info.context.db, project.id), after, first, Order(lambda kind: [kind.name])
    )


@project.field("artifactType")
def project_type(project: Project, info: Info, name: str) -> ArtifactType | None:
    return artifact_collections.find_type(info.context.db, project.id, name)


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
    chosen = select_collections(call, artifact_collections.list_by_project(call.db, project.id), filters)
    return paginate(chosen, after, first, order_collections(call, order))


@project.field("artifactCollection")
def project_collection(project: Project, info: Info, name: str) -> Collection | None:
    return artifact_collections.find(info.context.db, project.id, name)


@artifact_type.field("id")
def type_id(artifact_type: ArtifactType, info: Info) -> str:
    return encode_id("ArtifactType", artifact_type.id)


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
    collections = (
        artifact_collections.list_by_project(call.db, artifact_type.project_id)
        if _find_visible(call, artifact_type.project_id)
        else []
    )
    mine = [collection for collection in collections if collection.type_id == artifact_type.id]
    return paginate(select_collections(call, mine, filters), after, first, order_collections(call, order))


@artifact_type.field("artifactCollection")
def type_collection(artifact_type: ArtifactType, info: Info, name: str) -> Collection | None:
    collection = artifact_collections.find(info.context.db, artifact_type.project_id, name)
    mine = (
        collection is not None
        and collection.type_id == artifact_type.id
        and _find_visible(info.context, artifact_type.project_id)
    )
    return collection if mine else None


@artifact_type.field("artifactSequence")
def type_sequence(artifact_type: ArtifactType, info: Info, name: str) -> Collection | None:
    """Return the collection if it is a sequence. Older releases use this to tell a sequence from a portfolio."""
    collection = type_collection(artifact_type, info, name)
    return collection if collection is not None and collection.kind == "sequence" else None


@artifact_type.field("artifact")
def type_artifact(artifact_type: ArtifactType, info: Info, name: str) -> Artifact | None:
    call = info.context
    if type_collection(artifact_type, info, name.partition(":")[0]) is None:
        return None
    membership = _resolve_name(call, projects.get_project(call.db, artifact_type.project_id), name)
    return artifacts.get_artifact(call.db, membership.artifact_id) if membership else None


def select_collections(call: Call, collections: list[Collection], condition: str | None) -> list[Collection]:
    """Return the collections that match the SDK's filter."""
    return filters.select(
        collections, parse_object(condition, "the filter for collections"), _make_collection_reader(call)
    )


def order_collections(call: Call, by: str | None) -> Order[Collection]:
    """Return the order that the SDK asks for; by default, by name within each registry."""
    return Order(lambda row: [row.project_id, row.name], by=by, value_of=_make_collection_reader(call))


def _make_collection_reader(call: Call) -> Callable[[Collection, str], Any]:
    def read_field(collection: Collection, name: str) -> Any:
        if name in ("name", "description"):
            return getattr(collection, name)
        if name in ("created_at", "createdAt"):
            return collection.created_at
        if name in ("updated_at", "updatedAt"):
            return collection.updated_at
        if name in ("id", "artifact_collection_id"):
            return [collection.id, encode_id("ArtifactCollection", collection.id)]
        if name == "type":
            return artifact_collections.get_type(call.db, collection.type_id).name
        if name in ("tag", "tags"):
            return [tag.name for tag in tags.list_by_owner(call.db, CollectionTag, collection.id)]
        raise Invalid(f'collections cannot be filtered or ordered by "{name}"')

    return read_field


# --- a collection's fields ------------------------------------------------------------------------------------------


@collection.type_resolver
def collection_type(collection: Collection, *_: Any) -> str:
    return "ArtifactSequence" if collection.kind == "sequence" else "ArtifactPortfolio"


def find_visible_project(call: Call, collection: Collection) -> Project | None:
    """Return None for users who may not see it: they learn only the name of a linked version's source."""
    return _find_visible(call, collection.project_id)


def _find_visible(call: Call, project_id: int) -> Project | None:
    home = projects.get_project(call.db, project_id)
    return home if projects.find_role(call.db, call.user, home) is not None else None


@collection.field("id")
def collection_id(collection: Collection, info: Info) -> str:
    return encode_id("ArtifactCollection", collection.id)


@collection.field("state")
def collection_state(collection: Collection, info: Info) -> str:
    return "READY" if artifact_collections.find_by_id(info.context.db, collection.id) else "DELETED"


@collection.field("project")
def collection_project(collection: Collection, info: Info) -> Project | None:
    return find_visible_project(info.context, collection)


@collection.field("defaultArtifactType")
def collection_artifact_type(collection: Collection, info: Info) -> ArtifactType:
    return artifact_collections.get_type(info.context.db, collection.type_id)


@collection.field("tags")
def collection_tags(collection: Collection, info: Info) -> dict[str, Any]:
    return make_single_page(tags.list_by_owner(info.context.db, CollectionTag, collection.id))


@collection.field("aliases")
def collection_aliases(
    collection: Collection, info: Info, after: str | None = None, first: int | None = None
) -> dict[str, Any]:
    visible = find_visible_project(info.context, collection)
    listed = aliases.list_by_collection(info.context.db, collection.id) if visible else []
    return paginate(listed, after, first, Order(lambda alias: [alias.id]))


@collection.field("artifactMembership")
def collection_membership(collection: Collection, info: Info, alias_name: str) -> Membership | None:
    visible = find_visible_project(info.context, collection)
    return memberships.resolve(info.context.db, collection.id, alias_name) if visible else None


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
    versions = memberships.list_by_collection(call.db, collection.id) if find_visible_project(call, collection) else []
    newest_first = Order[Membership](
        lambda row: [row.version_index], backwards=True, by=order, value_of=make_version_reader(call)
    )
    paged = paginate(select_versions(call, versions, filters), after, first, newest_first)
    for edge in paged["edges"]:
        membership: Membership = edge["node"]
        edge |= {
            "version": f"v{membership.version_index}",
            "node": artifacts.get_artifact(call.db, membership.artifact_id),
        }
    return paged


@sequence.field("latestArtifact")
def sequence_latest(collection: Collection, info: Info) -> Artifact | None:
    newest = (
        memberships.find_latest(info.context.db, collection.id)
        if find_visible_project(info.context, collection)
        else None
    )
    return artifacts.get_artifact(info.context.db, newest.artifact_id) if newest else None
