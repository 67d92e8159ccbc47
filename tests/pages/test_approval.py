"""
The pages of a loop: what is in production, the ledger, and an approval by a click.

    pytest tests/pages/test_approval.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.pages.conftest import APPROVAL, Loop, Visitor
from tests.pages.seeding import HOSTILE, NEW_MISTAKES
from tests.serving import until
from tests.web.browser import DEADLINE_MS, DESKTOP, FLAGS, audit
from tests.web.conftest import chromium  # noqa: F401

LEDGER = "/-/ledger/glyphs"
PAGES = {"loop": "/", "approval": APPROVAL, "ledger": LEDGER}
REGISTRY = "local-org/wandb-registry-model"
expect.set_options(timeout=DEADLINE_MS)
ASK = """
import json, wandb
from modelgate.promotion import ledger
api = wandb.Api()
entries = ledger.read(api, "local/glyphs-dev/glyphs_promotions")
print(json.dumps({
    "production": api.artifact("local-org/wandb-registry-model/glyphs-dev:production").version,
    "entries": [[entry.content["approver"], entry.content["approval"], entry.applied] for entry in entries],
}))
"""


@pytest.fixture
def visitor(loop: Loop) -> Visitor:
    return Visitor(loop).sign_in()


def admin(loop: Loop, *args: str) -> str:
    command = [sys.executable, "-m", "modelgate_server", "admin", "--data", str(loop.folder / "server"), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def member(loop: Loop) -> Visitor:
    """A person with their own key, who is a member of the registry."""
    key = admin(loop, "add-user", "bob")
    admin(loop, "add-member", "local-org", "bob")
    admin(loop, "add-registry-member", REGISTRY, "bob")
    return Visitor(loop).sign_in(key)


@pytest.fixture
def demoted(loop: Loop) -> Iterator[None]:
    """The machine's own key is a member of the registry, but not an admin, while the test runs."""
    admin(loop, "add-registry-member", REGISTRY, "local", "--role", "member")
    yield
    admin(loop, "add-registry-member", REGISTRY, "local", "--role", "admin")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:  # noqa: F811
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=DEADLINE_MS)
        yield launched
        launched.close()


@pytest.fixture
def page(loop: Loop, browser: Browser) -> Iterator[Page]:
    """The person at this machine, signed in. The test fails if a stored script runs or the browser reports an error."""
    troubles: list[str] = []
    page = browser.new_page(base_url=loop.url)
    page.set_default_timeout(DEADLINE_MS)
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(f"a script ran: {dialog.message}"))
    page.on("request", lambda sent: None if sent.url.startswith(loop.url) else troubles.append(sent.url))
    page.goto(loop.link())
    yield page
    page.close()
    assert troubles == []


def test_pages_where_nothing_ran_say_what_to_type(loop: Loop) -> None:
    assert "Nothing is in production yet" in loop.empty["/"]
    assert "No run yet" in loop.empty["/"]
    assert "make run USE_CASE=glyphs" in loop.empty["/"]
    assert "Nothing waits for an approval" in loop.empty[APPROVAL]
    assert "make run" in loop.empty[APPROVAL]
    assert "make run USE_CASE=glyphs" in loop.empty[LEDGER]


def test_home_says_what_is_in_production_and_what_waits_without_a_script(loop: Loop, visitor: Visitor) -> None:
    text = visitor.get("/")
    assert "glyphs-dev:v0" in text
    assert "approved by <b>ada</b>" in text
    assert "1.0000" in text
    assert "Read the report and decide" in text
    assert "promote_model" in text
    assert "<script>alert" not in text


def test_what_waits_for_its_first_approval_is_not_called_untrained(loop: Loop, visitor: Visitor) -> None:
    assert "make run USE_CASE=remote" in visitor.get("/")
    loop.wait_for_approval(use_case="remote")
    try:
        home = visitor.get("/")
        assert "Read the report and decide" in home and "USE_CASE=remote" not in home
    finally:
        loop.wait_for_approval()


def test_each_use_case_that_waits_has_its_page(loop: Loop, visitor: Visitor) -> None:
    loop.wait({"glyphs": loop.pending(), "remote": loop.pending(use_case="remote", evidence="local/p/e:v0")})
    try:
        home = visitor.get("/")
        assert all(f'href="{APPROVAL}?use_case={name}"' in home for name in ("glyphs", "remote"))
        ours, other = visitor.get(f"{APPROVAL}?use_case=glyphs"), visitor.get(f"{APPROVAL}?use_case=remote")
        assert "<button>Approve" in ours and f'href="{APPROVAL}?use_case=remote"' in ours
        assert f"{loop.url}/x.png" in ours and "127.0.0.1:9/" not in ours  # the report's link, at the port of today
        assert "its evaluation cannot be read" in other and f'href="{APPROVAL}?use_case=glyphs"' in other
    finally:
        loop.wait_for_approval()


def test_a_ledger_has_pages_and_only_of_use_cases_that_there_are(visitor: Visitor) -> None:
    assert "The ledger and the registry agree: 1 entry" in visitor.get(LEDGER)
    assert "There are no entries on this page" in visitor.get(f"{LEDGER}?page=2")
    assert "There is no use case &#34;nothing&#34;" in visitor.get("/-/ledger/nothing")


def test_home_of_the_server_itself_is_one_link_away(visitor: Visitor) -> None:
    assert "/-/all" in visitor.get("/")
    assert "Registries" in visitor.get("/-/all")


@pytest.mark.parametrize(
    ("fields", "headers", "status", "reason"),
    [
        ({"csrf": "0" * 64}, {}, 403, "belongs to another session"),
        ({}, {"Origin": "http://evil.example"}, 403, "another site"),
        ({}, {"Host": "evil.example"}, 403, "only on the server&#39;s own machine"),
        ({"evidence": "local/glyphs-dev/glyphs_evaluation:v0"}, {}, 409, "no longer waits"),
        ({"approver": "rm -rf /; echo"}, {}, 400, "is not a person"),
        ({"approver": ""}, {}, 400, "is not a person"),
    ],
)  # fmt: skip
def test_an_approval_is_refused(
    loop: Loop, visitor: Visitor, fields: dict[str, str], headers: dict[str, str], status: int, reason: str
) -> None:
    form = {"csrf": visitor.csrf(), "evidence": loop.seeded["evidence"], "approver": "Ada"} | fields
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    refused = visitor.post(APPROVAL, {"Cookie": cookies, **headers}, **form)  # by hand: a cookie jar checks Host
    assert (refused.status_code, reason in refused.text) == (status, True), refused.text
    assert loop.state["pending"]["evidence"] == loop.seeded["evidence"]
    assert not (loop.folder / "approval.log").exists()


def test_a_member_can_neither_read_what_waits_nor_approve_it(loop: Loop, member: Visitor) -> None:
    assert "There is nothing that you may approve" in member.get(APPROVAL)
    assert loop.seeded["version"].rpartition("/")[2] not in member.get("/") + member.get(APPROVAL)
    refused = member.approve()
    assert refused.status_code == 403
    assert "cannot be read by bob" in refused.text
    assert not (loop.folder / "approval.log").exists()


@pytest.mark.usefixtures("demoted")
def test_a_member_of_the_registry_who_may_read_the_report_may_not_approve_it(loop: Loop, visitor: Visitor) -> None:
    shown = visitor.get(APPROVAL)
    assert "only an admin of &#34;wandb-registry-model&#34; may approve, and local is not one" in shown
    assert "<button>Approve" not in shown
    refused = visitor.approve()
    assert (refused.status_code, "only an admin of" in refused.text) == (403, True)
    assert not (loop.folder / "approval.log").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"host": "https://wandb.example"}, "approve it from a terminal: make approve USE_CASE=glyphs"),
        ({"evidence": "local/glyphs-dev/glyphs_evaluation:v9"}, "its evaluation cannot be read"),
        ({"evidence": "local/glyphs-dev/glyphs_dataset:v0"}, "its evaluation cannot be read"),
    ],
)
def test_what_cannot_be_read_on_this_server_has_no_button(
    loop: Loop, visitor: Visitor, changes: dict[str, str], reason: str
) -> None:
    loop.wait_for_approval(**changes)
    try:
        shown = visitor.get(APPROVAL)
        assert reason in shown
        assert "<button>Approve" not in shown
        refused = visitor.approve(evidence=loop.state["pending"]["evidence"])
        assert (refused.status_code, reason in refused.text) == (403, True)
    finally:
        loop.wait_for_approval()


def test_the_decision_comes_first_the_addresses_are_links_and_code_that_was_not_committed_is_named(
    loop: Loop, visitor: Visitor
) -> None:
    shown = visitor.get(APPROVAL)
    assert shown.index("<button>Approve") < shown.index("The code was not committed") < shown.index('id="report"')
    assert "it has changes since commit <code>c0ffee</code>." in shown
    assert shown.count(f'<a href="{loop.url}/local/glyphs-dev/runs/a"') == 2  # of a warning, and of the report


def test_what_was_compared_with_another_production_has_no_button(loop: Loop, visitor: Visitor) -> None:
    def move(how: str) -> None:
        version = "/local-org/wandb-registry-model/artifacts/model/glyphs-dev/v0"
        moved = visitor.post(f"{version}/aliases", csrf=visitor.csrf(), alias="production", do=how)
        assert moved.status_code == 303

    loop.wait_for_approval(again="make run USE_CASE=glyphs ARGS=--x")
    move("remove")
    try:
        refused = visitor.approve()
        assert refused.status_code == 403 and "<button>Approve" not in refused.text
        why = "it was compared with glyphs-dev:v0, but production is now nothing; evaluate it again: make run"
        assert f"{why} USE_CASE=glyphs ARGS=--x" in refused.text
    finally:
        move("add")
        loop.wait_for_approval()


def test_home_says_what_is_wrong_with_a_config(loop: Loop, visitor: Visitor) -> None:
    path = loop.root / "usecases/remote/config.toml"
    before = path.read_text()
    path.write_text(f"{before}\nnonsense = 1\n")
    try:
        page = visitor.get("/")
        assert "usecases/remote/config.toml: approval.nonsense is not a key; allowed in [approval]: environment" in page
    finally:
        path.write_text(before)


def test_nobody_approves_without_signing_in(loop: Loop) -> None:
    answer = Visitor(loop).post(APPROVAL, evidence=loop.seeded["evidence"], approver="Ada", csrf="")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert not (loop.folder / "approval.log").exists()


@pytest.mark.browser
def test_hostile_texts_are_texts_and_axe_finds_nothing_to_complain_of(loop: Loop, page: Page) -> None:
    page.set_viewport_size(DESKTOP)
    for name, path in PAGES.items():
        page.goto(path)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        audit(page, name)
    page.goto(APPROVAL)
    expect(page.get_by_role("button", name="Approve and promote")).to_be_in_viewport()
    expect(page.locator(".markdown table")).to_contain_text("floor")
    assert page.locator(".markdown").locator("script, img, a[href^=javascript]").count() == 0
    pictures = page.locator(".mistakes img")
    expect(pictures).to_have_count(NEW_MISTAKES)
    assert pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    expect(page.get_by_role("row", name="accuracy")).to_contain_text("1.0000")


@pytest.mark.browser
def test_a_click_promotes_once_also_after_a_kill_and_the_ledger_says_who(loop: Loop, page: Page) -> None:
    page.goto(APPROVAL)
    page.get_by_label("Your name").fill("Ada Lovelace")
    button = page.get_by_role("button", name="Approve and promote glyphs-dev:v1")
    form = {
        name: page.locator(f".decide input[name={name}]").input_value() for name in ("csrf", "evidence", "approver")
    }
    button.click()
    os.killpg(runner(loop), signal.SIGKILL)
    expect(page.get_by_role("heading", name="The promotion failed")).to_be_visible()
    assert loop.state["pending"]["evidence"] == loop.seeded["evidence"]
    page.get_by_label("Your name").fill("Ada Lovelace")
    button.click()
    expect(page.get_by_role("heading", name="Promoted")).to_be_visible()
    expect(page.get_by_text("was promoted, approved by Ada Lovelace")).to_be_visible()
    again = page.request.post(APPROVAL, form=form, max_redirects=0)
    assert again.status == 303
    known = read_state(loop)
    assert known["production"] == "v1"
    assert known["entries"] == [["ada", "name", True], ["Ada Lovelace", "browser", True]]
    assert loop.state["pending"] is None
    page.goto(LEDGER)
    newest = page.get_by_role("listitem").first
    expect(newest).to_contain_text("Ada Lovelace (by the button in the browser)")
    expect(newest).to_contain_text("commit c0ffee with uncommitted changes")
    expect(page.get_by_text("The ledger and the registry agree: 2 entries")).to_be_visible()


@pytest.mark.browser
def test_the_timeline_says_in_words_what_is_wrong(loop: Loop, visitor: Visitor, page: Page) -> None:
    other = "v0" if loop.state["pending"] is None else "v1"  # than the ledger says
    version = f"/local-org/wandb-registry-model/artifacts/model/glyphs-dev/{other}"
    moved = visitor.post(f"{version}/aliases", csrf=visitor.csrf(), alias="production", do="add")
    assert moved.status_code == 303
    page.goto(LEDGER)
    expect(page.get_by_text("Production was moved outside the gate")).to_be_visible()
    page.goto("/")
    expect(page.get_by_text("moved by hand, outside the gate")).to_be_visible()


PLANT = """
import json, wandb
from modelgate.promotion import ledger
planted = dict(ledger.read(wandb.Api(), "local/glyphs-dev/glyphs_promotions")[0].content)
planted["to"] = {**planted["to"], "name": "local/elsewhere/glyphs-dev:v0"}
with wandb.init(project="glyphs-dev") as run:
    ledger.append(run, "glyphs", planted)
print(json.dumps("planted"))
"""


def test_an_entry_of_another_registry_does_not_say_what_is_in_production(loop: Loop, visitor: Visitor) -> None:
    """Anyone who can write to the project can write an entry; the registry is the one that the config names."""
    assert loop.python("-c", PLANT) == "planted"
    assert "selectionPath=local-org%2Fwandb-registry-model%2Fglyphs-dev" in visitor.get("/")


def runner(loop: Loop) -> int:
    """The process of `runner approve`, once it has the lock."""

    def holder() -> int:
        output = (loop.folder / "lock").read_text() if (loop.folder / "lock").exists() else ""
        return int(output.split()[1].rstrip(":")) if output.endswith("approve") else 0

    return int(until(holder, "the promotion"))


def read_state(loop: Loop) -> Any:
    """Return what the SDK finds in the registry and in the ledger."""
    return loop.python("-c", ASK)
