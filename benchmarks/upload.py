"""
Measure the upload of a dataset of thousands of small files, by the wandb SDK to our server and to one that discards
them, and by MLflow's client to MLflow's server.

Each client gets the same folder and its own server, newly started on an empty data folder, with nothing else running.
The clock runs inside the client: it starts when the files are ready and stops when the version is committed or
`log_artifacts` has returned. If the server does not have every file afterwards, the measurement fails.

What each leaves stays where it is until everything has been measured, and each begins after a quiet minute: so long
after many files were deleted, as wandb's client deletes its copies, ext4 takes several times as long to make a new one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import serving
from benchmarks.project import ROOT
from benchmarks.report import Line, Report, compute_ratio, expect_at_least, format_values, get_column
from benchmarks.timing import Failed, build_environment, run_timed

MLFLOW_TIMES = 8.0  # at least this many times MLflow's files per second
FILES_PER_S = 2000.0  # at least this many, or, if the client is slower than that on this machine,
OF_DISCARDING = 0.92  # at least this part of the files per second of a server that discards them
RECENT_S = 61.0  # for a minute ext4 avoids the inodes of deleted files (RECENTCY_MIN), for longer while unsynced


def prepare(folder: Path, *counts: int) -> Path:
    """Return a folder with the dataset's files as build makes them. counts: rows and eval rows, if not all."""
    files = folder / "files"
    arguments = [str(count) for count in counts]
    run_timed(
        [sys.executable, "-m", "benchmarks.upload_files", str(files), *arguments], build_environment(folder), ROOT
    )
    return files


def sample(files: Path, mlflow: Path | None, ours_first: bool, pause_s: float = RECENT_S) -> dict[str, Any]:
    """Return the number of files and each side's seconds; without MLflow's interpreter only ours."""
    sides: list[Callable[[], dict[str, Any]]] = [
        lambda: _upload_wandb(files, "modelgate_server", "wandb"),
        lambda: _upload_wandb(files, "benchmarks.discarding", "discarding"),
    ]
    if mlflow is not None:
        sides.append(lambda: _upload_mlflow(files, mlflow))
    results = {"files": sum(path.is_file() for path in files.rglob("*"))}
    for side in sides if ours_first else reversed(sides):
        os.sync()
        time.sleep(pause_s)
        results |= side()
    return results


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    files = samples[0]["files"]
    ours, discarding = _compute_rate(samples, "wandb"), _compute_rate(samples, "discarding")
    limit = round(min(FILES_PER_S, OF_DISCARDING * statistics.median(discarding)))
    lines = [
        expect_at_least("wandb, our server", ours, limit, "files/s", 0),
        Line("  before it: read, hash, copy", format_values(get_column(samples, "wandb_prepares"))),
        Line("wandb, every PUT thrown away", format_values(discarding, "files/s", 0)),
        Line("ours / thrown away", format_values([100 * ratio for ratio in compute_ratio(ours, discarding)], "%", 0)),
    ]
    if "mlflow" in samples[0]:  # otherwise make_mlflow_python reports it
        mlflow = _compute_rate(samples, "mlflow")
        lines.append(Line("MLflow's client and server", format_values(mlflow, "files/s", 0)))
        lines.append(expect_at_least("ours / MLflow", compute_ratio(ours, mlflow), MLFLOW_TIMES, "x"))
    return Report(f"Upload of a dataset: {files:,} files, prepared beforehand on all sides", lines)


def _compute_rate(samples: Sequence[Mapping[str, Any]], side: str) -> list[float]:
    """Return the files per second."""
    return [sample["files"] / sample[side] for sample in samples]


def _upload_wandb(files: Path, module: str, name: str) -> dict[str, Any]:
    folder = _keep_folder(files)
    with serving.serve_ours(folder, module) as server:
        env = serving.build_client_environment(server, folder / "client")
        done = run_timed([sys.executable, "-m", "benchmarks.upload_wandb", str(files)], env, ROOT)
    answer = json.loads(done.output.splitlines()[-1])
    return {name: answer["seconds"], f"{name}_prepares": answer["prepares"]}


def _upload_mlflow(files: Path, python: Path) -> dict[str, Any]:
    folder = _keep_folder(files)
    env = build_environment(folder) | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    port = serving.find_free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", f"{folder}/artifacts"]
    with serving.run_server(command, env, url, "/health", folder):
        client = [str(python), "-m", "benchmarks.upload_mlflow", str(files)]
        done = run_timed(client, env | {"MLFLOW_TRACKING_URI": url}, ROOT)
    stored = sum(path.is_file() for path in (folder / "artifacts").rglob("*"))
    answer = json.loads(done.output.splitlines()[-1])
    if stored != answer["files"]:
        raise Failed(f"MLflow's server holds {stored} files of {answer['files']}")
    return {"mlflow": answer["seconds"]}


def _keep_folder(files: Path) -> Path:
    """Return a new folder next to the dataset's, removed with it."""
    return Path(tempfile.mkdtemp(dir=files.parent))
