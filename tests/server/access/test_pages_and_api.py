"""Pages and API hide the same things. Each test is an attack that once worked.

pytest tests/server/access/test_pages_and_api.py
"""

import html
import json
import re

import pytest
import requests

from modelgate_server.store import accounts, projects, registry
from modelgate_server.store.db import Database
from tests.server.access.people import ORGANIZATION, REGISTRY, TEAM, People, version
from tests.server.wire import Wire

CANARY = "canary"


@pytest.fixture(scope="module")
def guarded(people: People) -> None:
    """Everything of ann's has a canary in its name; one version is in the registry, under a name without one."""
    ann, project = people["ann"], f"{CANARY}-project"
    fields = {"entityName": TEAM, "modelName": project, "name": f"{CANARY}-run", "displayName": f"{CANARY}-shown"}
    fields |= {"jobType": f"{CANARY}-job", "notes": f"{CANARY}-notes", "groupName": f"{CANARY}-group"}
    fields |= {"config": json.dumps({f"{CANARY}-key": {"value": f"{CANARY}-value"}})}
    ann.done("upsertBucket", "inserted", **fields)
    other = version(ann, TEAM, project, {f"{CANARY}.txt": b"x"}, f"{CANARY}-collection")
    shown = version(ann, TEAM, project, {f"{CANARY}-file.txt": b"y"}, "shown")
    at = {"entityName": TEAM, "projectName": project}
    where = {**at, "artifactCollectionName": "shown", "alias": f"{CANARY}-alias"}
    ann.done("addAliases", "success", artifactID=shown, aliases=[where])
    for artifact in (other, shown):
        ann.done("useArtifact", "artifact { id }", artifactID=artifact, runName=f"{CANARY}-run", **at)
    there = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactPortfolioName": "open"}
    ann.done("linkArtifact", "versionIndex", artifactID=shown, **there)
    ann.done("createTeam", "entity { id }", teamName=f"{CANARY}-team")
    ann.done("upsertModel", "inserted", entityName=ORGANIZATION, name=f"wandb-registry-{CANARY}", access="RESTRICTED")


def links_in(text: str) -> set[str]:
    return {html.unescape(one) for one in re.findall(r'(?:href|src|action)="(/[^"#]*)', text)}


def crawled(wire: Wire) -> dict[str, str]:
    """Every page that leads to every other, from the first and from those that someone may guess."""
    session = requests.Session()
    assert session.post(f"{wire.url}/login", data={"key": wire.key}, timeout=60, allow_redirects=False).ok
    path = f"{ORGANIZATION}%2F{REGISTRY}%2Fopen"
    waiting = {"/", f"/{TEAM}", f"/{ORGANIZATION}", "/orgs/local-org/registry/shared", "/_internal/status"}
    waiting |= {f"/orgs/local-org/registry/shared?selectionPath={path}&view=membership&version=v0"}
    seen: dict[str, str] = {}
    while waiting - seen.keys():
        one = min(waiting - seen.keys())
        seen[one] = session.get(wire.url + one, timeout=60, headers={"Accept": "text/html"}).text
        waiting |= {link for link in links_in(seen[one]) if not link.startswith(("/logout", "/-/"))}
    return seen


@pytest.mark.usefixtures("guarded")
def test_no_page_shows_what_the_api_hides(people: People) -> None:
    """rex is a restricted viewer of the registry and nothing else."""
    with Database(people.server.data / "server.db").write() as db:
        home, eve = projects.find_by_path(db, f"{ORGANIZATION}/{REGISTRY}"), accounts.find_user(db, "eve")
        assert home and eve
        registry.set_member(db, home, eve.id, "viewer")
    try:
        for name in ("rex", "eve"):
            pages = crawled(people[name])
            shown = [path for path, text in pages.items() if "open:v0" in text]
            assert shown, "the version itself was not reached"
            told = [path for path, text in pages.items() if CANARY in text]
            # A viewer of the registry may have the version's files, and so knows what they are called.
            allowed = f"{CANARY}-file.txt"
            told = [path for path in told if name == "rex" or CANARY in pages[path].replace(allowed, "")]
            assert not told, (name, told, [pages[one][max(0, pages[one].find(CANARY) - 200) :][:300] for one in told])
    finally:
        with Database(people.server.data / "server.db").write() as db:
            registry.remove_member(db, home, eve.id)


EVERYTHING = """query($e: String!, $p: String!) {
  viewer { teams { edges { node { name } } } organizations { name orgEntity { projects { edges { node { name } } } } } }
  entity(name: "local-org") { name members { username } projects { edges { node { name } } }
    artifactCollections { edges { node { name } } } }
  team: entity(name: "crew") { members { username } organization { name } projects { edges { node { name } } } }
  models(entityName: "crew") { edges { node { name } } }
  project(entityName: $e, name: $p) { name
    artifactCollections { edges { node { name
      artifacts { edges { node { createdBy { ... on Run { name displayName } } metadata commitHash
        usedBy { edges { node { name displayName } } } aliases { alias } artifactMemberships { edges { node { id } } }
        artifactSequence { project { name } aliases { edges { node { alias } } }
          artifacts { edges { node { digest } } } }
        artifactType { artifactCollections { edges { node { name } } } } } } } } } } } }"""


@pytest.mark.usefixtures("guarded")
def test_the_api_says_no_more_than_the_pages(people: People) -> None:
    answer = people["rex"].graphql(EVERYTHING, e=ORGANIZATION, p=REGISTRY)
    assert answer.status_code == 200, answer.text
    assert '"open"' in answer.text and CANARY not in answer.text
