"""Runs through the SDK: logging, reading back, resuming, files.

pytest tests/server/sdk/test_runs.py
"""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb

from tests.server.sdk.conftest import StartRun


def test_a_run_reads_back_as_it_was_logged(start_run: StartRun, api: Any, project: str) -> None:
    with start_run(
        config={"lr": 0.1, "nested": {"a": [1, 2]}}, tags=["x", "y"], notes="n", group="g", job_type="j"
    ) as run:
        for step in range(20):
            run.log({"loss": 1 / (step + 1), "inner": {"accuracy": step}})
        run.summary["best"] = 3
    found = api.run(f"local/{project}/{run.id}")
    assert found.state == "finished" and found.name == run.name
    assert found.config == {"lr": 0.1, "nested": {"a": [1, 2]}}
    assert (found.tags, found.notes, found.group, found.job_type) == (["x", "y"], "n", "g", "j")
    assert found.summary["best"] == 3 and found.summary["loss"] == 0.05
    assert found.user.username == "local"
    assert found.lastHistoryStep == 19


@pytest.mark.covers(
    "RunFullHistory", "RunSampledHistory", "RunHistoryKeys", "RunParquetHistory", "HistoryPage", "SampledHistoryPage"
)
def test_history_reads_back_by_all_three_ways(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        for step in range(30):
            run.log({"loss": step, **({"rare": step} if step % 10 == 0 else {})})
    found = api.run(f"local/{project}/{run.id}")
    assert [row["loss"] for row in found.history(pandas=False)] == list(range(30))
    assert [row["rare"] for row in found.history(keys=["rare"], pandas=False)] == [0, 10, 20]
    assert [row["loss"] for row in found.scan_history()] == list(range(30))
    assert list(found.scan_history(keys=["rare"], page_size=10)) == [{"_step": n, "rare": n} for n in (0, 10, 20)]
    assert [row["loss"] for row in found.scan_history(min_step=5, max_step=8)] == [5, 6, 7]
    assert len(found.history(samples=7, pandas=False)) == 7


def test_numbers_that_json_does_not_know_do_not_break_reading(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        run.log({"loss": float("nan"), "up": float("inf")})
        run.log({"loss": 1.0, "up": float("-inf")})
    found = api.run(f"local/{project}/{run.id}")
    first, second = found.history(pandas=False)
    assert math.isnan(float(first["loss"])) and float(first["up"]) == math.inf
    assert second["loss"] == 1.0 and float(second["up"]) == -math.inf
    assert found.history(keys=["loss"], pandas=False)[0]["loss"] == "NaN"


def test_a_failed_run_is_failed(start_run: StartRun, api: Any, project: str) -> None:
    with pytest.raises(ZeroDivisionError), start_run() as run:
        1 / 0  # noqa: B018
    assert api.run(f"local/{project}/{run.id}").state == "failed"


def test_a_resumed_run_goes_on_where_it_stopped(start_run: StartRun, api: Any, project: str) -> None:
    with start_run(config={"a": 1}) as run:
        for step in range(3):
            run.log({"loss": step})
    with start_run(id=run.id, resume="must") as resumed:
        assert resumed.resumed and resumed.starting_step == 3
        resumed.log({"loss": 3})
    found = api.run(f"local/{project}/{run.id}")
    assert [row["loss"] for row in found.scan_history()] == [0, 1, 2, 3]
    assert found.config == {"a": 1} and found.state == "finished"


@pytest.mark.covers("RunResumeStatus")
def test_resuming_is_allowed_forbidden_or_found_out(
    start_run: StartRun, api: Any, project: str, wandb_env: dict[str, str]
) -> None:
    with pytest.raises(wandb.errors.UsageError, match="does not exist"), start_run(id="nobody01", resume="must"):
        pass
    with start_run(id="maybe1", resume="allow") as run:
        assert not run.resumed
        run.log({"loss": 0})
    with start_run(id="maybe1", resume="allow") as run:
        assert run.resumed and run.starting_step == 1
        run.log({"loss": 1})
    with pytest.raises(wandb.errors.UsageError, match="already exists"), start_run(id="maybe1", resume="never"):
        pass
    # `auto` remembers the run of a process that died, in its folder.
    code = (
        f"import os, wandb; run = wandb.init(project={project!r}, resume='auto'); open('ids', 'a').write(run.id + ' ')"
    )
    for ending in ("os._exit(9)", "run.finish()"):
        subprocess.run([sys.executable, "-c", f"{code}; {ending}"], env=wandb_env, cwd=wandb_env["HOME"], timeout=240)
    first, second = (Path(wandb_env["HOME"]) / "ids").read_text().split()
    assert first == second and api.run(f"local/{project}/{first}").state == "finished"
    assert [row["loss"] for row in api.run(f"local/{project}/maybe1").scan_history()] == [0, 1]


def test_files_of_a_run_come_back_unchanged(
    start_run: StartRun, api: Any, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "with space & ümlaut.txt").write_text("hello")
    (tmp_path / "empty.txt").write_bytes(b"")
    with start_run(settings=wandb.Settings(x_save_requirements=True)) as run:
        run.save("with space & ümlaut.txt")
        run.save("empty.txt")
    found = api.run(f"local/{project}/{run.id}")
    names = {file.name: file.size for file in found.files()}
    assert names["with space & ümlaut.txt"] == 5 and names["empty.txt"] == 0
    assert {"config.yaml", "wandb-metadata.json", "wandb-summary.json", "requirements.txt"} <= set(names)
    with found.file("./with space & ümlaut.txt").download(root=str(tmp_path / "got")) as file:
        assert file.read() == "hello"
    assert [file.name for file in found.files(pattern="%.yaml")] == ["config.yaml"]


@pytest.mark.covers("MarkRunFilesUploaded", "deleteFiles", "RunFiles")
def test_a_file_can_be_added_and_deleted_later(start_run: StartRun, api: Any, project: str, tmp_path: Path) -> None:
    with start_run() as run:
        pass
    found = api.run(f"local/{project}/{run.id}")
    (tmp_path / "late.txt").write_text("late")
    assert found.upload_file(str(tmp_path / "late.txt"), root=str(tmp_path)).size == 4
    assert api.run(f"local/{project}/{run.id}").state == "finished"
    found.file("late.txt").delete()
    assert "late.txt" not in [file.name for file in found.files()]


def test_runs_can_be_filtered_and_ordered(start_run: StartRun, api: Any, project: str) -> None:
    for lr in (0.3, 0.1, 0.2):
        with start_run(config={"lr": lr, "deep": {"lr": lr}}, tags=[f"lr-{lr}"]) as run:
            run.log({"loss": lr * 10})

    def rates(**query: Any) -> list[float]:
        return [found.config["lr"] for found in api.runs(f"local/{project}", **query)]

    assert rates() == [0.3, 0.1, 0.2]
    assert rates(order="-created_at") == [0.2, 0.1, 0.3]
    assert rates(order="+summary_metrics.loss") == [0.1, 0.2, 0.3]
    assert rates(filters={"config.lr": {"$gt": 0.15}}) == [0.3, 0.2]
    assert rates(filters={"config.lr.value": 0.1}) == rates(filters={"config.deep.lr": 0.1}) == [0.1]
    assert rates(filters={"$or": [{"tags": "lr-0.1"}, {"summary_metrics.loss": 3.0}]}) == [0.3, 0.1]
    assert rates(filters={"state": {"$ne": "finished"}}) == []


def test_what_is_edited_later_stays(start_run: StartRun, api: Any, project: str) -> None:
    with start_run(config={"a": 1}) as run:
        pass
    found = api.run(f"local/{project}/{run.id}")
    found.config["b"] = 2
    found.notes = "edited"
    found.summary["score"] = 0.5
    found.update()
    again = wandb.Api().run(f"local/{project}/{run.id}")
    assert (again.config, again.notes, again.summary["score"]) == ({"a": 1, "b": 2}, "edited", 0.5)
    assert again.state == "finished"


def test_a_deleted_run_is_gone_and_its_artifacts_stay(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        artifact = wandb.Artifact("kept", "dataset")
        with artifact.new_file("a.txt") as file:
            file.write("a")
        run.log_artifact(artifact).wait()
    found = api.run(f"local/{project}/{run.id}")
    found.delete()
    found.delete()
    with pytest.raises(wandb.errors.CommError, match="Could not find run"):
        wandb.Api().run(f"local/{project}/{run.id}")
    assert api.artifact(f"local/{project}/kept:v0").logged_by() is None


def test_a_run_asked_to_stop_is_told(start_run: StartRun, api: Any, project: str, wandb_env: dict[str, str]) -> None:
    # It is not interrupted here, however long this takes.
    with start_run(settings=wandb.Settings(stop_fn=lambda: None)) as run:
        api.run(f"local/{project}/{run.id}").stop()
        answer = api.run(f"local/{project}/{run.id}")
        assert answer.state == "running"
        from tests.server.wire import Wire

        wire = Wire(wandb_env["WANDB_BASE_URL"], wandb_env["WANDB_API_KEY"])
        assert wire.file_stream(project, run.id, {}).json()["stopped"] is True
