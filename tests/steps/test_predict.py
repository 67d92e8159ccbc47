"""
predict, through the real SDK against the embedded server: which version answers, which rows, and what is left behind.

    pytest tests/steps/test_predict.py

Tests of refused versions need no model that loads: the refusal comes first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import wandb

from modelgate import row_files, usecase
from modelgate.errors import StepError
from modelgate.incoming import Refused
from modelgate.promotion import ledger
from tests.own import ROOT
from tests.serving import until
from tests.steps.blobs import ONE, OTHER, stored

OWN_SERVER = True


@pytest.fixture
def rows(tmp_path):
    """Three images, as a file."""
    path = tmp_path / "rows.npz"
    np.savez(path, x=np.zeros((3, 8, 8, 1), dtype=np.float32))
    return path


def killed(*_):
    raise KeyboardInterrupt


def refused(step, *flags, code=1):
    """Return the name under which predict refuses; neither a file nor a run is left behind."""
    folder = Path(flags[flags.index("--output") + 1]).parent
    with pytest.raises(StepError) as stopped:
        step("predict", *flags)
    assert stopped.value.exit_code == code, stopped.value
    assert not folder.exists() or not list(folder.iterdir())
    return stopped.value.name


def predictions(collection):
    """Return the runs of predict in a test's own project."""
    api = wandb.Api()
    if collection not in [project.name for project in api.projects("local")]:
        return []
    return [run for run in api.runs(f"local/{collection}") if run.job_type == "predict"]


@pytest.fixture
def refusal(step, rows, tmp_path, collection):
    """Call predict with the images; return the name of its refusal."""

    def call(*flags):
        name = refused(step, "--input", rows, "--output", tmp_path / "out" / "answers.parquet", *flags)
        assert predictions(collection) == []
        return name

    return call


# --- which version ---------------------------------------------------------------------------------------------------


def test_nothing_answers_before_the_first_promotion(refusal):
    assert refusal() == "nothing_in_production"


def test_an_alias_that_was_moved_outside_the_gate_is_refused(workspace, refusal):
    workspace.promoted(0)
    workspace.evidence(1, 0)
    workspace.move_by_hand(1)
    assert refusal() == "moved_outside"


def test_an_alias_that_was_removed_is_refused(workspace, refusal):
    workspace.promoted(0)
    version = workspace.version(0)
    version.aliases.remove("production")
    version.save()
    assert refusal() == "production_gone"


def test_a_version_without_the_seal_of_its_entry_is_refused(workspace, refusal):
    workspace.promoted(0)
    version = workspace.version(0)
    version.aliases.remove(ledger.get_seal(workspace.entries[0]))
    version.save()
    assert refusal() == "entry_not_sealed"


def test_an_entry_whose_metadata_was_changed_is_refused(workspace, refusal):
    workspace.promoted(0)
    entry = workspace.entry(0)
    entry.metadata["entry"] = {**entry.metadata["entry"], "approver": "mallory"}
    entry.save()
    assert refusal() == "entry_changed"


def test_a_ledger_whose_last_entry_was_deleted_is_refused(workspace, refusal):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.entry(1).delete(delete_aliases=True)
    assert refusal() == "moved_outside"


def test_a_changed_file_is_refused(workspace, refusal, server, monkeypatch):
    monkeypatch.setattr(workspace, "model_bytes", lambda number: b"model 9")  # otherwise other tests have the same file
    workspace.promoted(0)
    stored(server, workspace.version(0), "model.keras").write_bytes(b"model X")
    assert refusal() == "file_changed"


def test_a_file_of_the_same_md5_is_refused(workspace, refusal, server, monkeypatch):
    """By the manifest's MD5 the file is the same; the ledger has its SHA-256."""
    monkeypatch.setattr(workspace, "model_bytes", lambda number: ONE)
    workspace.promoted(0)
    stored(server, workspace.version(0), "model.keras").write_bytes(OTHER)
    assert refusal() == "model_bytes_changed"


def test_another_use_case_s_version_is_refused(refusal):
    assert refusal("--version", "local-org/wandb-registry-model/other:v0", "--unapproved") == "other_collection"


def test_another_version_answers_if_it_was_in_production_or_as_a_trial(workspace, refusal, monkeypatch):
    loaded = "model_file_refused"  # it was verified before it was loaded: these bytes are not a model
    workspace.promoted(0)
    workspace.promoted(1, 0)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("steps.promote.move_alias", killed)
        workspace.promoted(2, 1)
    assert refusal() == loaded
    assert refusal("--version", f"{workspace.registry}:v0") == loaded
    assert refusal("--version", f"{workspace.registry}:v2") == "version_not_promoted"
    assert refusal("--version", f"{workspace.registry}:v2", "--unapproved") == loaded


# --- rows and answers ------------------------------------------------------------------------------------------------

OWN = ("--use-case", "tabular", "--collection", "table")


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out" / "answers.parquet"


@pytest.fixture
def table(step, use_case, shared_results, monkeypatch):
    """The rows of a table whose model is in production; the tests of this file share it."""
    use_case("tabular")
    monkeypatch.setenv("WANDB_PROJECT", "table")
    if "table" not in shared_results:
        dataset = step("build", *OWN[:2])["dataset"]
        version = step("link", *OWN, "--model", step("train", *OWN[:2], "--dataset", dataset)["model"])["version"]
        judged = step("evaluate", *OWN, "--version", version, "--dataset", dataset)
        shared_results["table"] = step("promote", *OWN, "--evidence", judged["evidence"], "--approver", "ada")
        shared_results["table dataset"] = dataset
    return usecase.load_part("tabular", "data").load(369, 200).x_eval.reset_index(drop=True)


@pytest.fixture
def answered(step, tmp_path, output):
    """Answer a table, given as a file of this kind."""

    def call(rows, *flags, kind="parquet"):
        path = tmp_path / f"rows.{kind}"
        rows.to_parquet(path) if kind == "parquet" else rows.to_csv(path, index=False)
        return step("predict", *OWN, "--input", path, "--output", output, *flags)

    return call


def test_each_answer_names_its_version_and_its_entry_and_the_run_has_the_lineage(
    answered, table, shared_results, output, monkeypatch
):
    monkeypatch.setattr("modelgate.row_files.BATCH_ROWS", 64)
    answer = answered(table)
    answers = pd.read_parquet(output)
    assert answers["row"].tolist() == list(range(200))
    assert set(answers["version"]) == {shared_results["table"]["version"]} and set(answers["ledger_entry"]) == {"v0"}
    likeliest = answers[["p_malignant", "p_benign"]].to_numpy().argmax(axis=1)
    assert answers["answer"].tolist() == [("malignant", "benign")[index] for index in likeliest]
    assert answer["answers"] == answers["answer"].value_counts().to_dict() and answer["rows"] == 200
    assert pq.read_schema(output).metadata[b"modelgate.sha256"].decode() == answer["sha256"]
    (run,) = predictions("table")
    assert [used.name for used in run.used_artifacts()] == ["tabular_model:v0"]
    assert (run.summary["predict/rows"], run.config["ledger_entry"]) == (200, "v0")


def test_a_csv_is_answered_as_the_same_rows_in_parquet_whatever_the_order_of_its_columns(answered, table, output):
    answered(table)
    before = pd.read_parquet(output)
    answered(table[table.columns[::-1]], kind="csv")
    pd.testing.assert_frame_equal(pd.read_parquet(output), before)


AREA = "mean_area"
WRONG = {
    "in_range": (lambda rows: rows.assign(mean_area=rows[AREA].where(rows.index != 100, -1.0)), AREA, "in row 100"),
    "not_nullable": (lambda rows: rows.assign(mean_area=rows[AREA].where(rows.index != 100)), AREA, "in row 100"),
    "row_infinite": (
        lambda rows: rows.assign(mean_radius=np.inf),
        "mean_radius",
        "in_range",
    ),  # its range refuses it first
    "type": (lambda rows: rows.assign(mean_area=rows[AREA].astype(str)), AREA, "is str, not float64"),
    "table_columns": (lambda rows: rows.drop(columns=AREA), AREA, "is missing"),
    "misspelt": (
        lambda rows: rows.rename(columns={AREA: "mean_aera"}),
        AREA,
        "the file has 'mean_aera': did you mean 'mean_area'",
    ),
    "reserved": (lambda rows: rows.assign(p_maybe=1.0), "p_maybe", "the name of a column of the answers"),
}


def test_a_row_that_breaks_the_schema_is_refused_by_its_column_and_the_answers_stay(
    answered, table, output, monkeypatch
):
    monkeypatch.setattr("modelgate.row_files.BATCH_ROWS", 64)
    answered(table)
    before, runs = output.read_bytes(), len(predictions("table"))
    for name, (change, column, message) in WRONG.items():
        with pytest.raises(Refused, match=message) as stopped:
            answered(change(table))
        check = {"misspelt": "table_columns", "reserved": "table_columns", "row_infinite": "in_range"}.get(name, name)
        assert (stopped.value.name, stopped.value.column, stopped.value.exit_code) == (check, column, 1)
        assert list(output.parent.iterdir()) == [output] and output.read_bytes() == before
    with pytest.raises(Refused, match=r"column 'mean_area' is not float64 \('wide'\) in row 100") as stopped:
        answered(table.assign(mean_area=table[AREA].astype(object).where(table.index != 100, "wide")), kind="csv")
    assert (stopped.value.name, len(predictions("table"))) == ("type", runs)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_the_schema_does_not_declare_is_carried_through_unchanged_and_never_reaches_the_model(
    answered, table, output, monkeypatch, capsys, kind
):
    answered(table, kind=kind)
    plain = pd.read_parquet(output)
    ids = [f"{number:04}" if number % 50 else ("NA", "", "null", "0x")[number // 50] for number in range(200)]
    more = table.assign(
        order_id=ids, worst_of=pd.Categorical(["a", "b"] * 100), seen=pd.Timestamp("2026-03-04", tz="UTC")
    )
    if kind == "parquet":
        more["order_id"] = [b"\x00" + text.encode() if text else None for text in ids]  # of any type, and missing
        more["price"] = np.nan
    monkeypatch.setattr("modelgate.row_files.BATCH_ROWS", 64)
    answered(more[more.columns[::-1]], kind=kind)
    answers = pd.read_parquet(output)
    carried = [name for name in more.columns[::-1] if name not in table]
    assert list(answers) == ["row", *carried, *plain.columns[1:]]
    expected = more[carried] if kind == "parquet" else more[carried].astype(str)
    pd.testing.assert_frame_equal(answers[carried], expected, check_dtype=kind == "parquet", check_categorical=False)
    pd.testing.assert_frame_equal(answers[plain.columns], plain)
    assert f"carried through to the answers: {', '.join(carried)}\n" in capsys.readouterr().err


def test_a_trial_says_so_in_every_answer(step, answered, table, shared_results, output):
    model = step("train", *OWN[:2], "--dataset", shared_results["table dataset"], "--C", "0.5")["model"]
    version = step("link", *OWN, "--model", model)["version"]
    trial = answered(table, "--version", version, "--unapproved")
    assert (trial["approved"], trial["ledger_entry"], trial["version"]) == (False, "unapproved", version)
    answers = pd.read_parquet(output)
    assert set(answers["ledger_entry"]) == {"unapproved"} and set(answers["version"]) == {version}


@pytest.mark.parametrize("name", ["rows.csv", "missing.npz"])
def test_a_file_that_rows_are_not_read_from_is_wrong_use(step, tmp_path, output, name):
    """Images are in no CSV."""
    (tmp_path / "rows.csv").touch()
    assert refused(step, "--input", tmp_path / name, "--output", output, code=2) == "input_unreadable"


def test_what_was_interrupted_leaves_nothing_and_completes_the_next_time(answered, table, output, monkeypatch):
    monkeypatch.setattr("modelgate.row_files.BATCH_ROWS", 64)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("steps.predict.Counted.add", killed)
        answered(table)
    assert list(output.parent.iterdir()) == []
    (output.parent / ".answers.parquet.part").write_bytes(b"what a killed run left behind")
    answered(table)
    assert list(output.parent.iterdir()) == [output] and pq.read_metadata(output).num_rows == 200


PROGRAM = """
import sys, usecases
from pathlib import Path
from modelgate import config, row_files
config.FOLDER = Path(sys.argv.pop(1))
usecases.__path__ = [str(config.FOLDER)]
row_files.BATCH_ROWS = int(sys.argv.pop(1))
from steps import predict
import resource
code = predict.main(sys.argv[1:])
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.prove
def test_a_million_rows_take_less_than_a_gibibyte_and_a_kill_leaves_no_answers(table, tmp_path, output):
    pd.concat([table] * 5000, ignore_index=True).to_parquet(tmp_path / "rows.parquet")
    part = output.with_name(".answers.parquet.part")

    def start(batch_rows):
        flags = [*OWN, "--input", str(tmp_path / "rows.parquet"), "--output", str(output)]
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "usecases"), str(batch_rows), *flags]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    killed_one = start(1000)
    until(lambda: part.exists() and part.stat().st_size > 1000, "the first answers")
    killed_one.kill()
    killed_one.communicate(timeout=60)
    assert part.exists() and not output.exists() and predictions("table") == []
    _, stderr = start(row_files.BATCH_ROWS).communicate(timeout=600)
    assert pq.read_metadata(output).num_rows == 1_000_000 and not part.exists(), stderr
    assert "of 1,000,000 rows" in stderr
    assert int(stderr.split("peak ")[1].split()[0]) < 2**20  # KiB
