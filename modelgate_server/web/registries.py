"""
Show a registry, its collections and their versions. W&B's app distinguishes them by the query, and so does the SDK's
Artifact.url: `?selectionPath=entity/project/collection&view=membership&version=v0`.
"""

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, projects, protection
from modelgate_server.store.projects import REGISTRY_PREFIX, Project
from modelgate_server.web import kinds, links, versions
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import LEGACY_REGISTRY, Place


def show_registry(visit: Visit) -> Response:
    """GET /orgs/{organization}/registry/{registry}"""
    organization = accounts.find_organization(visit.db, visit.read_path("organization"))
    owner = (
        accounts.get_organization_entity(visit.db, organization.id).name
        if organization
        else visit.read_path("organization")
    )
    return _show(visit, *links.require_project(visit, owner, REGISTRY_PREFIX + visit.read_path("registry")))


def show_legacy(visit: Visit) -> Response:
    """GET /{entity}/registry/model: the registry that an entity had before organizations had registries."""
    return _show(visit, *links.require_project(visit, visit.read_path("entity"), LEGACY_REGISTRY))


def _show(visit: Visit, project: Project, home: Place) -> Response:
    selected = visit.read_query("selectionPath")
    if not selected:
        return visit.show(
            "registry.html",
            place=home,
            kinds=kinds.list_by_project(visit, project, home),
            protected=protection.list_protected(visit.db, project.id),
            is_admin=projects.find_role(visit.db, visit.user, project) == "admin",
        )
    where, _, name = selected.rpartition("/")
    if where != f"{home.entity}/{home.project}":
        raise NotFound(f'there is no collection "{selected}" in this registry')
    if visit.read_query("version"):
        return versions.show_version(
            visit, versions.find_version(visit, project, home, name, visit.read_query("version"))
        )
    return versions.show_collection(visit, home, versions.find_collection(visit, project, name))
