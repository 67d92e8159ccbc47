"""
A person in a real browser: log in, look at the digits, put a version into production.

    pytest tests/web/test_browser.py
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.serving import Server
from tests.web.conftest import REGISTRY, registry_version

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",  # the tests' container runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 800}
DEADLINE_MS = 120_000
expect.set_options(timeout=DEADLINE_MS)
# Bright pixels of a picture, counted where a person would see them.
BRIGHT = """image => {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let bright = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] > 128) bright++;
    return bright;
}"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=DEADLINE_MS)
        yield launched
        launched.close()


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    """A person with no cookies; the test fails on what the browser complains of and on a request to another host."""
    troubles: list[str] = []
    page = browser.new_page(base_url=server.url)
    page.set_default_timeout(DEADLINE_MS)
    page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(server.url) else troubles.append(sent.url))
    yield page
    page.close()
    assert troubles == []


def log_in(page: Page, server: Server, path: str = "/") -> None:
    page.goto(path)
    page.get_by_label("API key").fill(server.key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)  # or the next address would cut the login off


def test_a_person_walks_from_a_run_to_the_digits(page: Page, server: Server) -> None:
    log_in(page, server)
    page.get_by_role("link", name=re.compile("^pages")).click()
    page.locator("tr", has_text="train_model").get_by_role("link").first.click()
    expect(page.locator(".chart polyline")).to_have_count(2)
    page.get_by_role("link", name="seen_dataset:v0").click()
    page.get_by_role("link", name="digits.table.json").click()
    pictures = page.locator("img.pixels")
    expect(pictures).to_have_count(100)
    for number, side in ((0, 8), (1, 28)):
        picture = pictures.nth(number)
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == side
        assert picture.evaluate(BRIGHT) == 6  # the seeded pictures have a bright field of 2 by 3
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] >= 64
        assert picture.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    page.get_by_role("link", name="next").click()
    expect(pictures).to_have_count(20)


def test_a_person_puts_a_version_into_production_and_takes_it_out(page: Page, server: Server) -> None:
    log_in(page, server, REGISTRY)
    page.get_by_role("link", name="seen-dev").click()
    page.get_by_role("link", name="v1", exact=True).click()
    page.get_by_label("Alias to add").fill("production")
    page.get_by_role("button", name="Add alias").click()
    chip = page.locator("#aliases .chip.production")
    expect(chip).to_have_text(re.compile("production"))
    assert page.url.startswith(server.url + registry_version("v1"))
    page.reload()
    expect(chip).to_have_count(1)
    page.get_by_role("button", name="Remove the alias production").click()
    expect(chip).to_have_count(0)


def test_a_chart_says_its_values_where_one_points(page: Page, server: Server) -> None:
    log_in(page, server, "/local/pages/runs/trainer")
    chart = page.locator(".chart", has_text="loss")
    expect(chart.locator("output")).to_have_text("0.2")
    chart.locator("svg").hover(position={"x": 46, "y": 60})
    expect(chart.locator("output")).to_have_text("step 0: 1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(page: Page, server: Server, scheme: str) -> None:
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)
    log_in(page, server)
    grounds = set()
    for path in ("/", "/local/pages", "/local/pages/runs/trainer", REGISTRY, registry_version("v1")):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == {"rgb(246, 246, 243)" if scheme == "light" else "rgb(18, 22, 20)"}


def test_hostile_names_run_no_script(page: Page, server: Server) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    log_in(page, server)
    page.locator(".tile", has_text="onerror").click()
    page.locator("td a").first.click()
    page.get_by_role("link", name="evil:v0").click()
    expect(page.locator("h1")).to_have_text("evil:v0")
    page.get_by_role("link", name="evil.html").click()
    expect(page.locator("pre")).to_have_text("<script>alert(1)</script>")
