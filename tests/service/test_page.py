"""
The service's page in a browser: a form for a row of a table, an image to upload. The models are fakes.

    pytest tests/service/test_page.py
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from modelgate.errors import StepError
from modelgate.incoming import read_expected
from serving.app import create_app
from serving.follow import Running
from serving.interface import Interface
from serving.telemetry import Metrics
from tests.serving import free_port, listens, until
from tests.web.browser import DEADLINE_MS, FLAGS
from tests.web.conftest import chromium  # noqa: F401

pytestmark = pytest.mark.browser
expect.set_options(timeout=DEADLINE_MS)
SHA256 = "ab" * 32
ABOUT = {"version": "org/wandb-registry-model/glyphs:v3", "digest": "d", "sha256": SHA256, "ledger_entry": "v7"}
ABOUT |= {"ledger_sha256": "cd" * 32, "approved": True}
SCHEMA = pa.DataFrameSchema(
    {
        "island": pa.Column(str, pa.Check.isin(["Dream", "Biscoe"])),
        "mass": pa.Column(float, pa.Check.in_range(0, 10), nullable=True),
        "year": pa.Column(int),
        "seen": pa.Column("datetime64[ns]"),
    }
)


class Follower:
    """A follower with one fixed version, which answers 0.9 for its second class and records its requests."""

    def __init__(self, task, data):
        self.interface, self.expected = Interface(task, data), read_expected(task, data)
        self.running = Running(ABOUT, "org/wandb-registry-model/glyphs", self, "2026-11-23T10:00:00Z", False)
        self.problem = StepError("moved_outside", "v4 is production, and the last entry promoted v3", "make audit")
        self.asked = []

    def start(self):
        pass

    def stop(self):
        pass

    def answer(self, x):
        self.asked.append(x)
        return np.array([[0.1, 0.9]] * len(x), dtype=np.float32)


@contextmanager
def serving(task, data):
    """The page's address, and the follower behind it."""
    follower, port = Follower(task, data), free_port()
    app = create_app("glyphs", follower, Metrics())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: listens(port), "the page")
    try:
        yield f"http://127.0.0.1:{port}", follower
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(chromium):  # noqa: F811
    """A browser page; the test fails if the browser reports an error."""
    troubles = []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=FLAGS, timeout=DEADLINE_MS)
        page = launched.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on(
            "console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: troubles.append(str(error)))
        yield page
        launched.close()
    assert [text for text in troubles if "400 (Bad Request)" not in text] == []


def test_a_row_is_asked_for_in_a_form_and_an_image_is_uploaded(page, tmp_path):
    """One browser for both."""
    with serving("tabular-classification", SimpleNamespace(CLASSES=("no", "yes"), SCHEMA=SCHEMA)) as (url, follower):
        page.goto(url)
        expect(page.get_by_role("status")).to_contain_text("glyphs:v3 (ledger entry v7)")
        expect(page.get_by_role("heading", name="Query the model glyphs")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("Not up to date: v4 is production")
        expect(page.get_by_role("status")).to_contain_text("(moved_outside). Hint: make audit.")
        expect(page.get_by_text("These values are made up")).to_be_visible()
        page.get_by_label("island").select_option("Biscoe")
        page.get_by_label("mass").fill("")
        page.get_by_label("year").fill("2008")
        expect(page.get_by_label("seen")).to_have_value("2026-03-04")
        page.get_by_label("seen").fill("2008-11-05T07:30")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).to_have_text("yes")
        expect(page.locator("#probabilities")).to_contain_text("90.0 %")
        expect(page.locator("#about")).to_contain_text(SHA256)
        (row,) = follower.asked
        assert row["island"].tolist() == ["Biscoe"] and np.isnan(row["mass"][0]) and row["year"].tolist() == [2008]
        assert row["seen"].tolist() == [pd.Timestamp("2008-11-05T07:30")]
        assert not [violation["id"] for violation in Axe().run(page).response["violations"]]
        page.get_by_label("mass").fill("99")
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_have_text("column 'mass' does not pass in_range(0, 10): 99.0 in row 0")
        page.get_by_label("seen").fill("5.11.2008")
        page.get_by_role("button", name="Ask").click()
        expect(page.get_by_role("alert")).to_contain_text("'seen' is not a time such as 2026-03-04T15:30:00 or 2026-03")

    pixels = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    with serving("image-classification", SimpleNamespace(CLASSES=(0, 1), SHAPE=(4, 4, 1))) as (url, follower):
        page.goto(url)
        expect(page.get_by_role("button", name="Ask")).to_be_visible()
        expect(page.get_by_text("These values are made up")).to_be_hidden()
        page.get_by_label("An image").set_input_files(tmp_path / "picture.png")
        page.wait_for_function("pixels !== null")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#answer")).to_have_text("1")
        np.testing.assert_allclose(follower.asked[0][0, :, :, 0], pixels / 255, atol=1 / 255)
        assert not [violation["id"] for violation in Axe().run(page).response["violations"]]
