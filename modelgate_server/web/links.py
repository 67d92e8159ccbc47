"""Describe runs and versions on a page: a text, and an address if this user may open it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, aliases, artifact_collections, memberships, projects
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.memberships import Membership
from modelgate_server.store.projects import REGISTRY_PREFIX, Project
from modelgate_server.store.runs import Run
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, find_visible_place, get_place


@dataclass(frozen=True)
class Link:
    """`url` is empty if the target was deleted; `note` is the job type or the artifact's type."""

    text: str
    url: str
    note: str


def require_project(visit: Visit, entity: str, name: str) -> tuple[Project, Place]:
    """Return the project in an address. Raise the same NotFound if it is missing or this user may not see it."""
    project = projects.find_readable(visit.db, visit.user, entity, name)
    if project is None:
        raise NotFound(f'there is no project "{entity}/{name}" that you may see')
    return project, get_place(visit.db, project)


def link_to_run(visit: Visit, run: Run) -> Link | None:
    """Return None for a run that this user may not see."""
    home = find_visible_place(visit.db, visit.user, run.project_id)
    return Link(run.display_name, home.build_run_url(run.name), run.job_type or "run") if home else None


def find_registry(visit: Visit, name: str) -> Place | None:
    """Return the registry of this name in one of this user's organizations."""
    for organization in accounts.list_organizations(visit.db, visit.user.id):
        owner = accounts.get_organization_entity(visit.db, organization.id)
        project = projects.find_readable(visit.db, visit.user, owner.name, REGISTRY_PREFIX + name)
        if project is not None:
            return get_place(visit.db, project)
    return None


# A repository's address in the forms of git: https://host/path.git, git@host:path.git, ssh://git@host/path.git. A
# password in it is dropped.
_REMOTE = re.compile(
    r"(?:https?://(?:[^@/\s]*@)?|ssh://[\w.-]+@|[\w.-]+@)([\w.-]+)[:/]([\w.~-]+(?:/[\w.~-]+)+)", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def link_commit(sha: str | None, remote: str | None) -> Link | None:
    """Return the commit that a run was started from, with its address on GitHub and similar hosts."""
    if not _COMMIT.fullmatch(sha or ""):
        return None
    match = _REMOTE.fullmatch((remote or "")[:500].removesuffix("/").removesuffix(".git"))
    return Link(f"{sha}"[:10], f"https://{match[1]}/{match[2]}/commit/{sha}" if match else "", f"{sha}")


def link_to_membership(visit: Visit, membership: Membership) -> Link | None:
    """Return a version in one of its collections, None if this user may not see it."""
    collection = artifact_collections.get_collection(visit.db, membership.collection_id)
    kind = get_type_name(visit, collection)
    home = find_visible_place(visit.db, visit.user, collection.project_id)
    name = f"{collection.name}:v{membership.version_index}"
    return Link(name, home.build_version_url(kind, collection.name, membership.version_index), kind) if home else None


def link_to_artifacts(visit: Visit, versions: Iterable[Artifact]) -> list[Link]:
    """Return those that this user may see: where they were logged, or else where they are linked."""
    linked = (_link_to_artifact(visit, version) for version in versions)
    return [link for link in linked if link is not None]


def _link_to_artifact(visit: Visit, artifact: Artifact) -> Link | None:
    """Return the link, without an address if the version was deleted."""
    places = memberships.list_by_artifact(visit.db, artifact.id)
    if places:
        return next((link for membership in places if (link := link_to_membership(visit, membership))), None)
    collection = artifact_collections.get_collection(visit.db, artifact.sequence_id)
    if find_visible_place(visit.db, visit.user, collection.project_id) is None:
        return None
    return Link(f"{collection.name} (deleted)", "", get_type_name(visit, collection))


def get_type_name(visit: Visit, collection: Collection) -> str:
    return artifact_collections.get_type(visit.db, collection.type_id).name


def list_aliases(visit: Visit, membership: Membership) -> list[str]:
    return [alias.name for alias in aliases.list_by_membership(visit.db, membership.id)]
