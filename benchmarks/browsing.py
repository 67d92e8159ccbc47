"""
Measure large pages: how long the server takes for each, and how large it is. A project of 1,000 runs, a history of
100,000 rows, a version of 10,000 files, a table of 60,000 rows.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from benchmarks import serving
from benchmarks.report import Line, Report, expect_under
from benchmarks.serving import KEY, Server
from benchmarks.timing import Failed
from modelgate_server.store import accounts, artifact_collections, artifacts, history, projects, registry, runs
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database, format_now, insert

PAGE_MS, PAGE_KB = 200.0, 300.0
# The first view of a table reads all of it, and its index is kept. So each page that reads a table has its own.
LOOKS = 6
VERSIONS = 4
HOME = "/local/browsing"
LARGE = f"{HOME}/artifacts/dataset/large"
VERSION = f"{LARGE}/v1"
TABLE = "rows.table.json"


class Size(NamedTuple):
    runs: int = 1_000
    rows: int = 100_000
    files: int = 10_000
    table: int = 60_000


def sample(size: Size = Size()) -> dict[str, Any]:  # noqa: B008  an immutable one
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder) / "server", size)
        with serving.serve_ours(Path(folder), "pages") as server:
            pages = {name: _time_page(server, path) for name, path in list_pages(size).items()}
    return {**size._asdict(), "pages": pages}


def list_pages(size: Size) -> dict[str, str]:
    chosen = urlencode({"filter": "accuracy > 0.5 config.lr < 0.05", "sort": "-loss", "group": "job_type"})
    compared = urlencode([("run", f"run-{number}") for number in range(3)])
    table, other = (f"{LARGE}/v{number}/file?{urlencode({'path': TABLE})}" for number in (2, 3))
    return {
        "what is in production": "/",
        "projects and registries": "/-/all",
        f"project of {size.runs:,} runs": HOME,
        "  filtered, sorted and grouped": f"{HOME}?{chosen}",
        "  three runs compared": f"{HOME}?{compared}",
        "    their points": f"{HOME}/series?{compared}",
        f"  its {2 * size.runs:,} tables of runs": f"{HOME}/artifacts/run_table",
        f"run with {size.rows:,} rows of history": f"{HOME}/runs/long",
        "  the points of its charts": f"{HOME}/runs/long/series",
        "  zoomed in": f"{HOME}/runs/long/series?from={size.rows // 20}&to={size.rows // 20 + 1_000}",
        "all versions of a dataset": LARGE,
        f"version of {size.files:,} files": VERSION,
        "  what changed since the previous one": f"{VERSION}/diff",
        "  its lineage": f"{VERSION}/lineage",
        f"table of {size.table:,} rows": table,
        "  its last page": f"{table}&page={size.table // 50}",
        "  filtered and sorted": f"{other}&{urlencode({'filter': 'label = 3', 'sort': '-score'})}",
    }


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    lines: list[Line] = []
    for name in samples[0]["pages"]:
        pages = [item["pages"][name] for item in samples]
        lines.append(expect_under(name, [ms for page in pages for ms in page["ms"][1:]], PAGE_MS, "ms", 0))
        lines.append(expect_under("    the first time", [page["ms"][0] for page in pages], PAGE_MS, "ms", 0))
        lines.append(expect_under("    size", [page["kB"] for page in pages], PAGE_KB, "kB", 0))
    return Report("Large pages, on the server", lines)


def _fill(folder: Path, size: Size) -> None:
    """Write the data without the protocol, which is measured separately."""
    folder.mkdir()
    database, blobs = Database(folder / "server.db"), Blobs(folder / "blobs")
    with database.write() as db:
        registry.create_local(db, KEY)
        user = accounts.find_user_by_key(db, KEY)
        if user is None:
            raise Failed("the server has no user to log in as")
        home = projects.create(db, accounts.get_default_entity(db, user), "browsing", user)
        for number in range(size.runs):
            fields = {
                "config": _create_config(number),
                "summary": _create_summary(number),
                "job_type": f"job-{number % 4}",
            }
            run = runs.create(db, home, user, f"run-{number}", {**fields, "state": "finished"})
            for name in ("predictions", "mistakes"):
                artifact_collections.ensure(db, home, f"run-{number}-{name}", "run_table", kind="sequence")
            history.append(
                db, run.id, history.HISTORY, 0, [_create_row(step) for step in range(200)] if number < 3 else []
            )
        long = runs.create(
            db, home, user, "long", {"config": _create_config(0), "summary": _create_row(0), "state": "finished"}
        )
        history.append(db, long.id, history.HISTORY, 0, [_create_row(step) for step in range(size.rows)])
        history.append(
            db, long.id, history.EVENTS, 0, [_create_system_row(number) for number in range(size.rows // 20)]
        )
        large = artifact_collections.ensure(db, home, "large", "dataset", kind="sequence")
        for number in range(VERSIONS):
            _create_version(db, blobs, large, number, size)
    database.close()


def _create_version(db: Any, blobs: Blobs, home: artifact_collections.Collection, number: int, size: Size) -> None:
    table = blobs.write(_create_table(size.table, number).encode())
    files = [(f"media/{i // 100:03}/{i:05}.png", f"digest-{i}") for i in range(size.files - 1)]
    files[:10] = [(path, f"{digest}-{number}") for path, digest in files[:10]]
    common = {
        "created_at": format_now(),
        "updated_at": format_now(),
        "metadata": json.dumps({"rows": size.table + number}),
    }
    version = insert(db, "artifacts", sequence_id=home.id, state="COMMITTED", version_index=number, digest=f"{number}",
                     size=1, file_count=size.files, **common)  # fmt: skip
    rows: list[tuple[Any, ...]] = [(version, path, digest, None, None, 300) for path, digest in files]
    rows.append((version, TABLE, table, table, None, 1))
    db.executemany("INSERT INTO entries (artifact_id, path, digest, md5, ref, size) VALUES (?, ?, ?, ?, ?, ?)", rows)
    artifacts.add_to(db, home, version)


def _create_config(number: int) -> str:
    """Return a config with what the SDK adds, some 10 kB."""
    own = {"value": {"t": "x" * 9_000, "m": [{"1": "epoch/epoch"}, {"2": "epoch/*", "5": 1}]}}
    values = {"lr": 10 ** -(number % 5), "seed": number, "optimizer": {"name": "adam"}}
    return json.dumps({"_wandb": own, **{key: {"value": value} for key, value in values.items()}})


def _create_summary(number: int) -> str:
    return json.dumps({"accuracy": number % 100 / 100, "loss": 1 / (number + 1), "_runtime": 1, "note": "x" * 1_000})


def _create_row(step: int) -> str:
    values = {f"train/metric_{key}": step * 0.001 + key for key in range(8)}
    epoch = {"epoch/epoch": step // 500, "epoch/loss": 1 / (step + 1)} if step % 500 == 0 else {}
    return json.dumps({"_step": step, "_runtime": step * 0.1, "_timestamp": 1.7e9 + step, **values, **epoch})


def _create_system_row(number: int) -> str:
    """Return what the SDK logs about a machine with several processors and disks every 15 seconds."""
    values = {f"system.cpu.{core}.cpu_percent": number % 100 for core in range(32)}
    return json.dumps({"_runtime": 15 * number, "_timestamp": 1.7e9 + 15 * number, "_wandb": True, **values})


def _create_table(rows: int, number: int) -> str:
    picture = {"_type": "image-file", "sha256": "0" * 64, "size": 300, "format": "png", "width": 28, "height": 28}
    data = [
        [
            row,
            row % 10,
            (row + number * (row % 997 == 0)) % 10,
            row / rows,
            True,
            {**picture, "path": f"media/{row}.png"},
        ]
        for row in range(rows)
    ]
    columns = ["row", "label", "answer", "score", "correct", "mistake"]
    return json.dumps({"columns": columns, "data": data, "ncols": len(columns), "nrows": rows})


def _time_page(server: Server, path: str) -> dict[str, Any]:
    """Return the milliseconds of several requests for a page, and its size in kilobytes."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    cookie = _log_in(connection)
    times, size = [], 0
    for _ in range(LOOKS):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie, "Accept": "text/html"})
        answer = connection.getresponse()
        body = answer.read()
        times.append(1000 * (time.perf_counter() - began))
        size = len(body)
        if answer.status != 200:
            raise Failed(f"{quote(path, safe='/?=&')} answered {answer.status}")
    connection.close()
    return {"ms": times, "kB": size / 1000}


def _log_in(connection: http.client.HTTPConnection) -> str:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", urlencode({"key": KEY}), form)
    answer = connection.getresponse()
    answer.read()
    return (answer.getheader("Set-Cookie") or "").partition(";")[0]
