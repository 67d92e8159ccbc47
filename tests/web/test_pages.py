"""
What the pages show, at the addresses that the SDK prints; what they refuse; the form that moves an alias.

    pytest tests/web/test_pages.py
"""

import hashlib
import json
import re
from html import escape
from urllib.parse import quote, urlencode

import pytest

from tests.server.wire import UPSERT_BUCKET, Wire
from tests.serving import ROOT
from tests.web.conftest import REGISTRY, Visitor, registry_version, stream
from tests.web.seeding import EVIL_FILES, HOSTILE, HOSTILE_NAME

EVIL_PROJECT = f"/local/{quote(HOSTILE_NAME, safe='')}"
EVIL_VERSION = f"{EVIL_PROJECT}/artifacts/{quote(HOSTILE_NAME, safe='')}/evil/v0"
MODEL = "/local/pages/artifacts/model/seen_model"
DATASET = "/local/pages/artifacts/dataset/seen_dataset/v0"
COLLECTION = f"{REGISTRY}?selectionPath=local-org%2Fwandb-registry-model%2Fseen-dev"


UPLOT = {
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.LICENSE.txt": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


def text(page: str) -> str:
    """The words of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def shown(visitor: Visitor, path: str) -> str:
    answer = visitor.get(path)
    assert answer.status_code == 200, text(answer.text)
    return answer.text


# --- what is shown --------------------------------------------------------------------------------------------------


def test_the_first_page_lists_registries_and_projects(visitor: Visitor) -> None:
    page = shown(visitor, "/")
    assert f'href="{REGISTRY}"' in page
    assert 'href="/local/pages"' in page


def test_the_status_names_what_the_server_did_not_know(visitor: Visitor) -> None:
    query = {"query": "query <b>Look { viewer { shoeSize } }", "operationName": None}
    visitor.http.post(f"{visitor.server.url}/graphql", json=query, auth=("api", visitor.server.key), timeout=60)
    query["query"] = "query LookAround { viewer { shoeSize } }"
    visitor.http.post(f"{visitor.server.url}/graphql", json=query, auth=("api", visitor.server.key), timeout=60)
    page = shown(visitor, "/_internal/status")
    words = text(page)
    assert "LookAround Cannot query field &#39;shoeSize&#39; on type &#39;User&#39;. 1" in words
    assert "UpsertBucket" in words and "wandb-core" in words
    assert "<b>" not in page and 'href="/_internal/status"' in shown(visitor, "/")


def test_a_project_lists_its_runs_and_its_artifacts(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages")
    assert all(job in page for job in ("build_dataset", "train_model", "evaluate_model"))
    assert 'class="state finished"' in page
    assert "eval/accuracy" in page
    assert "0.91" in page
    assert "seen_dataset" in page
    assert "seen_model" in page
    assert shown(visitor, "/local/pages/workspace") == page


@pytest.mark.parametrize(
    ("query", "jobs"),
    [
        ("filter=state+%3D+finished+trainer", ["train_model"]),
        ("filter=job_type+%3D+evaluate_model", ["evaluate_model"]),
        ("filter=eval/accuracy+%3E+0.9", ["evaluate_model"]),
        ("filter=eval/accuracy+%3E+0.95", []),
        ("filter=config.epochs+%3D+5", ["train_model"]),
        ("filter=epochs+!%3D+5+builder", ["build_dataset"]),
        ("sort=job_type&filter=_model", ["evaluate_model", "train_model"]),
        ("sort=-job_type&filter=_model", ["train_model", "evaluate_model"]),
        ("group=job_type&filter=_model", ["evaluate_model", "train_model"]),
    ],
)
def test_runs_are_filtered_sorted_and_grouped(visitor: Visitor, query: str, jobs: list[str]) -> None:
    page = shown(visitor, f"/local/pages?{query}")
    assert re.findall(r'<br><span class="soft small">([^<]*)</span>', page) == jobs
    assert ("job_type: train_model" in text(page)) == query.startswith("group")


def test_a_filter_that_cannot_be_understood_shows_everything_and_says_so(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages?filter=accuracy+%3E")
    assert "There is no value after &#34;accuracy &gt;&#34; in the filter." in page
    assert "train_model" in page


def test_runs_side_by_side_show_what_differs(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages?run=trainer&run=everything&run=nothing&column=config.seed")
    compared = page[page.index('id="compare"') : page.index('id="runs"')]
    assert "config.epochs" in compared and "config.seed" in compared and "nothing" not in compared
    pictures = re.findall(r'<img class="pixels" src="(/local/pages/runs/[^"]*)" alt="([^"]*), ', compared)
    assert [words for _, words in pictures] == ["digit 0", "digit 1", "digit 2"]
    assert visitor.get(pictures[0][0]).headers["Content-Type"] == "image/png"
    points = visitor.get("/local/pages/series?run=trainer&run=everything&run=nothing").json()
    assert [run["name"] for run in points["runs"]] == ["trainer", "everything"]
    assert points["runs"][0]["columns"]["loss"] == [1, 0.5, 1 / 3, 0.25, 0.2]


def test_the_lineage_has_every_step_as_a_link_and_as_text(visitor: Visitor) -> None:
    for start in (f"{MODEL}/v1", DATASET):
        page = shown(visitor, f"{start}/lineage")
        drawn = re.findall(r'<a href="([^"]*)" aria-label="([^"]*)"', page)
        names = {label.partition(",")[0] for _, label in drawn}
        assert {"seen_dataset:v0", "seen_model:v1", "seen-dev:v1"} <= names
        assert {link.rpartition("/")[2] for link, label in drawn if "/runs/" in link} == {
            "builder",
            "trainer",
            "evaluator",
        }
        rows = re.findall(r"<tr>(.*?)</tr>", page[page.index("As text") :], re.DOTALL)[1:]
        edges = {tuple(re.findall(r"<a href=[^>]*>([^<]*)</a>", row)) for row in rows}
        assert ("seen_model:v1", "seen-dev:v1") in edges
        assert len(edges) == page.count("<path d=")
    assert "seen_model:v0" in page  # from the dataset, both models
    assert 'width="' in shown(visitor, f"{MODEL}/v1/lineage?zoom=150")


def test_two_versions_differ_in_files_metadata_and_rows(visitor: Visitor) -> None:
    page = text(shown(visitor, f"{MODEL}/v1/diff"))
    assert "From seen_model:v0 to seen_model:v1" in page
    assert "accuracy 0.9 0.91 seed 0 1" in page
    assert "1 unchanged" in page and "Changed 2 model.bin 2 B → 2 B report.md" in page
    page = text(shown(visitor, "/local/pages/artifacts/dataset/growing/v1/diff?with=v0"))
    assert "rows 3 4" in page and "whom" not in page
    assert "Rows added 2 # name n 2 c 3 3 d 4" in page
    assert "Rows removed 1 # name n 1 b 2" in page
    same = text(shown(visitor, "/local/pages/artifacts/dataset/growing/v1/diff?with=v1"))
    assert "The metadata is the same." in same and "Every file is the same." in same
    assert visitor.get(f"{MODEL}/v0/diff").status_code == 404


def test_all_collections_of_a_type_have_a_page(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages/artifacts/run_table")
    listed = re.findall(r'<a class="name" href="([^"]*)"', page)
    assert len(listed) == 6 and all(shown(visitor, url) for url in listed[:2])
    assert f"{len(listed)} collections" in text(page) and f"{len(listed)} collections" in text(
        shown(visitor, "/local/pages")
    )
    assert visitor.get("/local/pages/artifacts/nothing").status_code == 404


def test_registry_model_is_an_address_that_people_can_remember(visitor: Visitor) -> None:
    answer = visitor.get("/registry/model")
    assert (answer.status_code, answer.headers["location"]) == (303, REGISTRY)
    assert visitor.get("/registry/nothing").status_code == 404


def test_a_report_is_drawn_and_a_table_on_a_runs_page_is_a_table(visitor: Visitor) -> None:
    assert "<h3>The report of seed 1</h3>" in shown(visitor, f"{MODEL}/v1")
    page = shown(visitor, "/local/pages/runs/everything")
    assert '"_type"' not in page and "wandb-client-artifact" not in page
    assert '<td class="text">n9</td>' in page


def test_uplot_is_served_as_it_was_published() -> None:
    """https://registry.npmjs.org/uplot/-/uplot-1.6.32.tgz, dist/uPlot.iife.min.js, dist/uPlot.min.css and LICENSE"""
    static = ROOT / "modelgate_server" / "web" / "static"
    digests = {name: hashlib.sha256((static / name).read_bytes()).hexdigest() for name in UPLOT}
    assert digests == UPLOT


def test_a_run_shows_config_history_artifacts_files_and_console(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages/runs/trainer")
    words = text(page)
    assert "epochs 5" in words
    assert "a line on the console" in words
    assert "seen_dataset:v0" in words
    assert "seen_model:v1" in words
    assert "wandb-metadata.json" in words
    charts = re.findall(r"<polyline points=\"([^\"]*)\"", page)
    assert [len(line.split()) for line in charts] == [4, 5]  # `broken` has a NaN, `loss` has not
    columns = visitor.get("/local/pages/runs/trainer/series").json()["runs"][0]["columns"]
    assert columns["broken"] == [0, 1, None, 3, 4] and columns["loss"][0] == 1
    assert shown(visitor, "/local/pages/runs/trainer/file?path=wandb-metadata.json")


def test_a_version_shows_what_it_is_and_where_it_comes_from(visitor: Visitor) -> None:
    words = text(shown(visitor, f"{MODEL}/v1"))
    assert "accuracy 0.91" in words
    assert "model.bin 2 B" in words
    assert "The report of seed 1" in words
    assert "local/pages/seen_model:v1" in words
    assert "made by" in words
    assert "seen_dataset:v0" in words
    assert "used by" in words
    assert "also seen-dev:v1" in words


def test_a_version_is_found_by_its_alias(visitor: Visitor) -> None:
    assert shown(visitor, f"{MODEL}/latest") == shown(visitor, f"{MODEL}/v1")


def test_a_table_is_shown_in_pages_with_its_pictures(visitor: Visitor) -> None:
    first = shown(visitor, f"{DATASET}/file?path=digits.table.json")
    last = shown(visitor, f"{DATASET}/file?path=digits.table.json&page=2")
    pictures = [re.findall(r'<img class="pixels" src="([^"]*)"', page) for page in (first, last)]
    assert [len(found) for found in pictures] == [100, 20]  # 60 rows of two
    answer = visitor.get(pictures[0][0].replace("&amp;", "&"))
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_json_is_indented_even_where_it_has_nan(visitor: Visitor) -> None:
    page = shown(visitor, f"{MODEL}/v0/file?path=evidence.json")
    assert escape('{\n  "verdict": "pass",\n  "score": NaN\n}').replace("&quot;", "&#34;") in page


def test_a_folder_of_many_files_is_one_line(visitor: Visitor) -> None:
    assert "media/ 32 files" in text(shown(visitor, DATASET))  # of 120 pictures, so many are different
    assert "media/images/" in shown(visitor, f"{DATASET}?folder=media/")


def test_a_download_gives_the_very_bytes_to_be_saved(visitor: Visitor) -> None:
    answer = visitor.get(f"{MODEL}/v1/download?path=model.bin")
    assert answer.content == bytes([0, 1])
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="model.bin"'


def test_the_registry_lists_collections_and_versions_with_their_metrics(visitor: Visitor) -> None:
    assert "seen-dev" in shown(visitor, REGISTRY)
    words = text(shown(visitor, COLLECTION))
    assert "accuracy" in words
    assert "0.91" in words
    assert "candidate" in words
    assert "evaluate_model by local pass eval/accuracy 0.91 → seen_evaluation:v0" in words


def test_a_verdict_on_the_page_of_what_was_compared_with_names_the_version_that_was_judged(visitor: Visitor) -> None:
    assert "judged seen-dev:v1: pass" in text(shown(visitor, f"{MODEL}/v0"))
    words = text(shown(visitor, f"{MODEL}/v1"))
    assert "judged" not in words and "evaluate_model by local pass" in words


def test_the_sdks_own_addresses_are_those_of_the_pages(visitor: Visitor, wandb_env: dict[str, str]) -> None:
    import wandb

    api = wandb.Api()
    things = {
        api.run("local/pages/trainer").url: "trainer",
        api.artifact("local/pages/seen_model:v0").url: "seen_model:v0",
        api.artifact("local-org/wandb-registry-model/seen-dev:v1").url: "seen-dev:v1",
        next(iter(api.projects("local"))).url: "Runs",
    }
    assert len(things) == 4
    for url, expected in things.items():
        assert expected in shown(visitor, url.removeprefix(visitor.server.url))


# --- the form -------------------------------------------------------------------------------------------------------


def test_an_alias_added_on_the_page_is_read_back_by_the_sdk(visitor: Visitor, wandb_env: dict[str, str]) -> None:
    import wandb

    answer = visitor.change_alias("v0", "production")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(registry_version("v0"))
    name = "local-org/wandb-registry-model/seen-dev"
    assert wandb.Api().artifact(f"{name}:production").version == "v0"

    visitor.change_alias("v1", "production")
    visitor.change_alias("v1", "production")  # twice is the same as once
    assert wandb.Api().artifact(f"{name}:production").version == "v1"
    assert "production" not in wandb.Api().artifact(f"{name}:v0").aliases
    assert "production on v1" in text(shown(visitor, registry_version("v0")))

    visitor.change_alias("v0", "production", do="remove")  # v1 holds it: nothing to remove here
    assert "production" in wandb.Api().artifact(f"{name}:v1").aliases
    visitor.change_alias("v1", "production", do="remove")
    assert "production" not in wandb.Api().artifact(f"{name}:v1").aliases


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("a/b", "may not contain / or :"),
        ("a:b", "may not contain / or :"),
        ("v0", "is the name of a version"),
        ("", "must have 1 to 128 characters"),
        ("x" * 129, "must have 1 to 128 characters"),
        ("<script>alert(1)</script>", "may not contain / or :"),
    ],
)
def test_a_bad_alias_is_refused_on_the_page_in_words(visitor: Visitor, alias: str, message: str) -> None:
    answer = visitor.change_alias("v1", alias)
    assert answer.status_code == 400
    assert "seen-dev:v1" in answer.text
    assert message in answer.text
    assert "<script>alert" not in answer.text


def test_a_run_is_renamed_on_its_page_and_the_sdk_reads_it(visitor: Visitor, wandb_env: dict[str, str]) -> None:
    import wandb

    stream(visitor.server, "tidied", "kept", history=[{"_step": 0, "loss": 1}])
    path = "/local/tidied/runs/kept"
    answer = visitor.post(f"{path}/rename", csrf=visitor.csrf(), name="  A better name ")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert wandb.Api().run("local/tidied/kept").name == "A better name"
    for name in ("", " ", "x" * 129, "two\nlines"):
        refused = visitor.post(f"{path}/rename", csrf=visitor.csrf(), name=name)
        assert (refused.status_code, "1 to 128 characters" in refused.text) == (400, True)
    assert wandb.Api().run("local/tidied/kept").name == "A better name"


def test_a_run_is_deleted_after_a_page_that_says_what_is_lost(visitor: Visitor, wandb_env: dict[str, str]) -> None:
    import wandb

    stream(visitor.server, "tidied", "gone", history=[{"_step": step, "loss": 1} for step in range(3)])
    path = "/local/tidied/runs/gone"
    assert f'href="{path}/delete"' in shown(visitor, path)
    asked = text(shown(visitor, f"{path}/delete"))
    assert "3 rows of history" in asked and "still running" in asked
    assert wandb.Api().run("local/tidied/gone")  # to ask deletes nothing
    answer = visitor.post(f"{path}/delete", csrf=visitor.csrf())
    assert (answer.status_code, answer.headers["location"]) == (303, "/local/tidied")
    assert visitor.get(path).status_code == 404
    assert visitor.post(f"{path}/delete", csrf=visitor.csrf()).status_code == 404
    with pytest.raises((ValueError, wandb.errors.CommError)):
        wandb.Api().run("local/tidied/gone")


def test_who_deletes_a_run_learns_that_it_made_what_is_in_production(visitor: Visitor) -> None:
    page = shown(visitor, "/local/pages/runs/trainer/delete")
    assert "seen_model:v1" in page and "candidate" in page and "is in production" not in page
    visitor.change_alias("v1", "production")
    try:
        assert "One of them is in production" in shown(visitor, "/local/pages/runs/trainer/delete")
    finally:
        visitor.change_alias("v1", "production", do="remove")


def test_alerts_are_listed_newest_first_and_on_their_run(visitor: Visitor) -> None:
    page = text(shown(visitor, "/local/pages/alerts"))
    assert re.search(r"Sent info Half of it is done \w+-\w+-\d+ ", page)
    assert page.index("Half of it is done") < page.index("warning Loss is high It stays above 0.5. Look at")
    assert "Show: all warnings (1) infos (1)" in page
    warnings = text(shown(visitor, "/local/pages/alerts?level=WARN"))
    assert "Loss is high" in warnings and "Half of it is done" not in warnings
    assert "Half of it is done" in shown(visitor, "/local/pages/alerts?level=<script>")  # no level: all of them
    assert "2 alerts" in text(shown(visitor, "/local/pages"))
    assert "Loss is high" in shown(visitor, "/local/pages/runs/everything")
    stream(visitor.server, "tidied", "silent", history=[{"_step": 0, "loss": 1}])
    assert "run.alert(title=" in shown(visitor, "/local/tidied/alerts")


# --- hostile names and files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/local", EVIL_PROJECT, f"{EVIL_PROJECT}/alerts", f"{EVIL_PROJECT}/runs/evil"]
    + [f"{EVIL_PROJECT}/runs/evil/delete", EVIL_VERSION, EVIL_VERSION.rpartition("/")[0]]
    + [f"{EVIL_VERSION}/file?{urlencode({'path': path})}" for path in [*EVIL_FILES, "evil.table.json"]],
)
def test_hostile_names_stay_text(visitor: Visitor, path: str) -> None:
    page = shown(visitor, path)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not re.search(r"""<[^>]*\son\w+\s*=""", re.sub(r'"[^"]*"', '""', page))


def test_every_link_of_a_hostile_page_leads_somewhere(visitor: Visitor) -> None:
    page = shown(visitor, EVIL_VERSION) + shown(visitor, f"{EVIL_VERSION}?folder=dir/") + shown(visitor, EVIL_PROJECT)
    links = {link.replace("&amp;", "&").replace("&#34;", '"') for link in re.findall(r'href="(/[^"]*)"', page)}
    assert len(links) > 12
    assert {link: visitor.get(link).status_code for link in links if visitor.get(link).status_code != 200} == {}


@pytest.mark.parametrize("name", [name for name in EVIL_FILES if "/" not in name])
def test_a_hostile_file_is_neither_a_page_nor_a_picture(visitor: Visitor, name: str) -> None:
    assert visitor.get(f"{EVIL_VERSION}/picture?path={name}").status_code == 404
    answer = visitor.get(f"{EVIL_VERSION}/download?path={name}")
    assert answer.content == EVIL_FILES[name]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox")


def test_hostile_metadata_is_shown_as_it_was_written(visitor: Visitor) -> None:
    page = shown(visitor, EVIL_VERSION)
    assert str(escape(HOSTILE)).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in page


def test_half_a_surrogate_pair_costs_no_page(visitor: Visitor) -> None:
    """It can be written in JSON and in no page. The SDK does not send it; another client may."""
    config = json.dumps({"word": {"value": "half \ud800"}, "words": {"value": ["half \udfff"]}})
    Wire.connect(visitor.server).data(UPSERT_BUCKET, entity="local", project="half", name="pair", config=config)
    page = shown(visitor, "/local/half/runs/pair")
    assert "half ?" in page and "[&#34;half ?&#34;]" in page


def test_what_the_machine_did_is_drawn_over_time_and_is_a_table_without_scripts(visitor: Visitor) -> None:
    events = [{"system.cpu": value, "_runtime": 15 * n, "_wandb": True} for n, value in enumerate((0, 20, 22_140.4))]
    stream(visitor.server, "half", "busy", events=[*events, {"system.disk./.in": "text"}])
    points = visitor.get("/local/half/runs/busy/series?stream=events").json()
    assert points["charts"] == [["system.cpu", "_runtime"]]
    assert points["runs"][0]["columns"] == {
        "_runtime": [0, 15, 30, None], "system.cpu": [0, 20, 22_140.4, None]
    }  # fmt: skip
    machine = text(shown(visitor, "/local/half/runs/busy").partition('id="machine"')[2])
    assert "Metric Last Lowest Highest cpu 22,140 0 22,140 Files" in machine


def test_of_a_long_run_a_bounded_number_of_measurements_is_read(visitor: Visitor) -> None:
    stream(visitor.server, "half", "longer", events=[{"system.cpu": n} for n in range(1_500)])
    machine = text(shown(visitor, "/local/half/runs/longer").partition('id="machine"')[2])
    assert "cpu 1,499 0 1,499 Of 1,000 of 1,500 measurements, spread over the run." in machine


def test_a_rare_metric_is_not_lost_in_a_long_history(visitor: Visitor) -> None:
    rows: list[dict[str, object]] = [
        {"_step": step, "loss": step} | ({"epoch/acc": step} if step % 997 == 3 else {}) for step in range(6_000)
    ]
    stream(visitor.server, "half", "long", history=rows, summary=[{"loss": 5999, "epoch/acc": 5985}])
    columns = visitor.get("/local/half/runs/long/series").json()["runs"][0]["columns"]
    rare = [value for value in columns["epoch/acc"] if value is not None]
    assert rare == [step for step in range(6_000) if step % 997 == 3]
    assert 900 < len(columns["_step"]) < 1_100
    zoomed = visitor.get("/local/half/runs/long/series?from=100&to=103").json()["runs"][0]["columns"]
    assert zoomed["loss"] == [100, 101, 102]
    assert visitor.get("/local/half/runs/long/series?from=x").status_code == 400


# --- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/nobody",
        "/local/nothing",
        "/local/pages/runs/nothing",
        "/local/pages/runs/trainer/file?path=nothing",
        "/local/pages/runs/trainer/download?path=nothing",
        "/local/pages/artifacts/model/nothing",
        f"{MODEL}/v99",
        f"{MODEL}/v0/file",
        f"{MODEL}/v0/download?path=../../../../etc/passwd",
        f"{MODEL}/v0/picture?path=model.bin",
        "/orgs/nobody/registry/model",
        "/orgs/local-org/registry/nothing",
        "/local/registry/model",
        f"{REGISTRY}?selectionPath=local%2Fpages%2Fseen_model",
        f"{REGISTRY}?selectionPath=local-org%2Fwandb-registry-model%2Fnothing",
        registry_version("v99"),
        "/a/b/c/d/e/f",
        "/-/nothing",
    ],
)
def test_what_is_not_there_is_a_readable_404(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "Traceback" not in answer.text
    assert '<a href="/">' in answer.text


def test_a_path_that_leaves_its_run_is_refused(visitor: Visitor) -> None:
    answer = visitor.get("/local/pages/runs/trainer/download?path=../../etc/passwd")
    assert answer.status_code == 400
    assert "must be relative" in answer.text


def test_another_client_still_gets_json(visitor: Visitor) -> None:
    answer = visitor.http.get(visitor.server.url + "/a/b/c/d/e/f", timeout=60)
    assert answer.status_code == 404
    assert "is not supported by this server" in answer.json()["errors"][0]["message"]
