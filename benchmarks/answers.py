"""
Measure the model service against the bare call of its model, in one process: single rows, and batches of 256.

The requests have binary tensors, as `tritonclient` makes them by default, and arrive over HTTP: single rows on one
connection, batches on four, because they measure throughput.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

from benchmarks.answers_service import repeat_row
from benchmarks.drill import serve
from benchmarks.project import ROOT, Project, copy_use_case
from benchmarks.report import Line, Report, expect_at_least, expect_at_most, format_values, get_column
from benchmarks.serving import find_free_port, run_server
from benchmarks.timing import Failed

TABLE = "penguins"
BATCH = 256
CLIENTS = 4  # that send batches at once
ROUNDS, SINGLE_CALLS, BATCH_CALLS = 20, 50, 20
P99_AT_MOST = {"images": 1.5, "table": 2.0}  # times the bare call
THROUGHPUT_AT_LEAST = 80.0  # % of the bare calls
DATATYPES = {"BYTES": np.object_, "FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_}


class Sides(NamedTuple):
    """The figures of the bare model and of the service: one per call, or one per round."""

    bare: list[float]
    service: list[float]


def sample(project: Project) -> dict[str, Any]:
    """Measure an image model and a table model: p99 of a single row in ms, and rows per second in batches."""
    results: dict[str, Any] = {"images": copy_use_case(), "table": TABLE}
    for kind in P99_AT_MOST:
        name = results[kind]
        project.run(name=name)
        with tempfile.TemporaryDirectory() as log, run_service(project, name, Path(log)) as port:
            single = time_singles(Client(port, name, 1))
            batch = time_batches(*(Client(port, name, BATCH) for _ in range(CLIENTS)))
        for side in Sides._fields:
            results[f"{kind}_{side}_p99"] = 1000 * np.quantile(getattr(single, side), 0.99)
            results[f"{kind}_{side}_median"] = 1000 * statistics.median(getattr(single, side))
            results[f"{kind}_{side}_rows"] = statistics.median(getattr(batch, side))
    return results


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    lines = []
    for kind, limit in P99_AT_MOST.items():
        lines.append(Line(f"{kind}: {samples[0][kind]}", ""))
        for side in Sides._fields:
            p99 = get_column(samples, f"{kind}_{side}_p99")
            median = statistics.median(get_column(samples, f"{kind}_{side}_median"))
            lines.append(Line(f"  one row, {side}, p99", f"{format_values(p99, 'ms')}, median {median:.1f} ms"))
        ratios = [row[f"{kind}_service_p99"] / row[f"{kind}_bare_p99"] for row in samples]
        lines.append(expect_at_most("  one row, service / bare", ratios, limit, "x", 2))
        shares = [100 * row[f"{kind}_service_rows"] / row[f"{kind}_bare_rows"] for row in samples]
        rows = statistics.median(get_column(samples, f"{kind}_service_rows"))
        lines.append(Line(f"  batches of {BATCH}, service", f"{rows:,.0f} rows/s"))
        lines.append(expect_at_least(f"  batches of {BATCH}, of the bare calls'", shares, THROUGHPUT_AT_LEAST, "%", 0))
    return Report("The model service against the bare call of its model", lines)


@contextmanager
def run_service(project: Project, name: str, folder: Path) -> Iterator[int]:
    """Run the service of the version in production, with the bare call; yield its port. folder: for its log."""
    with serve(project, name):
        pass  # it has verified the version, and kept it
    port = find_free_port()
    command = [sys.executable, "-m", "benchmarks.answers_service", name, str(project.root / ".modelgate" / "serving")]
    env = project.env | {"PYTHONPATH": str(ROOT)}
    url = f"http://127.0.0.1:{port}"
    with run_server([*command, str(port)], env, url, "/v2/health/ready", folder, cwd=project.root):
        yield port


class Client:
    """One connection to the service. rows: how many each request and each bare call has."""

    def __init__(self, port: int, name: str, rows: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._path, self._rows = f"/v2/models/{name}/infer", rows
        self._body, self._headers = _request(json.loads(self._ask("GET", "/example")), rows)

    def reconnect(self) -> None:
        """Connect again before a round: the service closes a connection that was idle for seconds."""
        self._connection.close()
        self._connection.connect()

    def time_bare(self, calls: int) -> list[float]:
        """Return the seconds of each bare call."""
        return list(json.loads(self._ask("GET", f"/bare?rows={self._rows}&calls={calls}")))

    def time_requests(self, calls: int) -> list[float]:
        """Return the seconds of each request; they are sent one after the other."""
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            self._ask("POST", self._path, self._body, self._headers)
            seconds.append(time.perf_counter() - began)
        return seconds

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        self._connection.request(method, path, body, dict(headers or {}))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise Failed(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content


def time_singles(client: Client) -> Sides:
    """Return the seconds of each call; the two sides take turns."""
    times = Sides([], [])
    for number in range(ROUNDS + 1):
        bare, service = client.time_bare(SINGLE_CALLS), client.time_requests(SINGLE_CALLS)
        if number:
            times.bare.extend(bare)
            times.service.extend(service)
    return times


def time_batches(*clients: Client) -> Sides:
    """Return the rows per second of each round; the two sides take turns, and all clients send at once."""
    rates = Sides([], [])
    for number in range(ROUNDS + 1):
        bare_s = sum(clients[0].time_bare(BATCH_CALLS * len(clients)))
        for client in clients:
            client.reconnect()
        began = time.perf_counter()
        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(lambda client: client.time_requests(BATCH_CALLS), clients))
        service_s = time.perf_counter() - began
        if number:  # the first round warms both up
            rows = BATCH * BATCH_CALLS * len(clients)
            rates.bare.append(rows / bare_s)
            rates.service.append(rows / service_s)
    return rates


def _request(example: Mapping[str, Any], rows: int) -> tuple[bytes, dict[str, str]]:
    """Return a request with the example's row, repeated, as a third-party client sends it."""
    inputs = []
    for item in (repeat_row(item, rows) for item in example["inputs"]):
        tensor = InferInput(item["name"], item["shape"], item["datatype"])
        tensor.set_data_from_numpy(np.array(item["data"], dtype=DATATYPES[item["datatype"]]).reshape(item["shape"]))
        inputs.append(tensor)
    body, length = InferenceServerClient.generate_request_body(inputs)
    return body, {"Inference-Header-Content-Length": str(length)}
