"""
Build the addresses of the pages, which the SDK also prints, from names that come from outside.

sdk/artifacts/artifact.py (Artifact.url), sdk/wandb_settings.py (run_url, project_url), apis/public/projects.py.
A file's path is a query parameter: in an address's path the browser would resolve "a/./b" and lose the file.
"""

import sqlite3
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from modelgate_server.store import accounts, projects
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import REGISTRY_PREFIX, Project

LEGACY_REGISTRY = "model-registry"


def segment(text: str) -> str:
    """One segment of a path. A browser would resolve "..": types may be called so, and stand there only for people."""
    return "-" if text in {".", ".."} else quote(text, safe="")


def query(**values: str) -> str:
    return urlencode({key: value for key, value in values.items() if value})


def picture_url(below: str, path: str) -> str:
    """Return a picture among the files of a run or a version, whose page is at `below`."""
    return f"{below}/picture?{query(path=path)}"


@dataclass(frozen=True)
class Place:
    """A project as a part of addresses; `organization` is set for a registry."""

    entity: str
    project: str
    organization: str | None = None

    @property
    def is_registry(self) -> bool:
        return self.organization is not None or self.project == LEGACY_REGISTRY

    @property
    def title(self) -> str:
        """A registry's name is short; its project's has a prefix."""
        return self.project.removeprefix(REGISTRY_PREFIX) if self.organization else self.project

    @property
    def base(self) -> str:
        return f"/{segment(self.entity)}/{segment(self.project)}"

    @property
    def url(self) -> str:
        if self.organization is not None:
            return f"/orgs/{segment(self.organization)}/registry/{segment(self.title)}"
        return f"/{segment(self.entity)}/registry/model" if self.is_registry else self.base

    def run(self, name: str) -> str:
        return f"{self.base}/runs/{segment(name)}"

    def collection(self, type_name: str, name: str) -> str:
        if self.is_registry:
            return f"{self.url}?{query(selectionPath=f'{self.entity}/{self.project}/{name}')}"
        return f"{self.base}/artifacts/{segment(type_name)}/{segment(name)}"

    def version(self, type_name: str, name: str, number: int) -> str:
        if self.is_registry:
            return f"{self.collection(type_name, name)}&view=membership&version=v{number}"
        return self.plain_version(type_name, name, number)

    def plain_version(self, type_name: str, name: str, number: int) -> str:
        """Return the address of what is below a version (its files, its form), which is the same in a registry."""
        return f"{self.base}/artifacts/{segment(type_name)}/{segment(name)}/v{number}"


def place(db: sqlite3.Connection, project: Project) -> Place:
    owner = accounts.entity(db, project.entity_id)
    organization = (
        accounts.organization(db, owner.organization_id)
        if project.is_registry and owner.kind == "organization" and owner.organization_id is not None
        else None
    )
    return Place(owner.name, project.name, organization.name if organization else None)


def visible_place(db: sqlite3.Connection, user: User, project_id: int) -> Place | None:
    """Return the place of a project that this user may see."""
    found = projects.project(db, project_id)
    return place(db, found) if projects.role(db, user, found) is not None else None


def local_path(text: str) -> str:
    """`text` when it is a path on this server, else "/": `//host` and `/\\host` lead elsewhere, so do lost newlines."""
    local = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if local and text.isascii() else "/"
