"""How the tests start Chromium, and the screens that they look at."""

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
SCHEMES = {"dark": {"runOnly": ["color-contrast"]}, "light": None}
PHONE = {"width": 390, "height": 800}
DEADLINE_MS = 120_000
