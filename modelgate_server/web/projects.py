"""The first page, and that of a project: its runs and its artifacts."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, alerts, artifacts, projects, runs
from modelgate_server.store.accounts import Entity
from modelgate_server.store.projects import Project
from modelgate_server.web import kinds, links, listing, series
from modelgate_server.web.access import Visit, see_other
from modelgate_server.web.addresses import Place, place


@dataclass(frozen=True)
class Card:
    """A project or a registry, in a list."""

    place: Place
    runs: int
    collections: int
    updated: str


def home(visit: Visit) -> Response:
    """GET /: everything that this user may see."""
    owners = accounts.teams(visit.db, visit.user.id)
    for organization in accounts.organizations_of(visit.db, visit.user.id):
        owners.append(accounts.organization_entity(visit.db, organization.id))
    return _home(visit, _cards(visit, owners), "")


def entity(visit: Visit) -> Response:
    """GET /{entity}"""
    owner = accounts.find_entity(visit.db, visit.at("entity"))
    cards = _cards(visit, [owner]) if owner else []
    if owner is None or (not cards and projects.entity_role(visit.db, visit.user, owner) is None):
        raise NotFound(f'there is no entity "{visit.at("entity")}" that you may see')
    return _home(visit, cards, owner.name)


def _cards(visit: Visit, owners: list[Entity]) -> list[Card]:
    return [
        _card(visit, found)
        for owner in owners
        for found in projects.of_entity(visit.db, owner.id)
        if projects.role(visit.db, visit.user, found) is not None
    ]


def _home(visit: Visit, cards: list[Card], name: str) -> Response:
    registries = [card for card in cards if card.place.is_registry]
    others = [card for card in cards if not card.place.is_registry]
    return visit.show("home.html", entity=name, registries=registries, projects=others)


def _card(visit: Visit, project: Project) -> Card:
    count, latest = runs.extent(visit.db, project.id)
    collections = artifacts.collections(visit.db, project.id)
    times = [project.updated_at, latest, *(one.updated_at for one in collections)]
    return Card(place(visit.db, project), count, len(collections), max(times))


def show(visit: Visit) -> Response:
    """GET /{entity}/{project}, and /registry/model for people, who know no organization by heart."""
    try:
        found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    except NotFound:
        registry = links.registry(visit, visit.at("project")) if visit.at("entity") == "registry" else None
        if registry is None:
            raise
        return see_other(registry.url)
    if home.organization is not None:
        return see_other(home.url)
    listed, compared = listing.listing(visit, found.id, listing.Choice.read(visit), home.run)
    return visit.show(
        "project.html",
        place=home,
        listing=listed,
        compared=compared,
        groups=listing.GROUPS,
        page_size=listing.RUNS_A_PAGE,
        kinds=kinds.of_project(visit, found, home),
        alerts=sum(alerts.counts(visit.db, found.id).values()),
    )


def points(visit: Visit) -> Response:
    """GET /{entity}/{project}/series?run=&run=: the points of several runs, for one chart of each metric."""
    found, _ = links.project(visit, visit.at("entity"), visit.at("project"))
    return series.answer(visit, listing.picked(visit, found.id, visit.request.query_params.getlist("run")))
