"""Show the collections of a project or a registry, by the type of their contents."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import artifacts
from modelgate_server.store.artifacts import ArtifactType, Shelved
from modelgate_server.store.projects import Project
from modelgate_server.web import links
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, segment

# Of each type on a page with several; a run may log dozens of tables, each in its own collection.
FIRST = 30
A_PAGE = 100


@dataclass(frozen=True)
class Row:
    """A collection by its newest version; `latest` is None when all were deleted."""

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


def of_project(visit: Visit, project: Project, home: Place) -> list[Kind]:
    """Return the first collections of each type; what the SDK logs by itself (`run_table`) comes last."""
    counts = artifacts.collection_counts(visit.db, project.id)
    types = [kind for kind in artifacts.types(visit.db, project.id) if kind.id in counts]
    types.sort(key=lambda kind: (kind.name.startswith("run_"), kind.name))
    return [_kind(visit, home, kind, counts[kind.id], FIRST, 0) for kind in types]


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}: all collections of a type."""
    found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    kind = artifacts.find_type(visit.db, found.id, visit.at("type"))
    count = artifacts.collection_counts(visit.db, found.id).get(kind.id, 0) if kind else 0
    if kind is None or not count:
        raise NotFound(f'there is no artifact of type "{visit.at("type")}" in "{home.entity}/{home.project}"')
    first = (visit.page - 1) * A_PAGE
    return visit.show(
        "kind.html",
        place=home,
        kind=_kind(visit, home, kind, count, A_PAGE, first),
        first=first,
        page=visit.page,
        page_size=A_PAGE,
    )


def _kind(visit: Visit, home: Place, kind: ArtifactType, count: int, limit: int, first: int) -> Kind:
    shelved = artifacts.shelf(visit.db, kind.id, limit=limit, first=first)
    url = f"{home.base}/artifacts/{segment(kind.name)}"
    return Kind(kind.name, [_row(visit, home, kind.name, one) for one in shelved], count, url)


def _row(visit: Visit, home: Place, kind: str, shelved: Shelved) -> Row:
    return Row(
        name=shelved.name,
        url=home.collection(kind, shelved.name),
        versions=shelved.versions,
        latest=shelved.latest,
        latest_url=home.version(kind, shelved.name, shelved.latest) if shelved.latest is not None else "",
        aliases=[(name, f"v{number}") for name, number in artifacts.numbered_aliases(visit.db, shelved.id)],
        updated=shelved.updated_at,
    )
