"""Show the collections of a project or a registry, by the type of their contents."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import aliases, artifact_collections
from modelgate_server.store.artifact_collections import ArtifactType, Shelved
from modelgate_server.store.projects import Project
from modelgate_server.web import links
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, quote_segment

# Collections per type on a page with several types; a run may log dozens of tables, each in its own collection.
FIRST = 30
A_PAGE = 100


@dataclass(frozen=True)
class Row:
    """A collection with its newest version; `latest` is None if all versions were deleted."""

    name: str
    url: str
    versions: int
    latest: int | None
    latest_url: str
    aliases: list[tuple[str, str]]
    updated: str


@dataclass(frozen=True)
class Kind:
    name: str
    rows: list[Row]
    count: int
    url: str


def list_by_project(visit: Visit, project: Project, home: Place) -> list[Kind]:
    """Return the first collections of each type. What the SDK logs by itself (`run_table`) comes last."""
    counts = artifact_collections.count_by_type(visit.db, project.id)
    types = [kind for kind in artifact_collections.list_types(visit.db, project.id) if kind.id in counts]
    types.sort(key=lambda kind: (kind.name.startswith("run_"), kind.name))
    return [_build_kind(visit, home, kind, counts[kind.id], FIRST, 0) for kind in types]


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}: all collections of a type."""
    project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    kind = artifact_collections.find_type(visit.db, project.id, visit.read_path("type"))
    count = artifact_collections.count_by_type(visit.db, project.id).get(kind.id, 0) if kind else 0
    if kind is None or not count:
        raise NotFound(f'there is no artifact of type "{visit.read_path("type")}" in "{home.entity}/{home.project}"')
    first = (visit.page - 1) * A_PAGE
    return visit.show(
        "kind.html",
        place=home,
        kind=_build_kind(visit, home, kind, count, A_PAGE, first),
        first=first,
        page=visit.page,
        page_size=A_PAGE,
    )


def _build_kind(visit: Visit, home: Place, kind: ArtifactType, count: int, limit: int, first: int) -> Kind:
    shelved = artifact_collections.list_shelved(visit.db, kind.id, limit=limit, first=first)
    url = f"{home.base}/artifacts/{quote_segment(kind.name)}"
    return Kind(kind.name, [_build_row(visit, home, kind.name, collection) for collection in shelved], count, url)


def _build_row(visit: Visit, home: Place, kind: str, shelved: Shelved) -> Row:
    return Row(
        name=shelved.name,
        url=home.build_collection_url(kind, shelved.name),
        versions=shelved.versions,
        latest=shelved.latest,
        latest_url=home.build_version_url(kind, shelved.name, shelved.latest) if shelved.latest is not None else "",
        aliases=[(name, f"v{number}") for name, number in aliases.list_numbered(visit.db, shelved.id)],
        updated=shelved.updated_at,
    )
