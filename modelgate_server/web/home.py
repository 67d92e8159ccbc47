"""The first page: projects and registries."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, artifacts, projects, runs
from modelgate_server.store.accounts import Entity
from modelgate_server.store.projects import Project
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, place


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
