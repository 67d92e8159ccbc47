"""
What the pages make of other people's data: tables, charts, numbers. Nothing that can be stored breaks a page.

    pytest tests/web/test_reading.py
"""

import io
import json
import math

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store.blobs import Blobs
from modelgate_server.web import charts, contents, tables, words


def read(document: object, page: int = 1) -> tables.Table:
    return tables.read(io.StringIO(json.dumps(document)), page, lambda path: f"/picture/{path}", lambda: None)


@pytest.mark.parametrize(
    "document",
    [None, 1, [], {}, {"columns": 1, "data": []}, {"columns": ["a"], "data": [1]}, {"columns": [], "data": {}},
     {"columns": ["a"], "data": [[1]], "column_types": []}],
)  # fmt: skip
def test_what_is_no_table_is_refused_in_words(document: object) -> None:
    with pytest.raises(Invalid, match="table"):
        read(document)


def test_a_table_nested_too_deep_is_refused() -> None:
    with pytest.raises(Invalid, match="is none"):
        tables.read(io.StringIO("[" * 200_000), 1, str, lambda: None)


def test_a_page_after_the_last_is_the_last() -> None:
    document = {"columns": ["n"], "data": [[n] for n in range(120)]}
    last = read(document, page=3)
    assert (last.first, len(last.rows), last.count) == (100, 20, 120)
    assert read(document, page=10**8) == last
    assert read({"columns": ["n"], "data": []}).rows == []


def test_every_kind_of_cell_has_words() -> None:
    image = {"_type": "image-file", "path": "media/a.png", "height": 28}
    cells = read({"columns": list("abcdef"), "data": [[None, 1.5, math.nan, "text", image, {"x": [1]}]]}).rows[0]
    assert [cell.kind for cell in cells] == ["empty", "number", "number", "text", "picture", "text"]
    assert (cells[2].text, cells[4].url, cells[4].pixelated) == ("nan", "/picture/media/a.png", True)
    assert cells[5].text == '{"x": [1]}'


def test_a_chart_leaves_out_what_cannot_be_drawn() -> None:
    values: list[object] = [1.0, math.nan, math.inf, 10**4000, "text", True, None, 3.0]
    drawn = charts.of_run([{"_step": step, "loss": value} for step, value in enumerate(values)], {})
    assert [(chart.key, chart.low, chart.high, chart.first, chart.last) for chart in drawn] == [("loss", 1, 3, 0, 7)]
    assert drawn[0].line == "44.0,132.0 312.0,8.0"


def test_a_flat_chart_lies_in_the_middle_and_a_long_one_is_thinned() -> None:
    flat = charts.chart("x", "_step", [(0, 5.0), (1, 5.0)])
    assert flat.line == "44.0,70.0 312.0,70.0"
    long = charts.chart("x", "_step", [(step, float(step)) for step in range(10_000)])
    assert len(json.loads(long.points)) == charts.MAX_POINTS
    assert (long.first, long.last, long.value) == (0, 9999, 9999)


def test_a_metric_is_drawn_over_its_own_step() -> None:
    config = {"_wandb": {"value": {"m": [{"1": "epoch/epoch"}, {"2": "epoch/*", "5": 1}]}}}
    rows = [{"_step": step * 7, "epoch/epoch": step, "epoch/loss": 1 / (step + 1)} for step in range(3)]
    assert [(chart.key, chart.axis, chart.last) for chart in charts.of_run(rows, config)] == [
        ("epoch/loss", "epoch", 2)
    ]


@pytest.mark.parametrize("config", [{"_wandb": 1}, {"_wandb": {"value": {"m": [1, {"1": "a", "5": 99}]}}}])
def test_a_config_that_makes_no_sense_changes_no_chart(config: dict[str, object]) -> None:
    assert len(charts.of_run([{"_step": 0, "a": 1}, {"_step": 1, "a": 2}], config)) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.96378, "0.9638"), (54.0, "54"), (1797, "1,797"), (1e-7, "1e-07"), (math.nan, "nan"), (10**30, "1.000e+30")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (70419, "70.4 kB"), (999_999, "1 MB")])
def test_sizes_are_short(count: int, text: str) -> None:
    assert words.size(count) == text


def test_a_console_line_is_what_the_process_printed() -> None:
    assert words.console_line("ERROR 2026-11-23T20:42:44.373330 \x1b[31m50 %\r100 %\x1b[0m") == "100 %"


def test_binary_is_not_shown_as_text_and_a_cut_character_does_no_harm(tmp_path) -> None:
    blobs = Blobs(tmp_path)

    def look(data: bytes) -> contents.Shown:
        return contents.show(blobs, blobs.write(data), "file", 1, str)

    assert look(b"\xff\xfe\x00").reason == "This is not text."
    assert look(b"a\0b").text is None
    long = look("é".encode() * contents.MAX_TEXT_BYTES)
    assert long.cut
    odd = look(b"a" + "é".encode() * contents.MAX_TEXT_BYTES)
    assert odd.text == "a" + "é" * (contents.MAX_TEXT_BYTES // 2 - 1)
