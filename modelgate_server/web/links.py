"""Name runs and versions on a page: a text, and an address if this user may open it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, artifacts, projects
from modelgate_server.store.artifacts import Artifact, Collection, Membership
from modelgate_server.store.projects import REGISTRY_PREFIX, Project
from modelgate_server.store.runs import Run
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, place, visible_place


@dataclass(frozen=True)
class Link:
    """`url` is empty for what was deleted; `note` is the job type or the artifact's type."""

    text: str
    url: str
    note: str


def project(visit: Visit, entity: str, name: str) -> tuple[Project, Place]:
    """Return the project that an address names; NotFound, the same whether it is missing or not this user's."""
    found = projects.readable(visit.db, visit.user, entity, name)
    if found is None:
        raise NotFound(f'there is no project "{entity}/{name}" that you may see')
    return found, place(visit.db, found)


def to_run(visit: Visit, run: Run) -> Link | None:
    """Return None for a run that this user may not see."""
    home = visible_place(visit.db, visit.user, run.project_id)
    return Link(run.display_name, home.run(run.name), run.job_type or "run") if home else None


def registry(visit: Visit, name: str) -> Place | None:
    """Return the registry that an organization of this user calls so."""
    for organization in accounts.organizations_of(visit.db, visit.user.id):
        owner = accounts.organization_entity(visit.db, organization.id)
        found = projects.readable(visit.db, visit.user, owner.name, REGISTRY_PREFIX + name)
        if found is not None:
            return place(visit.db, found)
    return None


# A repository's address as git knows it: https://host/path.git, git@host:path.git, ssh://git@host/path.git. A password
# in it stays behind.
_REMOTE = re.compile(
    r"(?:https?://(?:[^@/\s]*@)?|ssh://[\w.-]+@|[\w.-]+@)([\w.-]+)[:/]([\w.~-]+(?:/[\w.~-]+)+)", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def commit(sha: str | None, remote: str | None) -> Link | None:
    """Return the commit that a run was started from, with the address that GitHub and its like give it."""
    if not _COMMIT.fullmatch(sha or ""):
        return None
    match = _REMOTE.fullmatch((remote or "")[:500].removesuffix("/").removesuffix(".git"))
    return Link(f"{sha}"[:10], f"https://{match[1]}/{match[2]}/commit/{sha}" if match else "", f"{sha}")


def to_membership(visit: Visit, membership: Membership) -> Link | None:
    """Return a version in one of its collections; None where this user may not see it."""
    collection = artifacts.collection(visit.db, membership.collection_id)
    kind = type_name(visit, collection)
    home = visible_place(visit.db, visit.user, collection.project_id)
    name = f"{collection.name}:v{membership.version_index}"
    return Link(name, home.version(kind, collection.name, membership.version_index), kind) if home else None


def to_artifacts(visit: Visit, versions: Iterable[Artifact]) -> list[Link]:
    """Return those that this user may see somewhere: where they were logged, or else where they are linked."""
    found = (_to_artifact(visit, one) for one in versions)
    return [link for link in found if link is not None]


def _to_artifact(visit: Visit, artifact: Artifact) -> Link | None:
    """Without an address when it was deleted since."""
    places = artifacts.memberships(visit.db, artifact.id)
    if places:
        return next((link for there in places if (link := to_membership(visit, there))), None)
    collection = artifacts.collection(visit.db, artifact.sequence_id)
    if visible_place(visit.db, visit.user, collection.project_id) is None:
        return None
    return Link(f"{collection.name} (deleted)", "", type_name(visit, collection))


def type_name(visit: Visit, collection: Collection) -> str:
    return artifacts.artifact_type(visit.db, collection.type_id).name


def aliases(visit: Visit, membership: Membership) -> list[str]:
    return [alias.name for alias in artifacts.aliases_of(visit.db, membership.id)]
