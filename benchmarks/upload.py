"""
A dataset of thousands of small files, uploaded to our server by the wandb SDK and to MLflow's by MLflow's client.

Both clients get the same folder and a server of their own, freshly started on an empty data folder, that runs alone.
The clock runs inside the client: from handing over what was prepared until the version is committed, or
`log_artifacts` has returned. A server that does not hold every file afterwards fails the measurement.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.project import ROOT
from benchmarks.timing import Failed, column, environment, judged, shown, timed

AT_LEAST = 5.0  # times MLflow's files a second
START_DEADLINE_S = 180.0  # MLflow makes its database and starts four workers first
KEY = "local-" + "0" * 40


def prepare(folder: Path) -> Path:
    """The dataset's files as build makes them, in a folder."""
    files = folder / "files"
    timed([sys.executable, "-m", "benchmarks.upload_files", str(files)], environment(folder), ROOT)
    return files


def sample(files: Path, mlflow: Path | None, ours_first: bool) -> dict[str, Any]:
    """Files, and each side's seconds; without MLflow's interpreter only ours."""
    counted = {"files": sum(path.is_file() for path in files.rglob("*"))}
    if mlflow is None:
        return counted | _ours(files)
    if ours_first:
        return counted | _ours(files) | _theirs(files, mlflow)
    return counted | _theirs(files, mlflow) | _ours(files)


def show(samples: Sequence[Mapping[str, Any]]) -> bool:
    files = samples[0]["files"]
    print(f"\nUpload of a dataset: {files:,} files, prepared beforehand on both sides")
    ours = [files / seconds for seconds in column(samples, "wandb")]
    print(f"  {'wandb, our server':<18}{shown(ours, 'files/s', 0)}")
    print(f"  {'':<18}before it, not counted: reading, hashing and copying, {shown(column(samples, 'wandb_prepares'))}")
    if "mlflow" not in samples[0]:
        return True  # why there is none is said where the environment is made
    theirs = [files / seconds for seconds in column(samples, "mlflow")]
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    met: bool = statistics.median(ratios) >= AT_LEAST
    print(f"  {'MLflow':<18}{shown(theirs, 'files/s', 0)}")
    print(f"  {'ours / MLflow':<18}{shown(ratios, 'x', 1):<26}{judged(met, f'at least {AT_LEAST:g}')}")
    return met


# ---------------------------------------------------------------------------------------------------------------------


def _ours(files: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, _free_port() as port:
        data = Path(folder) / "server"
        env = environment(Path(folder))
        command = [sys.executable, "-m", "server", "--data", str(data), "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        with _serving(command, env | {"MODELGATE_SERVER_KEY": KEY}, f"{url}/_internal/healthcheck", Path(folder)):
            client = {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}
            client |= {f"WANDB_{kind}": folder for kind in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
            done = timed([sys.executable, "-m", "benchmarks.upload_wandb", str(files)], env | client, ROOT)
    answer = json.loads(done.output.splitlines()[-1])
    return {"wandb": answer["seconds"], "wandb_prepares": answer["prepares"]}


def _theirs(files: Path, python: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, _free_port() as port:
        env = environment(Path(folder)) | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        url = f"http://127.0.0.1:{port}"
        command = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", f"{folder}/artifacts"]
        with _serving(command, env, f"{url}/health", Path(folder)):
            client = [str(python), "-m", "benchmarks.upload_mlflow", str(files)]
            done = timed(client, env | {"MLFLOW_TRACKING_URI": url}, ROOT)
        stored = sum(path.is_file() for path in (Path(folder) / "artifacts").rglob("*"))
    answer = json.loads(done.output.splitlines()[-1])
    if stored != answer["files"]:
        raise Failed(f"MLflow's server holds {stored} files of {answer['files']}")
    return {"mlflow": answer["seconds"]}


@contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    yield port


@contextmanager
def _serving(command: Sequence[str], env: Mapping[str, str], health: str, folder: Path) -> Iterator[None]:
    """A server and all that it starts, until the block ends; raises Failed when it does not come up."""
    log = folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=dict(env), cwd=ROOT, stdout=sink, stderr=sink, start_new_session=True)
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while not _answers(health):
            if process.poll() is not None or time.monotonic() > deadline:
                words = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
                raise Failed(f"`{' '.join(command)}` did not come up:\n{words}")
            time.sleep(0.1)
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to the whole session: MLflow's workers do not all end with their parent."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            status: int = answer.status
            return status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
