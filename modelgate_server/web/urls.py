"""
Build the addresses of the pages, which the SDK also prints, from names that come from outside.

sdk/artifacts/artifact.py (Artifact.url), sdk/wandb_settings.py (run_url, project_url), apis/public/projects.py.

A file's path is a query parameter: in an address's path, the browser would resolve "a/./b" and lose the file.
"""

import sqlite3
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from modelgate_server.store import accounts, projects
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import REGISTRY_PREFIX, Project

LEGACY_REGISTRY = "model-registry"


def quote_segment(text: str) -> str:
    """
    Quote one segment of a path. A browser would resolve "..", which may be the name of a type. The type is only there
    for people.
    """
    return "-" if text in {".", ".."} else quote(text, safe="")


def encode_query(**values: str) -> str:
    return urlencode({key: value for key, value in values.items() if value})


def build_picture_url(below: str, path: str) -> str:
    """Return the address of a picture in a run or a version whose page is at `below`."""
    return f"{below}/picture?{encode_query(path=path)}"


@dataclass(frozen=True)
class Place:
    """A project in addresses; `organization` is set for a registry."""

    entity: str
    project: str
    organization: str | None = None

    @property
    def is_registry(self) -> bool:
        return self.organization is not None or self.project == LEGACY_REGISTRY

    @property
    def title(self) -> str:
        """The name to show: for a registry, its project's name without the prefix."""
        return self.project.removeprefix(REGISTRY_PREFIX) if self.organization else self.project

    @property
    def base(self) -> str:
        return f"/{quote_segment(self.entity)}/{quote_segment(self.project)}"

    @property
    def url(self) -> str:
        if self.organization is not None:
            return f"/orgs/{quote_segment(self.organization)}/registry/{quote_segment(self.title)}"
        return f"/{quote_segment(self.entity)}/registry/model" if self.is_registry else self.base

    def build_run_url(self, name: str) -> str:
        return f"{self.base}/runs/{quote_segment(name)}"

    def build_collection_url(self, type_name: str, name: str) -> str:
        if self.is_registry:
            return f"{self.url}?{encode_query(selectionPath=f'{self.entity}/{self.project}/{name}')}"
        return f"{self.base}/artifacts/{quote_segment(type_name)}/{quote_segment(name)}"

    def build_version_url(self, type_name: str, name: str, number: int) -> str:
        if self.is_registry:
            return f"{self.build_collection_url(type_name, name)}&view=membership&version=v{number}"
        return self.build_plain_version_url(type_name, name, number)

    def build_plain_version_url(self, type_name: str, name: str, number: int) -> str:
        """Return the address below which a version's files and form are; it is the same in a registry."""
        return f"{self.base}/artifacts/{quote_segment(type_name)}/{quote_segment(name)}/v{number}"


def get_place(db: sqlite3.Connection, project: Project) -> Place:
    owner = accounts.get_entity(db, project.entity_id)
    organization = (
        accounts.get_organization(db, owner.organization_id)
        if project.is_registry and owner.kind == "organization" and owner.organization_id is not None
        else None
    )
    return Place(owner.name, project.name, organization.name if organization else None)


def find_visible_place(db: sqlite3.Connection, user: User, project_id: int) -> Place | None:
    """Return the place of a project if this user may see it."""
    project = projects.get_project(db, project_id)
    return get_place(db, project) if projects.find_role(db, user, project) is not None else None


def keep_local_path(text: str) -> str:
    """
    Return `text` if it is a path on this server, else "/": `//host`, `/\\host` and removed newlines would lead
    elsewhere.
    """
    local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if local and text.isascii() else "/"
