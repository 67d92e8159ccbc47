"""A project as plain files, and in another server again: the same to `wandb.Api()`, and no one is locked in.

pytest tests/server/sdk/test_export.py
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelgate_server.__main__ import main
from modelgate_server.check import check
from modelgate_server.exporting import Shelf
from modelgate_server.store import accounts, artifact_collections, memberships, projects, registry
from modelgate_server.store.db import Database, open_snapshot
from tests.server.killing import kill_at_blob
from tests.server.wire import UPSERT_BUCKET, Upload, Wire
from tests.serving import KEY, ROOT, Server, serving

PROJECT = "moved"
REGISTRY = "local-org/wandb-registry-model/Moved"


def command(name: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "modelgate_server", name, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240)


def environment(server: Server, home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    folders = {f"WANDB_{kind}": str(home) for kind in ("DIR", "CACHE_DIR", "DATA_DIR", "CONFIG_DIR")}
    own = {"HOME": str(home), "WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}
    return {"PATH": os.environ["PATH"], **folders, **own}


def sdk(server: Server, home: Path, code: str) -> Any:
    """Run a script of the SDK as a process of its own; returns the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(server, home),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


FILL = f"""
import wandb
with wandb.init(project="{PROJECT}", id="built", job_type="build", tags=["first"], notes="a note") as run:
    metadata = {{"rows": 2, "nested": {{"a": [1]}}}}
    rows = wandb.Artifact("rows", type="dataset", description="the rows", metadata=metadata)
    for name, text in {{"a": "file next to a folder", "A.txt": "upper", "a.txt": "lower", "b/c d.txt": "deep"}}.items():
        with rows.new_file(name) as file:
            file.write(text)
    rows.add_reference("https://example.org/rows.csv", name="elsewhere", checksum=False)
    run.log_artifact(rows, aliases=["best"]).wait()
    run.log({{"table": wandb.Table(columns=["x"], data=[[1], [2]])}})
with wandb.init(project="{PROJECT}", id="trained", config={{"lr": 0.1, "deep": {{"er": [1, 2]}}}}) as run:
    used = run.use_artifact("rows:best")
    for step in range(30):
        run.log({{"loss": 1 / (step + 1), "bad": float("nan")}})
    run.summary["best"] = 0.5
    run.alert("too slow", "a second per step", level="WARN")
    for number in range(3):
        model = wandb.Artifact("net", type="model", metadata={{"number": number}})
        with model.new_file("net.bin", mode="wb") as file:
            file.write(bytes([number]) * 100)
        if number == 2:
            model.add_reference(used.get_entry("a.txt"), name="row")
        logged = run.log_artifact(model, aliases=[f"n{{number}}"], tags=[f"t{{number}}"]).wait()
        if number != 1:
            run.link_artifact(logged, "wandb-registry-model/Moved", aliases=["candidate"])
wandb.Api().artifact("{PROJECT}/net:v1").delete(delete_aliases=True)
"""

READ = f"""
import json, sys, wandb
api = wandb.Api()
def version(one):
    entries = {{path: (entry.digest, entry.size) for path, entry in one.manifest.entries.items()}}
    return dict(name=one.name, digest=one.digest, aliases=sorted(one.aliases), tags=sorted(one.tags), size=one.size,
        metadata=one.metadata, description=one.description, state=one.state, type=one.type, files=entries,
        created_at=one.created_at, by=getattr(one.logged_by(), "id", None), used=sorted(r.id for r in one.used_by()),
        source=one.source_qualified_name.split("/")[-1])
found = {{"runs": [], "versions": []}}
for run in sorted(api.runs("{PROJECT}"), key=lambda run: run.id):
    found["runs"].append(dict(id=run.id, name=run.name, state=run.state, config=dict(run.config), tags=run.tags,
        notes=run.notes, job_type=run.job_type, created_at=run.created_at,
        summary=json.dumps(run.summary._json_dict, sort_keys=True),
        history=json.dumps(list(run.scan_history()), sort_keys=True), lines=run.lastHistoryStep,
        files=sorted((file.name, file.size, file.md5) for file in run.files()),
        used=sorted(a.name for a in run.used_artifacts()), made=sorted(a.name for a in run.logged_artifacts())))
for kind in api.artifact_types("{PROJECT}"):
    for collection in kind.collections():
        found["versions"] += [version(one) for one in collection.artifacts()]
for one in api.artifacts("model", "{REGISTRY}"):
    found["versions"].append(version(one))
print(json.dumps(found, sort_keys=True))
"""

DOWNLOAD = f"""
import json, wandb
from pathlib import Path
api = wandb.Api()
model = api.artifact("{REGISTRY}:candidate")
folder = Path(model.download())
deep = api.artifact("{PROJECT}/rows:best").get_entry("b/c d.txt").download()
print(json.dumps({{"row": (folder / "row").read_text(), "net": list((folder / "net.bin").read_bytes()[:2]),
    "deep": Path(deep).read_text()}}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[Server]:
    """The server that the project was made on."""
    with serving(folder / "first") as server:
        sdk(server, folder / "home-1", FILL)
        yield server


@pytest.fixture(scope="module")
def exported(first: Server, folder: Path) -> Path:
    done = command("export", "--data", first.data, f"local/{PROJECT}", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def second(folder: Path) -> Iterator[Server]:
    """Another one, in which ids mean other things than in the first."""
    with serving(folder / "second") as server:
        for number in range(3):
            Upload(Wire.connect(server), "other", {"x": str(number).encode()}).run()
        yield server


def alerts(server: Server) -> list[Any]:
    with open_snapshot(server.data / "server.db") as db:
        return db.execute(
            "SELECT name, level, title, text, a.created_at FROM alerts a JOIN runs ON run_id = runs.id"
        ).fetchall()


def test_a_project_is_the_same_on_another_server_and_twice_is_once(
    first: Server, exported: Path, second: Server, tmp_path: Path, folder: Path
) -> None:
    before = sdk(first, folder / "home-1", READ)
    assert len(before["runs"]) == 2 and len(before["versions"]) == 6  # rows, table, net v0 v2, two links
    done = command("import", "--data", second.data, exported)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"runs": 2, "versions": 4, "there": 0, "not_carried": []}
    assert sdk(second, tmp_path / "fresh", DOWNLOAD) == {"row": "lower", "net": [2, 2], "deep": "deep"}
    again = json.loads(command("import", "--data", second.data, exported).stdout)
    assert again == {"runs": 0, "versions": 0, "there": 6, "not_carried": []}
    assert sdk(second, tmp_path / "home", READ) == before
    assert alerts(second) == alerts(first) != []
    assert check(second.data).findings == []


def test_the_files_can_be_read_without_this_software(exported: Path) -> None:
    run = json.loads((exported / "runs" / "trained" / "run.json").read_text())
    assert run["artifacts"]["input"][0]["version"] == f"local/{PROJECT}/rows:v0"
    rows = [json.loads(line) for line in (exported / "runs" / "trained" / "history.jsonl").read_text().splitlines()]
    assert len(rows) == 30 and rows[0]["loss"] == 1
    assert json.loads((exported / "runs" / "trained" / "config.json").read_text())["lr"] == {"value": 0.1}
    version = json.loads((exported / "artifacts" / "rows" / "v0" / "version.json").read_text())
    assert version["metadata"] == {"rows": 2, "nested": {"a": [1]}} and sorted(version["aliases"]) == ["best", "latest"]
    for entry in version["files"]:
        if entry["file"]:
            data = (exported / "artifacts" / "rows" / "v0" / entry["file"]).read_bytes()
            assert hashlib.md5(data).hexdigest() == entry["md5"]  # noqa: S324
    assert {entry["path"] for entry in version["files"]} == {"a", "A.txt", "a.txt", "b/c d.txt", "elsewhere"}
    linked = json.loads((exported / "artifacts" / "net" / "v2" / "version.json").read_text())["links"]
    assert [(link["collection"], link["number"], sorted(link["aliases"])) for link in linked] == [
        ("Moved", 1, ["candidate", "latest"])
    ]
    assert "python -m modelgate_server import" in (exported / "README.txt").read_text()


def test_a_killed_import_is_completed_by_the_next(exported: Path, data: Path, tmp_path: Path) -> None:
    for number in (1, 2, 7, 4):
        kill_at_blob(number, "import", "--data", data, exported)
        report = check(data)
        assert report.findings == [] and report.versions < 4
    done = command("import", "--data", data, exported)
    assert done.returncode == 0 and json.loads(done.stdout)["not_carried"] == []
    again = command("export", "--data", data, f"local/{PROJECT}", tmp_path / "again")
    assert json.loads(again.stdout) == {"runs": 2, "versions": 4, "collections": 3, "files": 20, "broken": []}


@pytest.mark.prove
def test_what_went_on_in_the_other_server_stays(exported: Path, second: Server, tmp_path: Path) -> None:
    assert command("import", "--data", second.data, exported).returncode == 0
    sdk(second, tmp_path / "home", GO_ON)
    assert command("import", "--data", second.data, exported).returncode == 0
    found = sdk(second, tmp_path / "home", READ)
    latest = [one["name"] for one in found["versions"] if "latest" in one["aliases"]]
    assert sorted(name for name in latest if "net" in name or "Moved" in name) == ["Moved:v2", "net:v3"]
    run = found["runs"][1]
    assert run["config"]["lr"] == 0.2 and len(json.loads(run["history"])) == 31


GO_ON = f"""
import wandb
with wandb.init(project="{PROJECT}", id="trained", resume="must") as run:
    run.log({{"loss": -1}})
    run.config.update({{"lr": 0.2}}, allow_val_change=True)
    model = wandb.Artifact("net", type="model")
    with model.new_file("net.bin", mode="wb") as file:
        file.write(b"later")
    logged = run.log_artifact(model).wait()
    assert logged.version == "v3", logged.version
    run.link_artifact(logged, "wandb-registry-model/Moved")
"""


@pytest.mark.prove
def test_the_script_of_the_servers_page_moves_a_project_with_the_sdk_alone(exported: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "server.md").read_text()
    script = page.split("```python\n")[1].split("```")[0].replace("sys.argv[1]", repr(str(exported)))
    with serving(tmp_path / "third") as third:
        sdk(third, tmp_path / "home", script)
        moved = sdk(third, tmp_path / "home", READ)
    assert [(run["id"], run["used"], run["state"]) for run in moved["runs"]] == [
        ("built", [], "finished"),
        ("trained", ["rows:v0"], "finished"),
    ]
    assert moved["runs"][1]["config"] == {"lr": 0.1, "deep": {"er": [1, 2]}}
    assert [row["loss"] for row in json.loads(moved["runs"][1]["history"])] == [1 / (n + 1) for n in range(30)]
    named = {one["name"]: one for one in moved["versions"]}
    assert named["rows:v0"]["aliases"] == ["best", "latest"] and named["rows:v0"]["by"] == "built"
    assert "candidate" in named["Moved:v1"]["aliases"] and named["net:v1"]["metadata"] == {"number": 2}


def test_a_project_can_be_brought_in_under_another_name(exported: Path, second: Server) -> None:
    done = command("import", "--data", second.data, exported, "--to", "local/renamed")
    assert done.returncode == 0 and json.loads(done.stdout)["versions"] == 4, done.stderr
    export = command("export", "--data", second.data, "local/renamed", second.data.parent / "again")
    assert json.loads(export.stdout)["versions"] == 4


def test_lines_of_any_letters_and_streams_with_gaps_come_back_as_they_were(second: Server, tmp_path: Path) -> None:
    wire = Wire.connect(second)
    wire.start_run("lines")
    odd = '{"_step": 0, "text": "a\u2028b\x85c"}'
    streams = {
        "wandb-history.jsonl": {"offset": 0, "content": [odd, '{"_step": 1,\n "x": NaN}']},
        "output.log": {"offset": 7, "content": ["one\ntwo", "\u2028", ""]},
    }
    for offset in (0, 5):
        streams["wandb-events.jsonl"] = {"offset": offset, "content": ["{}"]}
        assert wire.file_stream("lines", "run-1", {"files": streams}).status_code == 200
    assert command("export", "--data", second.data, "local/lines", tmp_path / "lines").returncode == 0
    assert command("import", "--data", second.data, tmp_path / "lines", "--to", "local/again").returncode == 0
    with closing(sqlite3.connect(second.data / "server.db")) as db:

        def kept(table: str) -> list[list[tuple[int, str]]]:
            sql = f"SELECT line, data FROM {table} JOIN runs ON id = run_id WHERE project_id = ? ORDER BY line"  # noqa: S608
            found = db.execute("SELECT id FROM projects WHERE name IN ('lines', 'again') ORDER BY name")
            return [db.execute(sql, key).fetchall() for key in found.fetchall()]

        again, before = kept("history")
        assert before[0] == (0, odd) and again == [(0, odd), (1, '{"_step": 1,  "x": NaN}')]
        for table, numbers in (("events", [0, 5]), ("console", [7, 8, 9])):
            again, before = kept(table)
            assert again == before and [line for line, _ in again] == numbers


def test_a_fork_comes_along_also_without_its_source(second: Server, tmp_path: Path) -> None:
    with serving(tmp_path / "forked") as server:
        wire = Wire.connect(server)
        wire.start_run("forks", "source")
        lines = [json.dumps({"_step": step, "x": step}) for step in range(5)]
        message = {"files": {"wandb-history.jsonl": {"offset": 0, "content": lines}}}
        assert wire.file_stream("forks", "source", message).status_code == 200
        config = json.dumps({"_wandb": {"value": {"branch_point": {"run_id": "source", "step": 2}}}})
        wire.data(UPSERT_BUCKET, project="forks", name="a-fork", config=config)
        message = {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"_step": 3, "x": 30}']}}}
        assert wire.file_stream("forks", "a-fork", message).status_code == 200
        query = 'query { project(name: "forks") { run(name: "a-fork") { history historyLineCount } } }'
        before = wire.data(query)["project"]["run"]
        assert [json.loads(line)["x"] for line in before["history"]] == [0, 1, 2, 30]
        source = wire.data('{ project(name: "forks") { run(name: "source") { id } } }')["project"]["run"]["id"]
        wire.done("deleteRun", "clientMutationId", id=source)
    assert command("export", "--data", tmp_path / "forked", "local/forks", tmp_path / "out").returncode == 0
    done = command("import", "--data", second.data, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert Wire.connect(second).data(query)["project"]["run"] == before


def test_another_run_or_version_under_the_same_name_is_refused_before_anything_is_written(
    exported: Path, second: Server
) -> None:
    Wire.connect(second).start_run("taken", "trained")
    done = command("import", "--data", second.data, exported, "--to", "local/taken")
    assert done.returncode == 2 and 'has another run "trained"' in done.stderr and "--to" in done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder as a first start leaves it, without the server."""
    folder = tmp_path / "data"
    folder.mkdir()
    database = Database(folder / "server.db")
    with database.write() as db:
        registry.create_local(db, KEY)
    database.close()
    return folder


@pytest.fixture
def damaged(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "damaged"))


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("where", "old", "new", "sentence"),
    [
        ("artifacts/rows/v0/files/b/c d.txt", "deep", "d33p", "is damaged: its MD5 is"),
        ("artifacts/rows/v0/version.json", '"files/b/c d.txt"', '"../../../../secret.txt"', "has no file"),
        ("artifacts/rows/v0/version.json", '"number": 0', '"number": null', "cannot be imported"),
        ("artifacts/net/v2/manifest.json", '"size":100', '"size":101', "its manifest says 101"),
        ("runs/trained/run.json", '"name": "trained"', '"name": "../trained"', "may not contain"),
        ("runs/trained/run.json", '"lines"', '"limes"', "cannot be imported: KeyError('lines')"),
        ("runs/trained/run.json", '"exit_code": 0', '"exit_code": {}', "cannot be imported"),
        ("runs/trained/run.json", '"exit_code": 0', f'"exit_code": {10**30}', "cannot be imported"),
        ("export.json", '"format": 1', '"format": 2', "format is 2"),
        ("export.json", '"runs": [', '"runs": {[', "is damaged"),
    ],
)
def test_a_damaged_or_hostile_export_is_one_clear_error(
    damaged: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    old: str,
    new: str,
    sentence: str,
) -> None:
    (tmp_path / "secret.txt").write_text("not yours")
    spoil(damaged / where, old, new)
    assert main(["import", "--data", str(data), str(damaged), "--to", "local/fresh"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and "hint: " in said


def test_a_link_whose_registry_is_missing_is_named(exported: Path, damaged: Path, second: Server) -> None:
    spoil(damaged / "artifacts" / "net" / "v2" / "version.json", "wandb-registry-model", "wandb-registry-nowhere")
    done = command("import", "--data", second.data, damaged, "--to", "local/unlinked")
    assert done.returncode == 0
    assert any("there is no registry" in what for what in json.loads(done.stdout)["not_carried"])


def test_a_link_into_the_registry_of_another_organization_is_named_and_leaves_nothing(
    exported: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(data / "server.db")
    with database.write() as db:
        accounts.create_user(db, "bob")
    for new, there in ((4, 0), (0, 6)):
        assert main(["import", "--data", str(data), str(exported), "--to", "bob/mine"]) == 0
        done = json.loads(capsys.readouterr().out)
        assert (done["versions"], done["there"]) == (new, there)
        refused = [what for what in done["not_carried"] if "does not belong to the organization" in what]
        assert refused == done["not_carried"] and len(refused) == 2
    with database.read() as db:
        mine = projects.find_by_path(db, "bob/mine")
        rows = artifact_collections.find(db, mine.id, "rows") if mine else None
        assert rows and memberships.resolve(db, rows.id, "best")
        assert db.execute("SELECT count(*) FROM run_artifacts WHERE direction = 'input'").fetchone() == (1,)
        assert db.execute("SELECT count(*) FROM collections WHERE name = 'Moved'").fetchone() == (0,)
    database.close()


def test_half_a_surrogate_pair_in_metadata_comes_along(second: Server, tmp_path: Path) -> None:
    wire, metadata = Wire.connect(second), {"half": "\ud800", "word": "größer"}
    made = Upload(wire, "half", {"a.txt": b"a"}).run()
    wire.done("updateArtifact", "artifact { id }", artifactID=made, metadata=json.dumps(metadata))
    for source, target in (("half", "first"), ("half-again", "second")):
        done = command("export", "--data", second.data, f"local/{source}", tmp_path / target)
        assert done.returncode == 0, done.stderr
        done = command("import", "--data", second.data, tmp_path / target, "--to", "local/half-again")
        assert done.returncode == 0, done.stderr
        text = (tmp_path / target / "artifacts" / "data" / "v0" / "version.json").read_text(encoding="utf-8")
        assert json.loads(text)["metadata"] == metadata and "größer" in text


def test_export_refuses_a_target_that_is_there_and_a_project_that_is_not(first: Server, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "mine.part").mkdir()
    for arguments, sentence in (
        ((f"local/{PROJECT}", tmp_path / "there"), "exists"),
        ((f"local/{PROJECT}", tmp_path / "mine"), "exists, but not from an earlier export"),
        (("local/nothing", tmp_path / "new"), 'project "local/nothing" is not in this data folder'),
    ):
        done = command("export", "--data", first.data, *arguments)
        assert done.returncode == 2 and sentence in done.stderr and "hint: " in done.stderr


def test_an_export_that_was_killed_is_begun_again(first: Server, tmp_path: Path) -> None:
    part = tmp_path / "out.part"
    part.mkdir()
    (part / "export.json").write_text("{}")
    (part / "half").write_text("half")
    assert command("export", "--data", first.data, f"local/{PROJECT}", tmp_path / "out").returncode == 0
    assert not part.exists() and not (tmp_path / "out" / "half").exists()


def test_a_name_that_no_file_can_have_gets_a_number() -> None:
    shelf = Shelf("files")
    names = ["a", "a/b", "A", "b/c", "b", "x//y", "./z", "n" * 300, "ä" * 128, "q?", "deep/" * 300 + "x"]
    placed = [shelf.assign_path(name) for name in names]
    assert placed[0] == "files/a" and placed[3] == "files/b/c"
    assert [one for one in placed if one.startswith("files/")] == ["files/a", "files/b/c"]
    assert len(set(placed)) == len(names)
