"""Runs and versions as a page names them: a text, and an address where this user may follow it."""

from dataclasses import dataclass

from modelgate_server.errors import NotFound
from modelgate_server.store import artifacts, projects
from modelgate_server.store.artifacts import Artifact, Collection, Membership
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.web.access import Visit
from modelgate_server.web.addresses import Place, place, visible_place


@dataclass(frozen=True)
class Link:
    """`url` is empty for what this user may not see; `note` is the job type or the artifact's type."""

    text: str
    url: str
    note: str


def project(visit: Visit, entity: str, name: str) -> tuple[Project, Place]:
    """The project that an address names; NotFound, the same whether it is missing or not this user's."""
    found = projects.readable(visit.db, visit.user, entity, name)
    if found is None:
        raise NotFound(f'there is no project "{entity}/{name}" that you may see')
    return found, place(visit.db, found)


def to_run(visit: Visit, run: Run) -> Link:
    home = visible_place(visit.db, visit.user, run.project_id)
    return Link(run.display_name, home.run(run.name) if home else "", run.job_type or "run")


def to_membership(visit: Visit, found: Membership) -> Link:
    """A version in one of its collections."""
    collection = artifacts.collection(visit.db, found.collection_id)
    kind = type_name(visit, collection)
    home = visible_place(visit.db, visit.user, collection.project_id)
    url = home.version(kind, collection.name, found.version_index) if home else ""
    return Link(f"{collection.name}:v{found.version_index}", url, kind)


def to_artifact(visit: Visit, found: Artifact) -> Link:
    """A version where it was logged; without an address when it was deleted since."""
    places = artifacts.memberships(visit.db, found.id)
    if places:
        return to_membership(visit, places[0])
    collection = artifacts.collection(visit.db, found.sequence_id)
    return Link(f"{collection.name} (deleted)", "", type_name(visit, collection))


def type_name(visit: Visit, collection: Collection) -> str:
    return artifacts.artifact_type(visit.db, collection.type_id).name


def aliases(visit: Visit, found: Membership) -> list[str]:
    return [alias.name for alias in artifacts.aliases_of(visit.db, found.id)]
