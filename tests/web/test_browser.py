"""
A person in a real browser: log in, look at the digits, put a version into production.

    pytest tests/web/test_browser.py
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.server.wire import UPSERT_BUCKET, Wire
from tests.serving import Server, until
from tests.web.browser import DEADLINE_MS, DESKTOP, FLAGS, PHONE, PICTURES, audit
from tests.web.conftest import REGISTRY, registry_version, stream
from tests.web.seeding import EVIL_FILES

pytestmark = pytest.mark.browser

RUN = "/local/pages/runs/everything"
PAGES = {
    "login": "/login",
    "home": "/",
    "project": "/local/pages",
    "run": RUN,
    "collection": "/local/pages/artifacts/model/seen_model",
    "version": "/local/pages/artifacts/model/seen_model/v1",
    "table": "/local/pages/artifacts/dataset/seen_dataset/v0/file?path=digits.table.json&sort=-label",
    "registry": REGISTRY,
    "registry-version": registry_version("v1"),
    "status": "/_internal/status",
    "comparison": "/local/pages?run=everything&run=trainer&group=job_type&column=loss",
    "difference": "/local/pages/artifacts/dataset/growing/v1/diff",
    "kind": "/local/pages/artifacts/run_table",
    "lineage": "/local/pages/artifacts/model/seen_model/v1/lineage",
    "alerts": "/local/pages/alerts",
    "delete": f"{RUN}/delete",
    "entity": "/local",
    "run-file": f"{RUN}/file?path=config.yaml",
    "report": "/local/pages/artifacts/model/seen_model/v1/file?path=report.md",
    "error": "/local/nothing",
}
# Pixels of a canvas that are not transparent.
INKED = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let i = 3; i < data.length; i += 4) if (data[i] > 0) inked++;
    return inked;
}"""
# Inked pixels in a canvas' first and last columns.
EDGES = """canvas => {
    const { width, height } = canvas, data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
    return [0, width - 1].map((x) => [...Array(height).keys()].filter((y) => data[4 * (y * width + x) + 3] > 0).length);
}"""
# Pixels of a canvas in the first colour of the light scheme.
COLOURED = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let inked = 0;
    for (let i = 0; i < data.length; i += 4) if ([43, 122, 101].every((value, at) => data[i + at] === value)) inked++;
    return inked;
}"""
# What is laid out on paper: the page's own listener has run before this one.
LISTEN_TO_PRINTING = f"""() => matchMedia("print").addEventListener("change", (event) => {{
    if (!event.matches) return;
    const right = (element) => element.getBoundingClientRect().right;
    window.paper = {{
        text: document.body.innerText,
        canvases: [...document.querySelectorAll("canvas")].map((one) => [right(one), right(one.closest("figure"))]),
        inked: ({COLOURED})(document.querySelector("#history canvas")),
    }};
}})"""
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
    page.on("console", lambda said: troubles.append(said.text) if is_trouble(said) else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(server.url) else troubles.append(sent.url))
    yield page
    page.close()
    assert troubles == []


def is_trouble(message: ConsoleMessage) -> bool:
    """That a logged page's script was not run is what we want; the browser calls it an error, as it does a 404."""
    is_sandboxed = "document's frame is sandboxed" in message.text and "/frame?path=" in message.text
    is_absent = message.location["url"].endswith(PAGES["error"])
    return message.type in ("error", "warning") and not is_sandboxed and not is_absent


def log_in(page: Page, server: Server, path: str = "/") -> None:
    page.goto(path)
    page.get_by_label("API key").fill(server.key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda url: "/login" not in url)  # or the next address would cut the login off


def test_a_person_walks_from_a_run_to_the_digits(page: Page, server: Server) -> None:
    log_in(page, server)
    page.get_by_role("link", name=re.compile("^pages")).click()
    page.locator("tr", has_text="train_model").get_by_role("link").first.click()
    expect(page.locator("#history .uplot")).to_have_count(2)
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
    log_in(page, server, "/registry/model")
    page.get_by_role("link", name="seen-dev").click()
    page.get_by_role("link", name="v1", exact=True).click()
    expect(page.locator("#aliases")).to_contain_text("bypasses the approval")
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
    chart = page.locator("figure", has_text="loss")
    expect(chart.locator("figcaption output")).to_have_text("0.2")
    chart.locator(".u-over").hover(position={"x": 1, "y": 60})
    expect(chart.locator(".u-legend .u-value")).to_have_text(["0", "1"])
    chart.press("ArrowRight")  # with keys alone
    expect(chart.locator(".u-legend .u-value")).to_have_text(["1", "0.5"])


def test_no_label_of_a_chart_is_cut(page: Page, server: Server) -> None:
    """Wide labels at both ends of both axes; ink in the first or last column is a label that goes on beyond it."""
    config = {"_wandb": {"value": {"m": [{"1": "rate"}, {"2": "narrow/*", "5": 1}]}}}
    Wire.connect(server).data(UPSERT_BUCKET, project="labels", name="wide", config=json.dumps(config))
    rows: list[dict[str, object]] = [
        {"_step": n, "rate": 0.01961 + n * 1e-7, "narrow/one": n % 2, "close": 0.0196113 + n * 1e-8, "low": -1e9 * n}
        for n in range(41)
    ]
    stream(server, "labels", "wide", history=rows)
    log_in(page, server, "/local/labels/runs/wide")
    canvases = page.locator("#history canvas")
    expect(canvases).to_have_count(3)
    for width in (DESKTOP["width"], PHONE["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        page.reload()
        expect(canvases).to_have_count(3)
        assert [canvas.evaluate(EDGES) for canvas in canvases.all()] == [[0, 0]] * 3


def test_a_run_is_printed_whole_in_the_colours_and_the_width_of_paper(page: Page, server: Server) -> None:
    page.emulate_media(color_scheme="dark")
    log_in(page, server, RUN)
    expect(page.locator("#history canvas")).to_have_count(2)
    page.evaluate(LISTEN_TO_PRINTING)
    pdf = page.pdf(format="A4")
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "run-printed.pdf").write_bytes(pdf)
    assert pdf.startswith(b"%PDF-") and 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 8
    paper = page.evaluate("window.paper")
    assert all(right <= room for right, room in paper["canvases"]), paper["canvases"]
    assert paper["inked"] > 50  # in the first colour of the light scheme
    assert "warmup" in paper["text"] and "Lowest" in paper["text"]  # folded on the screen
    assert "Log out" not in paper["text"] and "Smoothing" not in paper["text"]
    assert page.locator("#history canvas").last.evaluate(COLOURED) == 0  # the screen has its own again


def test_a_project_opens_with_charts_of_its_newest_runs(page: Page, server: Server) -> None:
    rows: list[dict[str, object]] = [{"_step": n, "=1+1": n / 2, "loss": 1 / (n + 1)} for n in range(3)]
    rows[2]["score"] = 1  # a point, and no line
    for run in ("one", "two"):
        stream(server, "opened", run, history=rows)
    log_in(page, server, "/local/opened")
    charts = page.locator("#charts figure")
    expect(charts).to_have_count(2)
    expect(charts.first.locator(".u-legend .u-series")).to_have_count(3)  # its step and both runs
    expect(page.locator("#runs .dot")).to_have_count(2)
    narrow = charts.first.bounding_box()
    charts.first.hover()
    charts.first.get_by_role("button", name="Enlarge").click()
    wide = charts.first.bounding_box()
    assert narrow and wide and wide["width"] > 2 * narrow["width"] and wide["height"] > 1.5 * narrow["height"]
    page.goto("/local/opened/runs/one")
    with page.expect_download() as download:
        page.locator("#history figure").first.get_by_role("button", name="as CSV").click()
    # With a quote before it, no spreadsheet takes the name for a formula.
    assert download.value.path().read_text() == '"step","\'=1+1"\n0,0\n1,0.5\n2,1\n'
    assert download.value.suggested_filename == "_1_1.csv"


def test_three_runs_are_laid_over_each_other(page: Page, server: Server) -> None:
    log_in(page, server, "/local/pages")
    for run in ("everything", "trainer", "evaluator"):
        page.locator(f"input[name=run][value={run}]").check()
    page.get_by_role("button", name="Compare").click()
    chart = page.locator("#compare figure", has_text="loss").first
    expect(page.locator("#compare thead a")).to_have_count(3)
    expect(chart.locator(".u-legend .u-series")).to_have_count(2)  # its step and the one run that logged it
    assert page.url.count("run=") == 3  # the choice can be shared
    page.get_by_label("Filter").fill("loss > 0.1 finished")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    page.get_by_role("link", name="loss").first.click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("loss"))


def test_every_chart_of_wandb_plot_is_drawn(page: Page, server: Server) -> None:
    log_in(page, server, RUN)
    results = page.locator("#results")
    for title in ("A line", "Dots", "Series", "The pr curve", "The roc curve"):
        drawn = results.locator("figure", has=page.locator(f"figcaption span:text-is('{title}')"))
        expect(drawn.locator("canvas")).to_have_count(1)
        assert drawn.locator("canvas").evaluate(INKED) > 100, title
    expect(results.locator("figure", has_text="Scores").locator("rect")).to_have_count(10)
    bars = results.locator("figure", has_text="Bars")
    expect(bars.locator("tbody tr")).to_have_count(12)
    expect(bars.locator("tbody tr").last).to_have_text("n11121")
    cells = results.locator("figure", has_text="Matrix").locator("tbody td")
    assert cells.all_text_contents() == ["24", "6", "0", "0", "24", "6", "6", "0", "24"]
    expect(results.locator("figure", has_text="Mine")).to_contain_text("me/mine")
    expect(results.get_by_role("group", name="Rows of the table").locator("tbody tr")).to_have_count(10)
    expect(results.locator(".pictures img")).to_have_count(3)
    expect(results.locator("figure", has_text="weights").locator("rect").first).to_be_visible()
    expect(page.get_by_role("link", name="download cloud")).to_be_visible()
    expect(page.get_by_role("link", name="workflow run")).to_have_attribute("href", re.compile("actions/runs/4711"))
    frame = page.frame_locator("iframe[title^=page]")
    expect(frame.locator("h1")).to_have_text("A page")
    assert page.title() != "a script ran"
    page.get_by_text("optimizer").click()
    page.get_by_text("schedule").click()
    expect(page.get_by_text("warmup")).to_be_visible()


def test_a_chart_is_zoomed_smoothed_and_drawn_over_another_axis(page: Page, server: Server) -> None:
    log_in(page, server, RUN)
    chart = page.locator("#history figure", has_text="train/loss")
    plot, values = chart.locator(".u-over"), chart.locator(".u-legend .u-value")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 40, steps=3)
    page.mouse.up()
    plot.hover(position={"x": 1, "y": 40})
    assert int(values.first.inner_text()) >= 99  # the first step in sight
    chart.press("Escape")
    plot.hover(position={"x": 1, "y": 40})
    expect(values.first).to_have_text("0")
    page.get_by_label("Smoothing").fill("0.9")
    expect(chart.locator(".u-legend .u-series")).to_have_count(3)
    page.get_by_label("Log y").check()
    page.get_by_label("Axis").select_option("_runtime")
    assert page.url.endswith("?smooth=0.9&log=1&x=_runtime")
    figures = page.locator("#history figure:visible")
    for names, count in (("VAL_", 1), ("LOSS$|nothing", 1), ("^(train|epoch)/", 2), ("(", 0), ("", 2)):
        page.get_by_label("Metrics", exact=True).fill(names)
        expect(figures).to_have_count(count)
    widths = []
    for per_row in ("1", "2", "3"):
        page.get_by_label("Per row").select_option(per_row)
        box = figures.first.bounding_box()
        assert box is not None
        widths.append(box["width"])
    assert widths[0] > 1.9 * widths[1] > 2.5 * widths[2]
    page.reload()  # the choice is in the address
    expect(page.get_by_label("Per row")).to_have_value("3")
    expect(page.get_by_label("Log y")).to_be_checked()
    expect(chart.locator(".u-legend .u-series")).to_have_count(3)
    expect(chart.locator(".u-legend .u-label").first).to_have_text(re.compile("time since the start"))


def test_a_chart_has_a_logarithmic_axis_across(page: Page, server: Server) -> None:
    """The first step is 0, which no logarithm has; the middle of the chart is at the square root of the last one."""
    log_in(page, server, f"{RUN}?logx=1")
    chart = page.locator("#history figure", has_text="train/loss")
    expect(page.get_by_label("Log x")).to_be_checked()
    plot, step = chart.locator(".u-over"), chart.locator(".u-legend .u-value").first
    plot.hover(position={"x": 1, "y": 40})
    expect(step).to_have_text("1")
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] / 2, "y": 40})
    assert 12 <= int(step.inner_text()) <= 17  # of 199
    page.get_by_label("Log x").uncheck()
    plot.hover(position={"x": 1, "y": 40})
    expect(step).to_have_text("0")


def test_a_chart_and_the_console_move_while_a_run_logs(page: Page, server: Server) -> None:
    log_in(page, server)
    with logging_run(server) as log:
        log({"loss": 1.0}, "first line")
        until(lambda: page.request.get("/local/pages/runs/live").ok, "the run")
        page.goto("/local/pages/runs/live")
        expect(page.locator("#about .state")).to_have_text("running")
        log({"loss": 0.5}, "second line")
        chart = page.locator("#history figure", has_text="loss")
        expect(chart.locator("figcaption output")).to_have_text("0.5")
        expect(page.locator("#console")).to_contain_text("second line")
        log({"loss": 0.25}, "third line")
        expect(chart.locator("figcaption output")).to_have_text("0.25")
    expect(page.locator("#about .state")).to_have_text("finished")


@contextmanager
def logging_run(server: Server) -> Iterator[Callable[[dict[str, float], str], None]]:
    """A run of the real SDK, in a process of its own; it ends with the block."""
    home = server.data.parent / "home"
    client = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.key, "WANDB_DIR": str(home)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "WANDB_SILENT": "true", **client}
    process = subprocess.Popen([sys.executable, "-c", LOGGING], env=environment, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    stdin = process.stdin

    def log(row: dict[str, float], line: str) -> None:
        stdin.write(json.dumps([row, line]) + "\n")
        stdin.flush()

    try:
        yield log
    finally:
        stdin.close()
        process.wait(DEADLINE_MS / 1000)


LOGGING = """
import json, sys, wandb
with wandb.init(project="pages", id="live", settings=wandb.Settings(x_file_stream_transmit_interval=1)) as run:
    for text in sys.stdin:
        row, line = json.loads(text)
        run.log(row)
        print(line)
"""


def test_axe_finds_nothing_to_complain_of(page: Page, server: Server) -> None:
    page.set_viewport_size(DESKTOP)
    for name, path in PAGES.items():
        if name == "home":
            log_in(page, server)
        page.goto(path)
        audit(page, name)


def test_hostile_names_run_no_script(page: Page, server: Server) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    log_in(page, server)
    page.locator(".tile", has_text="onerror").click()
    page.locator("input[name=run]").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#compare .uplot")).not_to_have_count(0)
    page.locator("td a.name").first.click()
    expect(page.locator("#history .uplot")).to_have_count(1)
    expect(page.locator("#results figure")).to_have_count(6)
    page.locator("iframe").scroll_into_view_if_needed()
    expect(page.frame_locator("iframe").locator("body")).to_have_text("\"'&")
    page.get_by_role("link", name="evil:v0").click()
    expect(page.locator("h1")).to_have_text("evil:v0")
    expect(page.locator(".markdown")).to_contain_text("<script>alert(1)</script>")
    version = page.url
    for name in EVIL_FILES:
        page.goto(version)
        if "/" not in name:
            page.get_by_role("link", name=name).first.click()
            expect(page.locator("h1")).to_have_text(name)
    page.goto(f"{version}/lineage")
    expect(page.locator(".node")).not_to_have_count(0)
