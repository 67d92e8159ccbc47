"""
Measure one server under different loads, at once or one after the other, and the memory that it used: four runs that
log together, a chart of a long history, a version of very many files.
"""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks import serving
from benchmarks.load_runs import create_row
from benchmarks.project import ROOT
from benchmarks.report import Line, Report, expect_under, format_values, get_column
from benchmarks.serving import KEY, Server
from benchmarks.timing import DEADLINE_S, Failed, run_timed

CHART_MS, IDLE_MIB, PEAK_MIB = 100.0, 150.0, 400.0
POINTS = 500  # as many as `run.history()` asks for, and more than a chart is wide
CHARTS = 10
CHUNK = 10_000

UPSERT = 'mutation UpsertBucket { upsertBucket(input: {modelName: "load", name: "chart"}) { bucket { id } } }'
CHART = """
query SampledHistoryPage($project: String!, $entity: String!, $name: String!, $specs: [JSONString!]!) {
  project(name: $project, entityName: $entity) { run(name: $name) { sampledHistory(specs: $specs) } }
}"""


class Size(NamedTuple):
    """How much of each to log; the targets apply to the full size."""

    runs: int = 4
    steps: int = 25_000
    rows: int = 100_000
    files: int = 100_000


def sample(size: Size = Size()) -> dict[str, Any]:  # noqa: B008  an immutable one
    with tempfile.TemporaryDirectory() as folder, serving.serve_ours(Path(folder)) as server:
        results: dict[str, Any] = {**size._asdict(), "idle": server.read_memory().get("now")}
        results |= _log_runs(server, Path(folder), size)
        results |= _time_chart(server, size)
        results |= _log_files(server, Path(folder), size)
        return results | {"peak": server.read_memory().get("peak")}


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    size = Size(**{name: samples[0][name] for name in Size._fields})
    steps = [size.runs * size.steps / seconds for seconds in get_column(samples, "logging")]
    lines = [
        Line(f"{size.runs} runs of {size.steps:,} steps at once", format_values(steps, "steps/s", 0)),
        _expect_all("  rows read back, each compared", get_column(samples, "read_back"), size.runs * size.steps),
        expect_under(
            f"chart of a history of {size.rows:,} rows",
            [ms for item in samples for ms in item["chart"]],
            CHART_MS,
            "ms",
        ),
        Line(f"{size.files:,} files in a version: log", format_values(get_column(samples, "logs"))),
        Line("  before it: read and hash", format_values(get_column(samples, "prepares"))),
        Line("  list, each compared", format_values(get_column(samples, "lists"))),
        Line("  download, each compared", format_values(get_column(samples, "downloads"))),
    ]
    if samples[0]["idle"] is not None:  # it is read from /proc
        lines.append(expect_under("memory, idle", get_column(samples, "idle"), IDLE_MIB, "MiB", 0))
        lines.append(expect_under("memory, highest in all of this", get_column(samples, "peak"), PEAK_MIB, "MiB", 0))
    return Report("One server under load", lines)


def _expect_all(label: str, counts: Sequence[float], expected: int) -> Line:
    return Line(
        label, format_values(counts, "rows", 0), f"all {expected:,}", all(count == expected for count in counts)
    )


def _log_runs(server: Server, folder: Path, size: Size) -> dict[str, Any]:
    """Log steps from several processes at once; return the seconds from the first step to the last finished run."""
    names = [f"run-{number}" for number in range(size.runs)]
    logged = _run_together("log", names, server, folder, str(size.steps))
    counted = _run_together("count", names, server, folder)
    return {
        "logging": max(item["ended"] for item in logged) - min(item["began"] for item in logged),
        "read_back": sum(item["rows"] for item in counted),
    }


def _run_together(task: str, names: list[str], server: Server, folder: Path, *rest: str) -> list[dict[str, Any]]:
    """Run several clients at once; return the answer of each."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load_runs", task, name, *rest],
            env=serving.build_client_environment(server, folder / name),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    answers = []
    try:
        for name, process in zip(names, processes, strict=True):
            out, err = process.communicate(timeout=DEADLINE_S)
            if process.returncode != 0:
                raise Failed(f"{task} of {name} ended with exit code {process.returncode}\n{err[-2000:]}")
            answers.append(json.loads(out.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
    return answers


def _time_chart(server: Server, size: Size) -> dict[str, Any]:
    """Return the milliseconds of several requests for the points of one chart."""
    wire = _Wire(server)
    wire.ask("/graphql", {"query": UPSERT})
    for first in range(0, size.rows, CHUNK):
        rows = [json.dumps(create_row(step) | {"_step": step}) for step in range(first, min(first + CHUNK, size.rows))]
        block = {"wandb-history.jsonl": {"offset": first, "content": rows}}
        wire.ask("/files/local/load/chart/file_stream", {"files": block})
    spec = json.dumps({"keys": ["_step", "loss"], "samples": POINTS})
    question = {
        "query": CHART,
        "variables": {"project": "load", "entity": "local", "name": "chart", "specs": [spec]},
    }
    times = []
    for _ in range(CHARTS):
        began = time.perf_counter()
        answer = wire.ask("/graphql", question)
        times.append(1000 * (time.perf_counter() - began))
        points = answer["data"]["project"]["run"]["sampledHistory"][0]
        ends = [points[0]["_step"], points[-1]["_step"]] if points else []
        if ends != [0, size.rows - 1] or len(points) != min(POINTS, size.rows):
            raise Failed(f"the chart has {len(points)} points, with the ends {ends}")
    return {"chart": times}


def _log_files(server: Server, folder: Path, size: Size) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for task in ("log", "fetch"):
        env = serving.build_client_environment(server, folder / f"{task}-client")
        command = [sys.executable, "-m", "benchmarks.load_files", task, str(folder / f"{task}-files"), str(size.files)]
        answers |= json.loads(run_timed(command, env, ROOT).output.splitlines()[-1])
    return answers


class _Wire:
    """A client of the bare protocol, on one connection."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        basic = base64.b64encode(f"api:{KEY}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}

    def ask(self, path: str, message: dict[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", path, json.dumps(message), self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"POST {path} was answered {answer.status}: {body[:500]!r}")
        content: dict[str, Any] = json.loads(body)
        return content
