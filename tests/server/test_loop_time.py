"""A data folder that the first release of the server wrote is read by this one, through the real SDK.

`loop_time/` holds its rows as SQL (format 2: the migrations 0001 and 0002) and its blobs.

pytest tests/server/test_loop_time.py
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgate_server.check import check
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import MIGRATIONS
from tests.serving import Server, serving

KEPT = Path(__file__).parent / "loop_time"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "old"
    folder.mkdir()
    blobs = Blobs(folder / "blobs")
    for path in (KEPT / "blobs").iterdir():
        assert blobs.write(path.read_bytes()) == path.name
    with contextlib.closing(sqlite3.connect(folder / "server.db")) as db:
        db.executescript((KEPT / "server.sql").read_text())
        assert db.execute("PRAGMA user_version").fetchone()[0] == 2
    with serving(folder) as running:
        yield running


def test_the_folder_opens_and_is_brought_up_to_date(server: Server) -> None:
    with contextlib.closing(sqlite3.connect(server.data / "server.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(list(MIGRATIONS.glob("*.sql")))
    assert check(server.data).findings == []


def test_what_is_in_it_reads_back_through_the_sdk(server: Server, wandb_env: dict[str, str], tmp_path: Path) -> None:
    import wandb

    api = wandb.Api()
    run = api.run("loop/trained")
    assert (run.state, run.job_type, dict(run.config)) == ("finished", "train_model", {"epochs": 3, "lr": 0.5})
    assert run.summary["accuracy"] == 0.5
    assert [(row["_step"], row["loss"]) for row in run.scan_history()] == [(0, 1), (1, 0.5), (2, 1 / 3)]
    assert [used.name for used in run.used_artifacts()] == ["rows:v0"]

    rows = api.artifact("loop/rows:best")
    assert rows.digest == "b88be7c2c5fb357a19acdf588ade349e" and rows.aliases == ["latest", "best"]
    assert (rows.description, rows.metadata, rows.logged_by().id) == ("ten rows", {"rows": 10}, "built")
    folder = Path(rows.download(root=str(tmp_path / "rows")))
    assert (folder / "rows.csv").read_text().startswith("a,b\n0,0\n1,1\n2,4\n")
    assert (folder / "more" / "notes.txt").read_text() == "made at the Loop's time\n"

    linked = api.artifact("local-org/wandb-registry-model/Digits:candidate")
    assert linked.is_link and linked.source_name == "net:v0"
    assert (Path(linked.download(root=str(tmp_path / "net"))) / "net.bin").read_bytes() == bytes(range(64))


def test_it_can_be_written_to(server: Server, wandb_env: dict[str, str]) -> None:
    import wandb

    with wandb.init(project="loop", job_type="train_model") as run:
        artifact = wandb.Artifact("net", type="model")
        with artifact.new_file("net.bin", mode="wb") as file:
            file.write(b"later")
        run.link_artifact(run.log_artifact(artifact).wait(), "wandb-registry-model/Digits", aliases=["candidate"])
    assert wandb.Api().artifact("local-org/wandb-registry-model/Digits:candidate").version == "v1"
