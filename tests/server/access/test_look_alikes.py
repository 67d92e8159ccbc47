"""What looks like a protected alias needs the same right. Each test is an attack that once worked.

pytest tests/server/access/test_look_alikes.py
"""

import pytest

from tests.server.access.people import ORGANIZATION, REGISTRY, People

LOOK_ALIKES = [
    "production", "Production", "PRODUCTION", " production", "production ", "pro duction", "production\u200b",
    "produ\u00adction", "\ufeffproduction", "\u0440roduction", "pr\u043educti\u043en", "produc\u03c4ion",
    "\u0440r\u043edu\u0441t\u0456\u043en", "".join(chr(ord(one) + 0xFEE0) for one in "production"),
    "".join(chr(ord(one) - ord("a") + 0x1D41A) for one in "production"), "pr\u00f6duction", "produ\u0301ction",
    "pr0ducti0n", "product1on", "product\u0131on", "prod\u1d1cction", "production\u2060", "pro\u2028duction",
    "production.", "pro-duction", "pro_duction",
]  # fmt: skip


@pytest.mark.parametrize("alias", LOOK_ALIKES, ids=ascii)
def test_what_looks_like_a_protected_alias_needs_the_same_right(people: People, linked: str, alias: str) -> None:
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactCollectionName": "port", "alias": alias}
    answer = people["bob"].mutation("addAliases", "success", artifactID=linked, aliases=[where])
    assert answer.status_code == 403, answer.text
    assert "is protected in" in answer.json()["errors"][0]["message"]
    assert people["ann"].mutation("addAliases", "success", artifactID=linked, aliases=[where]).status_code == 200
    assert people["bob"].mutation("deleteAliases", "success", artifactID=linked, aliases=[where]).status_code == 403
    people["ann"].done("deleteAliases", "success", artifactID=linked, aliases=[where])


FREE = ["products", "producer", "pre-production", "production-2", "производство", "本番", "prod"]


@pytest.mark.parametrize("alias", FREE)
def test_what_does_not_look_like_one_is_free(people: People, linked: str, alias: str) -> None:
    where = {"entityName": ORGANIZATION, "projectName": REGISTRY, "artifactCollectionName": "port", "alias": alias}
    answer = people["bob"].mutation("addAliases", "success", artifactID=linked, aliases=[where])
    assert answer.status_code == 200, answer.text
