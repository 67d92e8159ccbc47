"""
What the pages make of other people's data: tables, charts, numbers. Nothing that can be stored breaks a page.

    pytest tests/web/test_reading.py
"""

import json
import math
import random
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store.blobs import Blobs
from modelgate_server.web import charts, contents, filters, json_stream, links, markdown, model_file, panels, tables

Read = Callable[..., tables.Table]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A page of a table that is written for it."""

    def look(document: object, **question: Any) -> tables.Table:
        path = tmp_path / f"{time.perf_counter_ns()}"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return tables.read(path, tables.Question(**question), lambda path: f"/picture/{path}", lambda: None)

    return look


@pytest.mark.parametrize(
    "document",
    [None, 1, [], {}, {"columns": 1, "data": []}, {"columns": ["a"], "data": [1]}, {"columns": [], "data": {}},
     {"columns": ["a"], "data": [[1]], "column_types": []}],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_words(read: Read, document: object) -> None:
    with pytest.raises(Invalid, match="table"):
        read(document)


def test_a_table_nested_too_deep_is_refused(read: Read) -> None:
    with pytest.raises(Invalid, match="is not one"):
        read("[" * 200_000)


def test_a_page_after_the_last_is_the_last(read: Read) -> None:
    document = {"columns": ["n"], "data": [[n] for n in range(120)]}
    last = read(document, page=3)
    assert (last.first, len(last.rows), last.count, last.numbers[0]) == (100, 20, 120, 100)
    assert read(document, page=10**8).numbers == last.numbers
    assert read({"columns": ["n"], "data": []}).rows == []


def test_every_kind_of_cell_has_words(read: Read) -> None:
    image = {"_type": "image-file", "path": "media/a.png", "height": 28}
    cells = read({"columns": list("abcdef"), "data": [[None, 1.5, math.nan, "text", image, {"x": [1]}]]}).rows[0]
    assert [cell.kind for cell in cells] == ["empty", "number", "number", "text", "picture", "text"]
    assert (cells[2].text, cells[4].url, cells[4].pixelated) == ("nan", "/picture/media/a.png", True)
    assert cells[5].text == '{"x": [1]}'


def test_texts_of_any_script_are_read_as_they_were_written(read: Read) -> None:
    table = read(json.dumps({"columns": ["größe", "字"], "data": [["é", "猫"], ["é", "a, [b]"]]}, ensure_ascii=False))
    assert table.columns == ["größe", "字"]
    assert [[cell.text for cell in row] for row in table.rows] == [["é", "猫"], ["é", "a, [b]"]]
    assert read({"columns": ["字"], "data": [["猫"], ["犬"]]}, filter="字 = 犬").numbers == [1]


# Cells in which a row may seem to end.
TRICKY: list[object] = [
    *(1, -2.5e-7, None, True, "", "plain", "], [", "a], [b", '"], ["', "\\", '\\", [', "[", "]", "é\n"),
    *([], [1, 2], [[1], [2]], ["], ["], {"k": "], ["}, {"k": [1], "l": {}}),
]


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":"), (" ,\n ", ":")])
@pytest.mark.parametrize("piece_chars", [64, 300, json_stream.PIECE_CHARS])
def test_each_row_is_found_whatever_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_chars: int, separators: tuple[str, str]
) -> None:
    monkeypatch.setattr(json_stream, "PIECE_CHARS", piece_chars)
    draw = random.Random(piece_chars)
    for share in (0.0, 0.02, 0.3, 1.0):  # of cells that are tricky
        rows = [[draw.choice(TRICKY) if draw.random() < share else number for _ in range(3)] for number in range(300)]
        document = {"data": rows, "columns": ["a", "b", "c"], "more": [[1], [2], [3]], "text": "], ["}
        path = tmp_path / str(share)
        path.write_text(json.dumps(document, separators=separators, ensure_ascii=share > 0.1), encoding="utf-8")
        index = tables.load_index(path, lambda: None)
        assert list(index.read_rows(range(len(index.starts)))) == rows
        assert [row for _, some in index.read_pieces(lambda: None) for row in some] == rows


def test_a_row_that_is_no_json_is_refused_where_it_is_read(read: Read) -> None:
    text = '{"data": [[1], [2], [1,,2], [3]], "columns": ["a"]}'
    with pytest.raises(Invalid, match="is not one"):
        read(text, filter="a > 0")
    with pytest.raises(Invalid, match="is not one"):
        read(text)


def test_a_table_is_filtered_and_sorted(read: Read) -> None:
    data = [[0, 0.5, "cat"], [1, None, "dog"], [2, 0.9, "Cat"], [3, math.nan, "bird"], [4, 0.1, "cat"]]
    document = {"columns": ["row", "score", "name"], "data": data}

    def numbers(**question: Any) -> list[int]:
        return read(document, **question).numbers

    assert numbers(filter="name = cat") == [0, 2, 4]
    assert numbers(filter="score > 0.3 cat") == [0, 2]
    assert numbers(filter='name != "cat"') == [1, 3]
    assert numbers(sort="score") == [4, 0, 2, 1, 3]  # what has no value comes last, both ways
    assert numbers(sort="-score") == [2, 0, 4, 1, 3]
    assert numbers(sort="name", filter="score < 1") == [0, 2, 4]
    assert numbers(filter="name = cat", sort="-row", size=2, page=2) == [0]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"filter": "nothing > 1"}, 'no column "nothing" \\(it has: a\\)'),
        ({"sort": "-nothing"}, 'no column "nothing"'),
        ({"filter": "> 1"}, 'no name before ">"'),
        ({"filter": "a >"}, 'no value after "a >"'),
        ({"filter": "a > > 1"}, 'no value after "a >"'),
        ({"filter": "x" * 501}, "at most 500 characters"),
        ({"filter": "x " * 21}, "at most 20 conditions"),
    ],
)
def test_a_filter_that_says_nothing_is_refused_in_words(read: Read, question: dict[str, str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        read({"columns": ["a"], "data": [[1]]}, **question)


def test_a_chart_leaves_out_what_cannot_be_drawn() -> None:
    values: list[object] = [1.0, math.nan, math.inf, 10**4000, "text", True, None, 3.0]
    (drawn,) = charts.draw_metrics([{"_step": step, "loss": value} for step, value in enumerate(values)], {})
    assert json.loads(drawn.data)["series"] == [["", [0, 7], [1.0, 3.0]]]
    assert len(drawn.lines[0].points) == 2


def test_a_flat_chart_lies_in_the_middle_and_a_long_one_is_thinned() -> None:
    flat = charts.draw_chart("x", "step", "x", {"": [(0, 5.0), (1, 5.0)]})
    assert flat is not None and {y for _, y in flat.lines[0].points} == {92.0}
    long = charts.draw_chart("x", "step", "x", {"": [(step, float(step)) for step in range(10_000)]})
    assert long is not None
    (_, xs, _) = json.loads(long.data)["series"][0]
    assert (len(xs), xs[0], xs[-1]) == (charts.MAX_POINTS, 0, 9999)


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(0, 1, [0, 0.5, 1]), (0.0, 9.0, [0, 5]), (-3, 3, [-2, 0, 2]), (0.96, 0.983, [0.96, 0.97, 0.98]), (5, 5, [5]),
     (-1e300, 1e300, [-1e300, -5e299, 0, 5e299, 1e300])],
)  # fmt: skip
def test_ticks_are_round_numbers(low: float, high: float, marks: list[float]) -> None:
    assert charts.choose_ticks(low, high) == pytest.approx(marks)


def test_no_label_of_an_axis_is_wider_than_its_margin() -> None:
    """In a font whose digits are 7 px wide: the widest that a browser takes for `system-ui`."""
    for low, high in (
        (0.0, 1e-7),
        (1e6, 9e6),
        (-123456.0, 123456.0),
        (0.96, 0.983),
        (0.01961, 0.019614),
        (-2e-5, -1e-5),
    ):
        for across, up in (((0.0, 1.0), (low, high)), ((low, high), (0.0, 1.0))):
            drawn = charts.draw_chart("x", "step", "x", {"": list(zip(across, up, strict=True))})
            assert drawn is not None
            assert max(len(tick.text) for tick in drawn.y_ticks) * 7 + 6 < drawn.left
            ends = [(tick.at, len(tick.text) * 7 / (2 if tick.anchor == "middle" else 1)) for tick in drawn.x_ticks]
            assert all(at - width >= 0 for at, width in ends)
            assert all(
                at + width <= charts.WIDTH
                for (at, width), tick in zip(ends, drawn.x_ticks, strict=True)
                if tick.anchor == "middle"
            )


def test_the_labels_of_an_axis_differ() -> None:
    assert [text for _, text in charts.label_ticks([0.019611, 0.019612])] == ["0.019611", "0.019612"]
    assert [text for _, text in charts.label_ticks([123_456.78, 123_456.8])] == ["123456.78", "123456.8"]
    assert [text for _, text in charts.label_ticks([0.5, 0.5])] == ["0.5", "0.5"]


def test_a_metric_is_drawn_over_its_own_step() -> None:
    config = {"_wandb": {"value": {"m": [{"1": "epoch/epoch"}, {"2": "epoch/*", "5": 1}]}}}
    rows = [{"_step": step * 7, "epoch/epoch": step, "epoch/loss": 1 / (step + 1)} for step in range(3)]
    (drawn,) = charts.draw_metrics(rows, charts.read_axes(config))
    assert (drawn.title, drawn.x, json.loads(drawn.data)["series"][0][1]) == ("epoch/loss", "epoch", [0, 1, 2])


@pytest.mark.parametrize("config", [{"_wandb": 1}, {"_wandb": {"value": {"m": [1, {"1": "a", "5": 99}]}}}])
def test_a_config_that_makes_no_sense_changes_no_chart(config: dict[str, object]) -> None:
    assert len(charts.draw_metrics([{"_step": 0, "a": 1}, {"_step": 1, "a": 2}], charts.read_axes(config))) == 1


HOSTILE_PANELS: list[Any] = [1, [], {"a": 1}, {"a": {"panel_config": 1}}, {"a": {"panel_config": {"userQuery": [1]}}}]


@pytest.mark.parametrize("visualize", HOSTILE_PANELS)
def test_a_custom_chart_that_makes_no_sense_is_none(visualize: Any) -> None:
    drawn = panels.draw_panels({"_wandb": {"value": {"visualize": visualize}}}, {}, lambda path: "never read")
    assert all(panel.drawn is None for panel in drawn)


def test_a_custom_chart_of_columns_that_are_not_there_says_so() -> None:
    settings = {
        "panelDefId": "wandb/line/v0",
        "fieldSettings": {"x": "a", "y": "nothing"},
        "userQuery": {"queryFields": [{"fields": [{"args": [{"name": "tableKey", "value": "t"}]}]}]},
    }
    config = {"_wandb": {"value": {"visualize": {"chart": {"panel_config": settings}}}}}
    (panel,) = panels.draw_panels(config, {"t": {"path": "p"}}, lambda path: (["a"], [[1], [2]]))
    assert panel.reason == "Its table has nothing to draw."


# --- documents and models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt&colon;alert(1))",
        "[a](data:text/html,<script>alert(1)</script>)",
        "![a](javascript:alert(1))",
        '![a"onerror="alert(1)](x"onerror="alert(1))',
        '[a](https://x "onmouseover=alert(1) \\"")',
        "<a href='javascript:alert(1)'>a</a>",
        "`<script>alert(1)</script>`",
    ],
)
def test_markdown_runs_no_script(text: str) -> None:
    drawn = markdown.render(text, lambda path: f"/picture?{urlencode({'path': path})}")
    tags = re.findall(r"<(?:[^>\"]|\"[^\"]*\")*>", drawn)
    bare = [re.sub(r'"[^"]*"', '""', tag) for tag in tags]
    assert not any(re.search(r"<script|\son\w+=", tag) for tag in bare), drawn
    assert not re.search(r'(href|src)="\s*(javascript|data):', drawn, re.IGNORECASE), drawn


def test_markdown_shows_tables_and_the_versions_own_pictures() -> None:
    text = "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![wrong](media/a.png) ![out](https://example.org/a.png)"
    drawn = markdown.render(text, lambda path: f"/picture?path={path}")
    assert "<h3>Title</h3>" in drawn and "<td>2</td>" in drawn
    assert '<img src="/picture?path=media/a.png" alt="wrong">' in drawn
    assert '<a href="https://example.org/a.png" rel="noreferrer noopener nofollow">out</a>' in drawn


def zipped(path: Path, **members: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_keras_file_is_told_by_its_layers(tmp_path: Path) -> None:
    layer = {"class_name": "Dense", "config": {"name": "dense", "units": 10, "activation": "softmax"}}
    config = {"class_name": "Sequential", "config": {"name": "mine", "layers": [layer]}}
    path = zipped(tmp_path / "a", config__json=config, metadata__json={"keras_version": "3.9"}, model__weights__h5="x")
    summary = model_file.summarize(path, "model.keras")
    assert summary is not None and summary.facts["Keras version"] == "3.9"
    assert summary.rows == [(0, "Dense dense", "units 10, activation softmax")]


def test_a_skops_file_of_scikit_learn_is_told_by_its_estimators(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = tmp_path / "model"
    path.write_bytes(skops.dumps(make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit([[0], [1]], [0, 1])))
    summary = model_file.summarize(path, "model.skops")
    assert summary is not None and summary.facts["Class"] == "sklearn.pipeline.Pipeline"
    (settings,) = [settings for _, kind, settings in summary.rows if "LogisticRegression" in kind]
    assert "C 0.5" in settings


@pytest.mark.parametrize("name", ["model.keras", "model.skops"])
def test_a_model_file_that_is_none_or_a_bomb_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("text")
    bomb = '{"a": "' + "0" * (model_file.MAX_JSON_BYTES + 1) + '"}'
    deep = "[" * 100_000
    for path in (
        tmp_path / "text",
        zipped(tmp_path / "empty"),
        zipped(tmp_path / "bomb", config__json=bomb, schema__json=bomb),
        zipped(tmp_path / "deep", config__json=deep, schema__json=deep),
        zipped(tmp_path / "list", config__json=[], schema__json=[]),
        zipped(tmp_path / "many", **{f"m{number}": "" for number in range(model_file.MAX_MEMBERS + 1)}),
    ):
        with pytest.raises(Invalid, match="download it"):
            model_file.summarize(path, name)


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/acme/models.git",
        "git@github.com:acme/models.git",
        "ssh://git@github.com/acme/models",
        "https://user:secret@github.com/acme/models",
    ],
)
def test_a_commit_leads_to_its_page(remote: str) -> None:
    link = links.link_commit("b4d80e03a070", remote)
    assert link is not None and link.url == "https://github.com/acme/models/commit/b4d80e03a070"


@pytest.mark.parametrize(
    "remote", [None, "", "/srv/models", "javascript:alert(1)", "file:///etc/passwd", "https://a/b c"]
)
def test_a_commit_of_no_public_repository_is_text(remote: str | None) -> None:
    link = links.link_commit("b4d80e03a070", remote)
    assert link is not None and link.url == ""
    assert links.link_commit("<script>", remote) is None


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.96378, "0.9638"),
        (54.0, "54"),
        (1797, "1,797"),
        (1e-7, "1e-07"),
        (math.nan, "nan"),
        (10**30, "1.000e+30"),
        (22_140.4, "22,140"),
        (-123_456.7, "-123,457"),
        (6e6, "6,000,000"),
        (9_999.96, "1e+04"),
        (1.23e12, "1.23e+12"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert filters.format_number(value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (70419, "70.4 kB"), (999_999, "1 MB")])
def test_sizes_are_short(count: int, text: str) -> None:
    assert filters.format_size(count) == text


def test_a_console_line_is_what_the_process_printed() -> None:
    assert filters.clean_console_line("ERROR 2026-11-23T20:42:44.373330 \x1b[31m50 %\r100 %\x1b[0m") == "100 %"


def test_binary_is_not_shown_as_text_and_a_cut_character_does_no_harm(tmp_path) -> None:
    blobs = Blobs(tmp_path)

    def look(data: bytes) -> contents.Shown:
        return contents.show(blobs, blobs.write(data), "file", tables.Question(), str)

    assert look(b"\xff\xfe\x00").reason == "This is not text."
    assert look(b"a\0b").text is None
    long = look("é".encode() * contents.MAX_TEXT_BYTES)
    assert long.cut
    odd = look(b"a" + "é".encode() * contents.MAX_TEXT_BYTES)
    assert odd.text == "a" + "é" * (contents.MAX_TEXT_BYTES // 2 - 1)
