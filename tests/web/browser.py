"""How the tests start Chromium, and the screens that they look at."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.serving import ROOT

FLAGS = [
    "--no-sandbox",  # the tests' container runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = ROOT / "build" / "pages"
DESKTOP = {"width": 1280, "height": 900}
# What a page has besides its colours is the same in both.
SCHEMES = {"dark": {"runOnly": ["color-contrast"]}, "light": {}}
PHONE = {"width": 390, "height": 800}
DEADLINE_MS = 120_000
# Of what passes, axe would send an account that is much longer.
RUN_AXE = """options => axe.run({ resultTypes: ["violations"], ...options }).then(({ violations }) => violations.map(
    ({ id, nodes: [{ html, failureSummary }] }) => [id, html.slice(0, 200), failureSummary]))"""
# Of the charts; what is folded begins to load a moment after it is opened.
LOADED = "() => new Promise(requestAnimationFrame).then(() => !document.querySelector('[aria-busy=true]'))"


def audit(page: Page, name: str) -> None:
    """
    Hold the page that is open against axe-core, light and dark, everything unfolded; and keep it as pictures, light,
    dark and narrow, where CI looks for them.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for_function(LOADED)
    page.evaluate(Axe().axe_script)
    for scheme, options in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(RUN_AXE, options) == [], (page.url, scheme)
        page.screenshot(path=PICTURES / f"{name}-{scheme}.png", full_page=True)
    page.set_viewport_size(PHONE)
    page.screenshot(path=PICTURES / f"{name}-390.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], page.url
    page.set_viewport_size(DESKTOP)
