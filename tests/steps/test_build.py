"""
build, through the real SDK against the embedded server.

    pytest tests/steps/test_build.py
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import wandb

from modelgate import usecase
from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.rows.dataset import SourceUnavailable
from steps import build
from tests.steps import rows as files

ROWS = ("--rows", 60, "--eval-rows", 40)


def test_the_tables_read_back_as_in_the_walkthrough(step, tmp_path):
    answer = step("build", *ROWS)
    artifact = wandb.Api().artifact(answer["dataset"])
    rows = usecase.load_part("glyphs", "data").load(60, 40)
    for split, images, labels in (("train", rows.x_train, rows.y_train), ("eval", rows.x_eval, rows.y_eval)):
        table = artifact.get(f"{split}_table")
        x = table.get_column(f"x_{split}", convert_to="numpy")
        assert (x.dtype, x.shape) == (np.float32, images.shape)
        assert np.array_equal(x, images)
        assert np.array_equal(table.get_column(f"y_{split}", convert_to="numpy"), labels)


def test_the_img_column_shows_the_digit(step, tmp_path):
    artifact = wandb.Api().artifact(step("build", *ROWS)["dataset"])
    data = usecase.load_part("glyphs", "data")
    rows = data.load(60, 40)
    shown = artifact.get("train_table").get_column("img")
    for image, row in zip(shown, rows.x_train, strict=True):
        assert np.array_equal(np.asarray(image.image), data.picture(row))
    assert max(np.asarray(image.image).max() for image in shown) == 255


def test_each_split_is_in_a_file_of_its_own(step, tmp_path):
    artifact = wandb.Api().artifact(step("build", *ROWS)["dataset"])
    rows = usecase.load_part("glyphs", "data").load(60, 40)
    for name, split in (("training.npz", rows.training), ("eval.npz", rows.evaluation)):
        with np.load(artifact.get_entry(name).download(root=tmp_path)) as arrays:
            assert {array: arrays[array].tobytes() for array in arrays} == {
                "x": split.x.tobytes(),
                "y": split.y.tobytes(),
            }


def test_the_tables_of_a_large_dataset_show_a_sample_and_say_so(step, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "TABLE_ROWS", 50)
    artifact = wandb.Api().artifact(step("build", *ROWS)["dataset"])
    rows = usecase.load_part("glyphs", "data").load(60, 40)
    shown = build.sample(60)
    assert len(shown) == 50 and sorted(set(shown.tolist())) == shown.tolist()
    table = artifact.get("train_table")
    assert np.array_equal(table.get_column("x_train", convert_to="numpy"), rows.x_train[shown])
    assert len(table.get_column("img")) == 50
    assert artifact.metadata["table_rows"] == {"train": 50, "eval": 40}
    assert len(files.stored(artifact, tmp_path)["x_train"]) == 60


def test_metadata_says_where_the_rows_come_from(step):
    artifact = wandb.Api().artifact(step("build", *ROWS)["dataset"])
    source = usecase.load_part("glyphs", "data").source()
    assert artifact.metadata["source"] == source.name
    assert artifact.metadata["sha256"] == source.sha256
    assert (artifact.metadata["rows"], artifact.metadata["eval_rows"]) == (60, 40)
    assert sum(artifact.metadata["class_counts"]["eval"].values()) == 40
    assert artifact.type == "dataset"


def test_building_again_reuses_the_version_and_opens_no_run(step, collection):
    first = step("build", *ROWS)
    second = step("build", *ROWS)
    assert (second["dataset"], second["digest"]) == (first["dataset"], first["digest"])
    assert (first["reused"], second["reused"], second["run_url"]) == (False, True, None)
    assert len(wandb.Api().runs(f"local/{collection}")) == 1


def test_building_without_the_cache_makes_no_new_version(step, collection):
    first = step("build", *ROWS)
    second = step("build", *ROWS, "--no-cache")
    assert second["dataset"] == first["dataset"]
    assert not second["reused"]
    assert len(wandb.Api().runs(f"local/{collection}")) == 2


def test_other_rows_are_another_version(step):
    assert step("build", *ROWS)["dataset"].endswith(":v0")
    assert step("build", "--rows", 61, "--eval-rows", 40)["dataset"].endswith(":v1")


@pytest.mark.parametrize(
    ("check", "break_rows"),
    [
        ("row_nan", lambda rows: rows.x_train.__setitem__(3, np.nan)),
        ("row_range", lambda rows: rows.x_train.__setitem__(3, 16)),
        ("label_known", lambda rows: rows.y_train.__setitem__(3, 11)),
        ("label_present", lambda rows: rows.y_eval.__setitem__(rows.y_eval == 7, 8)),
        ("row_in_both", lambda rows: rows.x_eval.__setitem__(3, rows.x_train[5])),
    ],
)
def test_rows_that_fail_a_check_are_refused_and_nothing_is_recorded(step, collection, monkeypatch, check, break_rows):
    data = usecase.load_part("glyphs", "data")
    load = data.load

    def broken(rows, eval_rows):
        dataset = load(rows, eval_rows)
        break_rows(dataset)
        return dataset

    monkeypatch.setattr(data, "load", broken)
    with pytest.raises(StepError) as refused:
        step("build", *ROWS)
    assert (refused.value.name, refused.value.exit_code) == (check, 1)
    assert check == "label_present" or "row 3" in str(refused.value)
    assert collection not in [project.name for project in wandb.Api().projects("local")]


def test_more_rows_than_there_are_is_wrong_use(step):
    with pytest.raises(StepError) as refused:
        step("build", "--rows", 5000)
    assert (refused.value.name, refused.value.exit_code) == ("too_many_rows", WRONG_USE)


def test_a_source_that_cannot_be_had_exits_3_and_says_what_to_set(step, monkeypatch):
    def unavailable():
        raise SourceUnavailable("no network", "set GLYPHS_NPZ")

    monkeypatch.setattr(usecase.load_part("remote", "data"), "source", unavailable)
    with pytest.raises(StepError) as refused:
        build.main(["--use-case", "remote"])
    assert (refused.value.name, refused.value.exit_code) == ("source_unavailable", UNREACHABLE)
    assert refused.value.hint == "set GLYPHS_NPZ"


FAILING = """
import zipfile, zlib
def source():
    {raised}
def load(rows, eval_rows):
    source()
"""


@pytest.mark.parametrize(
    ("raised", "name", "code", "sentence"),
    [
        ("open('/nowhere/rows.csv')", "source_unreadable", UNREACHABLE, "FileNotFoundError: [Errno 2] No such file"),
        ("raise ConnectionResetError('by peer')", "source_unreadable", UNREACHABLE, "ConnectionResetError: by peer"),
        ("raise zipfile.BadZipFile('Bad CRC-32')", "source_unreadable", UNREACHABLE, "BadZipFile: Bad CRC-32"),
        ("zlib.decompress(b'x')", "source_unreadable", UNREACHABLE, "error: Error -5"),
        ("raise EOFError", "source_unreadable", UNREACHABLE, "EOFError"),
        ("{}['label']", "data_failed", WRONG_USE, "KeyError: 'label' (there is no such column or key)"),
        ("int('12a')", "data_failed", WRONG_USE, "ValueError: invalid literal"),
        ("raise TypeError('two\\nlines\\x1b[2J')", "data_failed", WRONG_USE, "TypeError: two lines"),
    ],
)
@pytest.mark.parametrize("call", ["source", "load"])
def test_what_data_py_raises_is_one_sentence_that_names_the_line(tmp_path, call, raised, name, code, sentence):
    """It does not exit 1, which would mean that a check of the rows failed."""
    file = tmp_path / "data.py"
    file.write_text(FAILING.format(raised=raised))
    spec = importlib.util.spec_from_file_location("usecases.letters.data", file)
    data = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(data)
    with pytest.raises(StepError) as refused:
        build.read_source(data) if call == "source" else build.read_rows(data, "image-classification", 10, 10)
    message = str(refused.value)
    assert (refused.value.name, refused.value.exit_code) == (name, code)
    assert message.startswith("usecases/letters/data.py, line 4: ") and sentence in message
    assert message.isprintable()
    assert (".venv/bin/python -c" in refused.value.hint) == (code == WRONG_USE)
