"""Linking versions into registries and other portfolios."""

from typing import Any

from ariadne import MutationType

from server.api.artifacts import readable
from server.api.shapes import Call, Info, node_id, number_of
from server.errors import Invalid, NotFound
from server.store import artifacts, projects, registry
from server.store.artifacts import Artifact

mutation = MutationType()
TYPES = (mutation,)


@mutation.field("linkArtifact")
def link_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    call = info.context
    name = input.get("artifact_portfolio_name")
    if not name or not input.get("project_name"):
        raise Invalid("to link a version, name the project and the portfolio")
    target = projects.ensure(call.db, call.user, input.get("entity_name"), input["project_name"])
    aliases = [one["alias"] for one in input.get("aliases") or []]
    there = registry.link(call.db, _linked(call, input), target, name, aliases)
    return {"version_index": there.version_index, "artifact_membership": there}


def _linked(call: Call, input: dict[str, Any]) -> Artifact:
    """The version that an input names, by its id or by the client's own."""
    if input.get("artifact_id"):
        return readable(call, input["artifact_id"])
    found = artifacts.of_client(call.db, input.get("client_id") or "")
    if found is None:
        raise NotFound("the version to link was not found")
    return readable(call, node_id("Artifact", found.id))


@mutation.field("unlinkArtifact")
def unlink_artifact(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    call = info.context
    found = readable(call, input["artifact_id"])
    where = artifacts.find_collection_by_id(call.db, number_of("ArtifactCollection", input["artifact_portfolio_id"]))
    if where is None:
        raise NotFound("the portfolio was not found")
    projects.require_writer(call.db, call.user, projects.project(call.db, where.project_id))
    registry.unlink(call.db, found, where.id)
    return {"success": True}
