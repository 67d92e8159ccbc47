"""Show the first page: projects and registries."""

from dataclasses import dataclass

from starlette.responses import Response

from modelgate_server.errors import NotFound
from modelgate_server.store import accounts, artifact_collections, projects, runs
from modelgate_server.store.accounts import Entity
from modelgate_server.store.projects import Project
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import Place, get_place


@dataclass(frozen=True)
class Card:
    """A project or a registry, in a list."""

    place: Place
    runs: int
    collections: int
    updated: str


def show_home(visit: Visit) -> Response:
    """GET /: everything that this user may see."""
    owners = accounts.list_teams(visit.db, visit.user.id)
    for organization in accounts.list_organizations(visit.db, visit.user.id):
        owners.append(accounts.get_organization_entity(visit.db, organization.id))
    return _show_cards(visit, _list_cards(visit, owners), "")


def show_entity(visit: Visit) -> Response:
    """GET /{entity}"""
    owner = accounts.find_entity(visit.db, visit.read_path("entity"))
    cards = _list_cards(visit, [owner]) if owner else []
    if owner is None or (not cards and projects.find_entity_role(visit.db, visit.user, owner) is None):
        raise NotFound(f'there is no entity "{visit.read_path("entity")}" that you may see')
    return _show_cards(visit, cards, owner.name)


def _list_cards(visit: Visit, owners: list[Entity]) -> list[Card]:
    return [
        _build_card(visit, project)
        for owner in owners
        for project in projects.list_by_entity(visit.db, owner.id)
        if projects.find_role(visit.db, visit.user, project) is not None
    ]


def _show_cards(visit: Visit, cards: list[Card], name: str) -> Response:
    registries = [card for card in cards if card.place.is_registry]
    others = [card for card in cards if not card.place.is_registry]
    return visit.show("home.html", entity=name, registries=registries, projects=others)


def _build_card(visit: Visit, project: Project) -> Card:
    count, latest = runs.summarize_project(visit.db, project.id)
    collections = artifact_collections.list_by_project(visit.db, project.id)
    times = [project.updated_at, latest, *(collection.updated_at for collection in collections)]
    return Card(get_place(visit.db, project), count, len(collections), max(times))
