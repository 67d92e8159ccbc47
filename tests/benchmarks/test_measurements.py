"""
Check that the measurements of `make bench` work, at sizes that say nothing about speed.

    pytest tests/benchmarks
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import browsing, containers, load, page, rows, start, upload
from benchmarks.environments import Unavailable
from benchmarks.project import Project
from benchmarks.report import (
    Line,
    Report,
    expect_at_least,
    expect_at_most,
    expect_under,
    is_met,
    to_markdown,
    to_text,
)
from benchmarks.timing import Failed


@pytest.fixture(autouse=True)
def digits(monkeypatch):
    """Run as if there were no MNIST: reading its rows would take longer than all the rest."""
    monkeypatch.delenv("MNIST_NPZ", raising=False)


def test_the_upload_is_measured_against_a_server_that_throws_it_away(tmp_path):
    files = upload.prepare(tmp_path, 20, 10)
    sample = upload.sample(files, None, ours_first=True, pause_s=0)
    assert sample["files"] == 36  # a PNG per row, two tables, their images as arrays, two files of rows
    assert min(sample["wandb"], sample["discarding"]) > 0
    assert [line.label for line in upload.report([sample]).lines][-1] == "ours / thrown away"


@pytest.mark.parametrize(("discarded", "limit"), [(3000, 2000), (1500, 1380)])
def test_an_upload_has_to_reach_2000_files_per_second_or_what_the_client_allows(discarded, limit):
    for rate, met in ((limit + 5, True), (limit - 5, False)):
        sample = {"files": 1000, "wandb": 1000 / rate, "discarding": 1000 / discarded, "wandb_prepares": 1.0}
        line = upload.report([sample]).lines[0]
        assert (line.target, line.met) == (f"at least {limit} files/s", met)


def test_the_load_is_measured_and_each_row_and_file_compared():
    sample = load.sample(load.Size(runs=1, steps=30, rows=600, files=40))
    report = load.report([sample])
    assert sample["read_back"] == 30
    assert len(sample["chart"]) == load.CHARTS
    assert {line.label: line.met for line in report.lines}["  rows read back, each compared"] is True


def test_a_row_that_is_missing_is_a_missed_target():
    sample = {**load.Size(runs=2, steps=30)._asdict(), "logging": 1.0, "read_back": 59, "chart": [1.0], "idle": None}
    sample |= dict.fromkeys(("logs", "prepares", "lists", "downloads"), 1.0)
    assert not is_met([load.report([sample])])
    assert is_met([load.report([{**sample, "read_back": 60}])])


def test_every_page_of_much_is_looked_at():
    sample = browsing.sample(browsing.Size(runs=5, rows=300, files=20, table=120))
    report = browsing.report([sample])
    assert len([line for line in report.lines if line.target == "under 200 ms"]) == 2 * len(sample["pages"])
    assert min(page["kB"] for page in sample["pages"].values()) > 1


def test_a_slow_or_a_large_page_is_a_missed_target():
    page = {"ms": [190.0, 100.0, 100.0], "kB": 20.0}
    assert is_met([browsing.report([{"pages": {"a page": page}}])])
    assert not is_met([browsing.report([{"pages": {"a page": page | {"kB": 301.0}}}])])
    assert not is_met([browsing.report([{"pages": {"a page": page | {"ms": [1.0, 201.0, 201.0]}}}])])
    assert not is_met([browsing.report([{"pages": {"a page": page | {"ms": [201.0, 1.0, 1.0]}}}])])


def test_the_start_is_measured():
    sample = start.sample()
    assert 0 < sample["again"] < 60
    assert start.report([{"first": 0.5, "again": 1.5}]).lines[1].met is False


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (expect_under("x", [1.0, 2.0, 9.0], 2.0, "s"), False),
        (expect_under("x", [1.0, 1.9, 9.0], 2.0, "s"), True),
        (expect_at_least("x", [1.0, 2.0, 3.0], 2.0, "x"), True),
        (expect_at_least("x", [1.0, 1.9, 3.0], 2.0, "x"), False),
        (expect_at_most("x", [1.0, 2.0, 3.0], 2.0, "x"), True),
        (expect_at_most("x", [1.0, 2.1, 3.0], 2.0, "x"), False),
    ],
)
def test_the_median_decides_whether_a_target_is_met(line, right):
    report = Report("title", [line, Line("no target", "1 s")])
    assert line.met is is_met([report]) is right
    assert (": met" in to_text(report)) is right and (": MISSED" in to_text(report)) is not right
    assert ("| met |" in to_markdown(report)) is right


def test_the_page_takes_the_figures_between_its_marks_and_keeps_the_rest():
    record = {"machine": {"processor": "P"}, "samples": {"start": [{"first": 0.5, "again": 0.25}]}}
    before = Path("docs/reference/performance.md").read_text(encoding="utf-8")
    after = page.replace_between(before, "bench", page.render(record))
    assert "- processor: P" in after and "| on an empty data folder | 0.50 s | under 1 s | met |" in after
    assert before.split("<!-- bench: begin -->")[0] == after.split("<!-- bench: begin -->")[0]
    assert before.split("<!-- bench: end -->")[1] == after.split("<!-- bench: end -->")[1]


def whole(**changes):
    samples = {name: [{}] for name in page.MEASUREMENTS} | changes
    return json.dumps({"machine": {}, "samples": {name: values for name, values in samples.items() if values}})


def test_the_page_takes_the_newest_figures_that_are_of_everything(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "KEPT", tmp_path)
    for name, record in (("1", whole()), ("2", whole()), ("3", whole(load=[]))):
        (tmp_path / f"{name}.json").write_text(record)
    assert page._find_newest() == tmp_path / "2.json"


def test_figures_that_are_not_of_everything_are_refused_and_the_page_stays(tmp_path, monkeypatch, capsys):
    before = page.PAGE.read_text(encoding="utf-8")
    (tmp_path / "part.json").write_text(whole(load=[], containers=[]))
    monkeypatch.setattr(sys, "argv", ["page", str(tmp_path / "part.json")])
    assert page.main() == 2
    assert "part.json has no figures of containers, load" in capsys.readouterr().err
    assert page.PAGE.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(("code", "raised"), [(3, "Unavailable: no engine"), (1, "Failed: not built\n  | error: x")])
def test_images_that_cannot_be_had_are_said_by_the_reason_and_not_by_the_progress(tmp_path, monkeypatch, code, raised):
    stderr = f"building train 1/9\n\nerror: {raised.partition(': ')[2]}\n"
    (tmp_path / "runner.py").write_text(f"import sys\nsys.stderr.write({stderr!r})\nsys.exit({code})\n")
    monkeypatch.setattr(containers, "ROOT", tmp_path)
    with pytest.raises((Unavailable, Failed)) as ended:
        containers.prepare()
    assert f"{type(ended.value).__name__}: {ended.value}" == raised


def test_a_page_without_marks_is_refused():
    with pytest.raises(SystemExit, match="marks"):
        page.replace_between("nothing", "bench", "fresh")


@pytest.mark.prove
def test_a_large_table_is_measured_step_by_step(tmp_path):
    sample = rows.sample(Project(tmp_path), 4000, 1000)
    lines = {line.label: line for line in rows.report([sample]).lines}
    assert all(0.05 < sample[f"{step}_gib"] < 2 and lines[f"{step}, memory"].met for step in rows.STEPS)
    assert rows.report([sample | {"train_gib": 5.0}]).lines[2].met is False
