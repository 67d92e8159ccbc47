"""One server with people in it, for all tests of access."""

from collections.abc import Iterator

import pytest

from modelgate_server.store import accounts, projects, protection, registry
from modelgate_server.store.db import Database
from tests.server.access.people import NAMES, ORGANIZATION, REGISTRY, SECRET, TEAM, People, version
from tests.server.wire import Wire
from tests.serving import serving


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with serving(tmp_path_factory.mktemp("access") / "server") as server:
        with Database(server.data / "server.db").write() as db:
            organization = accounts.find_organization(db, ORGANIZATION)
            assert organization
            team = accounts.create_team(db, TEAM, organization.id)
            for name in NAMES:
                user = accounts.create_user(db, name)
                accounts.add_key(db, user.id, f"local-{name:x<40}")
                role = {"ann": "admin", "bob": "member", "vic": "viewer"}.get(name)
                if role:
                    accounts.set_organization_member(db, organization.id, user.id, role)
                    accounts.set_team_member(db, team.id, user.id, role)
        wires = {name: Wire(server.url, f"local-{name:x<40}") for name in NAMES}
        wires["ann"].done("upsertModel", "inserted", entityName=ORGANIZATION, name=REGISTRY, access="PRIVATE")
        with Database(server.data / "server.db").write() as db:
            home, rex = projects.find_by_path(db, f"{ORGANIZATION}/{REGISTRY}"), accounts.find_user(db, "rex")
            assert home and rex
            registry.set_member(db, home, rex.id, "restricted_viewer")
            protection.protect(db, home, "production")
        yield People(server, wires)


@pytest.fixture(scope="session")
def linked(people: People) -> str:
    """A version of the team, linked into the registry."""
    artifact = version(people["ann"], TEAM, "secret", SECRET)
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactPortfolioName": "port"}
    people["ann"].done("linkArtifact", "versionIndex", artifactID=artifact, aliases=[{"alias": "good"}], **where)
    return artifact
