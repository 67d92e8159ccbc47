"""Serve the places of versions in collections, with their files and aliases, and all tags."""

from collections.abc import Callable
from typing import Any

from ariadne import ObjectType

from modelgate_server.api.shapes import (
    Call,
    File,
    Info,
    build_blob_path,
    build_storage_path,
    encode_id,
    limit_page_size,
    make_connection,
)
from modelgate_server.errors import Invalid
from modelgate_server.store import aliases, artifact_collections, artifacts, entries, filters, history, projects, tags
from modelgate_server.store.aliases import Alias
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.documents import parse_object
from modelgate_server.store.entries import Entry
from modelgate_server.store.memberships import Membership
from modelgate_server.store.tags import CollectionTag, Tag

membership = ObjectType("ArtifactCollectionMembership")
alias = ObjectType("ArtifactAlias")
tag = ObjectType("Tag")
TYPES = (membership, alias, tag)


# --- finding --------------------------------------------------------------------------------------------------------


def select_versions(call: Call, versions: list[Membership], condition: str | None) -> list[Membership]:
    """Return the versions that match the SDK's filter."""
    return filters.select(versions, parse_object(condition, "the filter for versions"), make_version_reader(call))


def make_version_reader(call: Call) -> Callable[[Membership, str], Any]:
    """Return a function that reads the fields by which versions may be filtered and ordered."""

    def read_field(membership: Membership, name: str) -> Any:
        artifact = artifacts.get_artifact(call.db, membership.artifact_id)
        if name in ("state", "size", "digest", "description"):
            return getattr(artifact, name)
        if name in ("version", "version_index", "versionIndex"):
            return [membership.version_index, f"v{membership.version_index}"]
        if name in ("created_at", "createdAt"):
            return membership.created_at
        if name in ("updated_at", "updatedAt"):
            return artifact.updated_at
        if name == "id":
            return [artifact.id, encode_id("Artifact", artifact.id)]
        if name in ("tag", "tags"):
            return [tag.name for tag in tags.list_by_owner(call.db, Tag, artifact.id)]
        if name in ("alias", "aliases"):
            return [alias.name for alias in aliases.list_by_membership(call.db, membership.id)]
        if name.startswith("metadata."):
            return history.look_up(parse_object(artifact.metadata, "the metadata"), name.removeprefix("metadata."))
        raise Invalid(f'versions cannot be filtered or ordered by "{name}"')

    return read_field


# --- fields ---------------------------------------------------------------------------------------------------------


@membership.field("id")
def membership_id(membership: Membership, info: Info) -> str:
    return encode_id("ArtifactCollectionMembership", membership.id)


@membership.field("aliases")
def membership_aliases(membership: Membership, info: Info) -> list[Alias]:
    return aliases.list_by_membership(info.context.db, membership.id)


@membership.field("artifactCollection")
def membership_collection(membership: Membership, info: Info) -> Collection:
    return artifact_collections.get_collection(info.context.db, membership.collection_id)


@membership.field("artifact")
def membership_artifact(membership: Membership, info: Info) -> Artifact:
    return artifacts.get_artifact(info.context.db, membership.artifact_id)


@membership.field("files")
def membership_files(
    membership: Membership,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
) -> dict[str, Any]:
    call = info.context
    home = projects.get_project(
        call.db, artifact_collections.get_collection(call.db, membership.collection_id).project_id
    )
    projects.require_reader({projects.find_role(call.db, call.user, home) or ""})
    return paginate_files(call, artifacts.get_artifact(call.db, membership.artifact_id), names, after, first)


def paginate_files(
    call: Call, owner: Artifact, names: list[str] | None, after: str | None, first: int | None
) -> dict[str, Any]:
    """
    Return every entry of the manifest, including references, because downloads follow this list. The cursor is the
    path.
    """
    size = limit_page_size(first)
    listed = entries.list_by_artifact(call.db, owner.id, after=after or "", limit=size + 1, paths=names or None)
    edges = [{"node": _build_file(call, owner, entry), "cursor": entry.path} for entry in listed[:size]]
    return make_connection(edges, len(listed) > size, len(listed) if names else owner.file_count)


def _build_file(call: Call, owner: Artifact, entry: Entry) -> File:
    return File(
        id=f"{encode_id('ArtifactFile', owner.id)}:{entry.path}",
        name=entry.path,
        address=entry.ref if entry.md5 is None else call.addresses.download(build_blob_path(entry.md5)),
        size_bytes=entry.size,
        updated_at=owner.updated_at,
        digest=entry.digest,
        storage_path=None if entry.md5 is None else build_storage_path(entry.md5),
        artifact=owner,
    )


@alias.field("id")
def alias_id(alias: Alias, info: Info) -> str:
    return encode_id("ArtifactAlias", alias.id)


@alias.field("alias")
def alias_name(alias: Alias, info: Info) -> str:
    return alias.name


@alias.field("artifactCollection")
def alias_collection(alias: Alias, info: Info) -> Collection:
    return artifact_collections.get_collection(info.context.db, alias.collection_id)


@tag.field("id")
def tag_id(tag: Tag | CollectionTag, info: Info) -> str:
    return encode_id("Tag", tag.id)


@tag.field("tagCategoryName")
def tag_category(tag: Tag | CollectionTag, info: Info) -> None:
    """Return None: tags have only names."""
