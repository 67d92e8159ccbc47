"""
Who gets in, and what a form must bring: logins, sessions, redirects, other people's sites.

    pytest tests/web/test_access.py
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from modelgate_server.store import accounts, projects, protection, registry
from modelgate_server.store.accounts import User
from modelgate_server.store.db import Database
from modelgate_server.web import session as session_module
from modelgate_server.web.session import MAX_LINKS, Links, Sessions
from modelgate_server.web.urls import keep_local_path
from tests.serving import Server, serving
from tests.web.conftest import REGISTRY, Visitor, alias_form, registry_version

PAGES = (
    "/",
    "/local",
    "/local/pages",
    "/local/pages/workspace",
    "/local/pages/alerts",
    "/local/pages/runs/trainer",
    "/local/pages/runs/trainer/delete",
    "/local/pages/artifacts/model/seen_model/v0",
    "/local/pages/artifacts/model/seen_model/v0/download?path=model.bin",
    "/local/pages/artifacts/model/seen_model/v0/picture?path=model.bin",
    "/orgs/local-org/registry/model",
    registry_version("v0"),
)


@pytest.mark.parametrize("path", PAGES)
def test_a_stranger_is_sent_to_the_login_and_sees_nothing(stranger: Visitor, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert answer.text == ""


def test_after_the_login_one_is_where_one_wanted_to_go(stranger: Visitor) -> None:
    login = stranger.get(registry_version("v0")).headers["location"]
    wanted = re.search(r'name="next" value="([^"]*)"', stranger.get(login).text)
    assert wanted
    answer = stranger.post("/login", key=stranger.server.key, next=wanted[1].replace("&amp;", "&"))
    assert answer.headers["location"] == registry_version("v0")
    assert stranger.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("key", ["", "wrong", "local-" + "f" * 40, "local-0123456789"])
def test_a_wrong_key_is_refused_and_not_repeated(stranger: Visitor, key: str) -> None:
    answer = stranger.post("/login", key=key)
    assert answer.status_code == 401
    assert "does not know that key" in answer.text
    assert "set-cookie" not in answer.headers
    assert not key or key not in answer.text


def test_the_cookie_is_out_of_reach_and_has_no_key_in_it(stranger: Visitor) -> None:
    cookie = stranger.post("/login", key=stranger.server.key).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert stranger.server.key not in cookie
    assert stranger.server.key not in stranger.server.log.read_text()


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/\t/evil.example", "javascript:alert(1)", "evil"],
)
def test_next_leads_to_no_other_site(stranger: Visitor, target: str) -> None:
    assert keep_local_path(target) == "/"
    assert stranger.post("/login", key=stranger.server.key, next=target).headers["location"] == "/"


def test_a_logout_ends_the_session_for_a_kept_cookie_too(visitor: Visitor) -> None:
    kept = visitor.http.cookies.copy()
    assert visitor.post("/logout", csrf=visitor.csrf()).status_code == 303
    visitor.http.cookies = kept
    assert visitor.get("/").status_code == 303


def test_a_logout_lasts_longer_than_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        visitor = Visitor(server).log_in()
        kept = visitor.http.cookies.copy()
        assert visitor.post("/logout", csrf=visitor.csrf()).status_code == 303
        still_in = Visitor(server).log_in()
    with serving(tmp_path / "server", port=server.port):
        visitor.http.cookies = kept
        assert visitor.get("/").status_code == 303
        assert still_in.get("/").status_code == 200


@pytest.mark.parametrize("part", range(4))
def test_a_changed_cookie_is_none(visitor: Visitor, part: int) -> None:
    name, token = next(iter(visitor.http.cookies.items()))
    parts = token.split(".")
    parts[part] = str(int(parts[part]) + 1) if parts[part].isdigit() else parts[part][::-1]
    visitor.http.cookies.clear()
    visitor.http.cookies.set(name, ".".join(parts))
    assert visitor.get("/").status_code == 303


RUN = "/local/pages/runs/trainer"
# What is refused, sent to each form that changes something: then nothing is changed.
FORMS = {
    alias_form("v0"): {"alias": "smuggled", "do": "add"},
    f"{RUN}/rename": {"name": "smuggled"},
    f"{RUN}/delete": {},
}


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("csrf", ["", "0" * 64])
def test_a_form_without_the_token_of_its_session_changes_nothing(visitor: Visitor, path: str, csrf: str) -> None:
    answer = visitor.post(path, csrf=csrf, **FORMS[path])
    assert answer.status_code == 403
    assert "belongs to another session" in answer.text
    assert "smuggled" not in visitor.get(registry_version("v0")).text + visitor.get(RUN).text


@pytest.mark.parametrize("path", FORMS)
def test_the_token_of_another_session_does_not_count(visitor: Visitor, stranger: Visitor, path: str) -> None:
    other = stranger.log_in().csrf()
    assert visitor.post(path, csrf=other, **FORMS[path]).status_code == 403


@pytest.mark.parametrize("path", FORMS)
def test_a_form_from_another_site_is_refused(visitor: Visitor, path: str) -> None:
    answer = visitor.post(path, headers={"Origin": "http://evil.example"}, csrf=visitor.csrf(), **FORMS[path])
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_a_session_is_sent_to_the_login(stranger: Visitor, path: str) -> None:
    answer = stranger.post(path, csrf="0" * 64, **FORMS[path])
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_a_form_that_is_too_long_or_none_is_refused(visitor: Visitor) -> None:
    assert visitor.post("/login", key="k" * 20_000).status_code == 413
    assert visitor.post("/login", headers={"Content-Type": "application/json"}, key="k").status_code == 400
    assert visitor.post("/login", **{f"field{number}": "" for number in range(50)}).status_code == 400


@pytest.mark.parametrize("path", ["/login", "/", "/local/nothing", "/-/pages.css", "/local/pages"])
def test_every_answer_forbids_frames_and_foreign_scripts(visitor: Visitor, path: str) -> None:
    headers = visitor.get(path).headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


# --- links that sign in ---------------------------------------------------------------------------------------------


def link(server: Server, key: str = "", **headers: str) -> requests.Response:
    return requests.post(
        f"{server.url}/login/link", auth=("api", key or server.key), headers=headers, timeout=60, allow_redirects=False
    )


def test_a_link_signs_in_once_and_has_no_key_in_it(server: Server, stranger: Visitor) -> None:
    path = link(server).json()["path"]
    assert server.key not in path
    assert requests.head(server.url + path, timeout=60).status_code == 200  # someone's preview uses nothing up
    answer = stranger.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=strict" in answer.headers["set-cookie"]
    assert stranger.get("/").status_code == 200
    second = Visitor(server)
    again = second.get(path)
    assert again.status_code == 401 and "was already used, or is too old" in again.text
    assert "set-cookie" not in again.headers
    assert second.get("/").status_code == 303


def test_a_link_is_for_who_has_the_key(server: Server) -> None:
    assert link(server, "local-" + "f" * 40).status_code == 401
    assert requests.post(f"{server.url}/login/link", timeout=60).status_code == 401


@pytest.mark.parametrize("name", ["link", "x", "A" * 43, "%00"])
def test_a_link_that_was_never_made_signs_nobody_in(stranger: Visitor, name: str) -> None:
    answer = stranger.get(f"/login/{name}")
    assert answer.status_code in (401, 404)
    assert "set-cookie" not in answer.headers


def test_a_link_is_of_this_machine_alone(server: Server, stranger: Visitor) -> None:
    elsewhere = {"Host": "wandb.example.org"}
    assert link(server, **elsewhere).status_code == 403
    path = link(server).json()["path"]
    answer = requests.get(server.url + path, headers=elsewhere, timeout=60, allow_redirects=False)
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


# --- other users ----------------------------------------------------------------------------------------------------

EVES_KEY = "local-" + "e" * 40


@pytest.fixture(scope="session")
def eve(server: Server) -> str:
    """The key of someone who is not in any organisation."""
    with Database(server.data / "server.db").write() as db:
        accounts.add_key(db, accounts.create_user(db, "eve").id, EVES_KEY)
    return EVES_KEY


@pytest.fixture
def eve_may_look(server: Server, eve: str) -> Iterator[None]:
    """Eve as a viewer of the organisation, for one test."""
    database = Database(server.data / "server.db")
    with database.write() as db:
        user, organization = accounts.find_user(db, "eve"), accounts.find_organization(db, "local-org")
        assert user
        assert organization
        accounts.set_organization_member(db, organization.id, user.id, "viewer")
    yield
    with database.write() as db:
        db.execute("DELETE FROM organization_members WHERE user_id = ?", (user.id,))


@pytest.mark.parametrize("path", [path for path in PAGES if path not in ("/", "/local")])
def test_what_is_not_ones_own_is_not_there(stranger: Visitor, eve: str, path: str) -> None:
    answer = stranger.log_in(eve).get(path)
    assert answer.status_code == 404
    assert "seen_model:v0" not in answer.text


def test_another_user_finds_nothing_of_ours_on_the_first_pages(stranger: Visitor, eve: str) -> None:
    stranger.log_in(eve)
    assert not any("/local/pages" in stranger.get(path).text for path in ("/", "/local"))


def test_a_form_of_somebody_elses_version_is_refused(stranger: Visitor, visitor: Visitor, eve: str) -> None:
    assert stranger.log_in(eve).change_alias("v0", "stolen").status_code == 404
    assert "stolen" not in visitor.get(registry_version("v0")).text


def test_a_form_of_somebody_elses_run_is_refused(stranger: Visitor, visitor: Visitor, eve: str) -> None:
    stranger.log_in(eve)
    for form in ("rename", "delete"):
        answer = stranger.post(f"{RUN}/{form}", csrf=stranger.csrf(), name="stolen")
        assert answer.status_code == 404
    assert "stolen" not in visitor.get(RUN).text


@pytest.mark.usefixtures("eve_may_look")
def test_a_viewer_sees_the_version_and_no_form_and_cannot_move_an_alias(stranger: Visitor, eve: str) -> None:
    stranger.log_in(eve)
    page = stranger.get(registry_version("v0"))
    assert page.status_code == 200
    assert "Add alias" not in page.text
    assert "/local/pages" not in page.text  # nor where it was logged, which she may not see
    assert stranger.change_alias("v0", "stolen").status_code == 403


@pytest.fixture
def eve_is_a_member(server: Server, eve_may_look: None) -> Iterator[None]:
    """Eve may write to the registry, in which `guarded` is protected, for one test."""
    database = Database(server.data / "server.db")
    with database.write() as db:
        user, owner = accounts.find_user(db, "eve"), accounts.find_entity(db, "local-org")
        assert user
        assert owner
        home = projects.find(db, owner.id, "wandb-registry-model")
        assert home
        registry.set_member(db, home, user.id, "member")
        protection.protect(db, home, "guarded")
    yield
    with database.write() as db:
        registry.remove_member(db, home, user.id)
        protection.unprotect(db, home, "guarded")


@pytest.mark.usefixtures("eve_is_a_member")
def test_a_protected_alias_is_marked_and_only_an_admin_sets_it_on_the_page(
    stranger: Visitor, visitor: Visitor, eve: str
) -> None:
    stranger.log_in(eve)
    refused = stranger.change_alias("v0", "guarded")
    assert refused.status_code == 403
    assert (
        "You do not have permission to add this alias to this artifact: the alias &#34;guarded&#34; is protected in"
        " &#34;wandb-registry-model&#34;, and only an admin there may set, move or remove it." in refused.text
    )
    assert visitor.change_alias("v0", "guarded").status_code == 303
    mark = re.compile(r"<span>guarded</span><small>protected</small>")
    remove = 'aria-label="Remove the alias guarded"'
    mine, theirs = (who.get(registry_version("v0")).text for who in (visitor, stranger))
    assert mark.search(mine) and remove in mine
    assert mark.search(theirs) and remove not in theirs and "you are not one" in theirs
    assert "Protected: <b" in stranger.get(REGISTRY).text
    assert stranger.change_alias("v0", "guarded", do="remove").status_code == 403
    assert visitor.change_alias("v0", "guarded", do="remove").status_code == 303


def test_before_the_click_the_page_warns_that_production_moved_by_hand_goes_around_the_approval(
    visitor: Visitor, stranger: Visitor
) -> None:
    """On a version of a registry, where an alias decides what is live; not where the model was logged."""
    page = visitor.get(registry_version("v0")).text
    warning = page.index("Adding or removing <b>production</b> here bypasses the approval")
    assert page.index("Add alias") < warning < page.index('id="files"')
    assert "goes around" not in visitor.get("/local/pages/artifacts/model/seen_model/v0").text


@pytest.mark.usefixtures("eve_may_look")
def test_who_cannot_add_an_alias_is_not_warned(stranger: Visitor, eve: str) -> None:
    assert "goes around" not in stranger.log_in(eve).get(registry_version("v0")).text


# --- sessions, without HTTP -----------------------------------------------------------------------------------------


@pytest.fixture
def user(tmp_path) -> tuple[Database, User]:
    database = Database(tmp_path / "server.db")
    with database.write() as db:
        made = accounts.create_user(db, "ada")
        accounts.add_key(db, made.id, "local-" + "a" * 40)
    return database, made


def test_a_session_ends_with_its_time(user: tuple[Database, User], monkeypatch: pytest.MonkeyPatch) -> None:
    database, ada = user
    sessions = Sessions(b"secret")
    with database.read() as db:
        fresh = sessions.start(db, ada)
        monkeypatch.setattr(session_module, "SESSION_TTL_S", -1)
        old = sessions.start(db, ada)
        assert sessions.find(db, fresh)
        assert sessions.find(db, old) is None


def test_a_session_ends_with_the_users_key(user: tuple[Database, User]) -> None:
    database, ada = user
    sessions = Sessions(b"secret")
    with database.write() as db:
        token = sessions.start(db, ada)
        assert sessions.find(db, token)
        accounts.revoke_keys(db, ada.id)
        accounts.add_key(db, ada.id, "local-" + "b" * 40)
        assert sessions.find(db, token) is None


def test_a_link_ends_with_its_time_and_gives_a_session_once(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Links()
    name = links.make("session")
    assert links.take(name) == "session"
    assert links.take(name) is None
    monkeypatch.setattr(session_module, "LINK_TTL_S", -1)
    assert links.take(links.make("session")) is None


def test_links_that_nobody_follows_do_not_pile_up() -> None:
    links = Links()
    names = [links.make(str(number)) for number in range(MAX_LINKS + 5)]
    assert len(links._sessions) == MAX_LINKS
    assert links.take(names[4]) is None
    assert links.take(names[-1]) == str(MAX_LINKS + 4)


def test_a_session_is_of_one_server(user: tuple[Database, User]) -> None:
    database, ada = user
    with database.read() as db:
        token = Sessions(b"secret").start(db, ada)
        assert Sessions(b"another").find(db, token) is None
