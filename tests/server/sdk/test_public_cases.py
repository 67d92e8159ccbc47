"""
What people reported of W&B and servers like it, as small inputs, each with the right answer.

pytest tests/server/sdk/test_public_cases.py
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import wandb
import yaml

from tests.server.sdk.conftest import StartRun
from tests.server.wire import CREATE_FILES, Upload, Wire, md5_base64
from tests.serving import ROOT, Server, until

# --- sweeps ---------------------------------------------------------------------------------------------------------

TRAIN = """
import argparse, wandb
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
args = parser.parse_args()
with wandb.init(config=vars(args)) as run:
    run.log({"loss": args.lr})
"""


def cli(folder: Path, env: dict[str, str], *command: str) -> str:
    line = [sys.executable, "-m", "wandb", *command]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_sweeps_agent_on_the_command_line_runs_the_program(
    wandb_env: dict[str, str], project: str, tmp_path: Path, api: Any
) -> None:
    """wandb#4016"""
    (tmp_path / "train.py").write_text(TRAIN)
    config = {"program": "train.py", "method": "grid", "parameters": {"lr": {"values": [1, 2]}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(config))
    env = {**wandb_env, "WANDB_DIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{wandb_env['PATH']}"}
    said = cli(tmp_path, env, "sweep", "--project", project, "sweep.yaml")
    sweep = said.partition("wandb agent ")[2].split()[0]
    cli(tmp_path, env, "agent", sweep)
    found = api.sweep(sweep)
    assert found.state == "FINISHED"
    assert sorted((run.state, run.config["lr"]) for run in found.runs) == [("finished", 1), ("finished", 2)]


def sweep_config(**more: Any) -> str:
    return json.dumps({"method": "random", "parameters": {"x": {"values": [1, 2, 3]}}, **more})


@pytest.mark.parametrize(("goal", "reached", "missed"), [("minimize", 0.1, 0.9), ("maximize", 0.9, 0.1)])
def test_a_sweep_ends_when_its_target_is_reached(
    wire: Wire, project: str, goal: str, reached: float, missed: float
) -> None:
    config = sweep_config(metric={"name": "loss", "goal": goal, "target": 0.5})
    sweep = wire.done("upsertSweep", "sweep { id name }", config=config, projectName=project)["sweep"]
    agent = wire.done("createAgent", "agent { id }", host="h", sweep=sweep["name"], projectName=project)["agent"]["id"]
    for value in (missed, reached):
        (command,) = json.loads(wire.done("agentHeartbeat", "commands", id=agent, runState="{}")["commands"])
        assert command["type"] == "run"
        wire.done(
            "upsertBucket",
            "inserted",
            modelName=project,
            name=command["run_id"],
            sweep=sweep["name"],
            summaryMetrics=json.dumps({"loss": value}),
        )
    commands = wire.done("agentHeartbeat", "commands", id=agent, runState="{}")["commands"]
    assert json.loads(commands) == [{"type": "exit"}]
    query = "query($p: String, $s: String!) { project(name: $p) { sweep(sweepName: $s) { state } } }"
    assert wire.data(query, p=project, s=sweep["name"])["project"]["sweep"]["state"] == "FINISHED"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"early_terminate": {"type": "hyperband", "min_iter": 3}}, "stopping runs early"),
        ({"controller": {"type": "local"}}, "its own controller"),
        ({"job": "a/b/c:v0"}, "launch job"),
        ({"run_cap": 0}, '"run_cap" of the sweep must be a whole number from 1, not 0'),
        ({"run_cap": "3"}, '"run_cap" of the sweep must be'),
        ({"metric": {"name": "a", "goal": "best"}}, '"metric" of the sweep needs a "goal"'),
        ({"metric": {"name": "a", "target": "low"}}, '"target" must be a number'),
    ],
)
def test_what_a_sweep_could_not_do_here_is_refused_by_name(
    wire: Wire, project: str, more: dict[str, Any], sentence: str
) -> None:
    answer = wire.mutation("upsertSweep", "sweep { id }", config=sweep_config(**more), projectName=project)
    assert answer.status_code == 400 and sentence in answer.json()["errors"][0]["message"]


def test_a_key_that_nobody_reads_is_a_warning(wire: Wire, project: str) -> None:
    made = wire.done("upsertSweep", "configValidationWarnings", config=sweep_config(wish="a pony"), projectName=project)
    assert made["configValidationWarnings"] == [
        '"wish" in the sweep\'s configuration is not supported by this server and has no effect'
    ]


# --- shared mode ----------------------------------------------------------------------------------------------------

WRITER = """
import sys, wandb
number, project = sys.argv[1:]
primary = number == "1"
settings = wandb.Settings(mode="shared", x_primary=primary, x_label=number, x_update_finish_state=primary)
with wandb.init(project=project, id="together", settings=settings, config={f"writer_{number}": int(number)}) as run:
    for step in range(20):
        run.log({f"loss_{number}": step})
    print(f"a line of {number}")
"""


def test_two_processes_log_to_one_run(wandb_env: dict[str, str], project: str, api: Any) -> None:
    line = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*line, number, project], env=wandb_env) for number in ("1", "2")]
    assert [writer.wait(240) for writer in writers] == [0, 0]
    run = api.run(f"{project}/together")
    rows = list(run.scan_history())
    assert [row["_step"] for row in rows] == list(range(40))
    for number in ("1", "2"):
        assert [row[f"loss_{number}"] for row in rows if f"loss_{number}" in row] == list(range(20))
        assert run.summary[f"loss_{number}"] == 19
        assert run.config[f"writer_{number}"] == int(number)
    assert run.state == "finished"


def test_a_request_of_shared_mode_may_be_repeated(wire: Wire, project: str) -> None:
    wire.start_run(project)
    for _ in range(2):
        for writer in ("a", "b"):
            headers = {"X-WANDB-USE-ASYNC-FILESTREAM": "true", "X-WANDB-ASYNC-CLIENT-ID": writer}
            for offset in (0, 2):
                lines = [json.dumps({"_step": offset + i, writer: offset + i}) for i in range(2)]
                message = {"files": {"wandb-history.jsonl": {"offset": offset, "content": lines}}}
                assert wire.file_stream(project, "run-1", message, headers=headers).status_code == 200
    query = 'query($p: String) { project(name: $p) { run(name: "run-1") { history } } }'
    rows = [json.loads(line) for line in wire.data(query, p=project)["project"]["run"]["history"]]
    assert sorted((*row,) for row in rows) == sorted([("_step", "a")] * 4 + [("_step", "b")] * 4)


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"X-WANDB-USE-ASYNC-FILESTREAM": "true"}, "in shared mode, each writer needs its own id"),
        ({"X-WANDB-SERVER-SIDE-DERIVED-SUMMARY": "true"}, "a summary that the server derives"),
    ],
)
def test_a_header_that_would_change_what_a_request_means_is_refused_by_name(
    wire: Wire, project: str, headers: dict[str, str], sentence: str
) -> None:
    wire.start_run(project)
    answer = wire.file_stream(project, "run-1", {}, headers=headers)
    assert answer.status_code == 400 and sentence in answer.json()["errors"][0]["message"]


# --- forks ----------------------------------------------------------------------------------------------------------


def test_a_fork_begins_with_the_past_and_the_config_of_its_source(start_run: StartRun, api: Any, project: str) -> None:
    with start_run(id="source", config={"a": 1, "b": 2}) as run:
        for step in range(8):
            run.log({"x": step})
    with start_run(fork_from="source?_step=3", config={"b": 5, "c": 3}) as run:
        fork = run.id
        run.log({"x": 100})
    found = api.run(f"{project}/{fork}")
    assert [(row["_step"], row["x"]) for row in found.scan_history()] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 100)]
    assert found.config == {"a": 1, "b": 5, "c": 3}
    with start_run(fork_from=f"{fork}?_step=4") as run:
        again = run.id
        run.log({"x": 7})
    assert [row["x"] for row in api.run(f"{project}/{again}").scan_history()] == [0, 1, 2, 3, 100, 7]
    assert [row["x"] for row in api.run(f"{project}/source").scan_history()] == list(range(8))


def test_a_fork_of_a_run_that_is_not_there_is_refused(start_run: StartRun) -> None:
    with (
        pytest.raises(wandb.Error, match='the run to fork from, "nothing", is not in project'),
        start_run(fork_from="nothing?_step=3"),
    ):
        pass


# --- lists from which one deletes while one reads them --------------------------------------------------------------

MANY = 120


def versions_of(wire: Wire, project: str) -> None:
    wire.start_run(project)
    for number in range(MANY):
        Upload(wire, project, {"a.txt": f"{project} {number}".encode()}, "c").run()


def runs_of(wire: Wire, project: str) -> None:
    for number in range(MANY):
        wire.start_run(project, f"run-{number}")


def files_of(wire: Wire, project: str) -> None:
    wire.start_run(project)
    at = {"entityName": "local", "projectName": project, "runName": "run-1"}
    made = wire.done("createRunFiles", "files { uploadUrl }", files=[f"{i}.txt" for i in range(MANY)], **at)
    with requests.Session() as session:
        for file in made["files"]:
            assert session.put(file["uploadUrl"], data=b"x", timeout=60).status_code == 200


LISTS: dict[str, tuple[Callable[[Wire, str], None], Callable[[Any, str], Any], Callable[[Any], Any]]] = {
    "versions": (
        versions_of,
        lambda api, project: api.artifacts("dataset", f"{project}/c", per_page=20),
        lambda item: item.delete(delete_aliases=True),
    ),
    "runs": (runs_of, lambda api, project: api.runs(project, per_page=20), lambda item: item.delete()),
    "runs, newest first": (
        runs_of,
        lambda api, project: api.runs(project, order="-created_at", per_page=20),
        lambda item: item.delete(),
    ),
    "files of a run": (
        files_of,
        lambda api, project: api.run(f"{project}/run-1").files(per_page=20),
        lambda item: item.delete(),
    ),
}


@pytest.mark.parametrize("kind", LISTS)
def test_everything_is_gone_when_one_deletes_what_one_lists(wire: Wire, api: Any, project: str, kind: str) -> None:
    """As W&B's docs show it: for version in api.artifacts(...): version.delete()"""
    make, listed, delete = LISTS[kind]
    make(wire, project)
    seen = []
    for one in listed(api, project):
        seen.append(one.id)
        delete(one)
    assert len(seen) == MANY and len(set(seen)) == MANY
    again = list(listed(wandb.Api(overrides={"project": project}, timeout=60), project))
    assert again == []


def test_nothing_is_seen_twice_when_others_arrive(wire: Wire, api: Any, project: str) -> None:
    for number in range(60):
        wire.start_run(project, f"run-{number}")
    seen = []
    for one in api.runs(project, order="-created_at", per_page=10):
        if len(seen) % 10 == 5:
            wire.start_run(project, f"later-{len(seen)}")
        seen.append(one.name)
    assert len(seen) == len(set(seen)) == 60


# --- what others refer to -------------------------------------------------------------------------------------------


@pytest.fixture
def shown(start_run: StartRun) -> str:
    """`ds:v0` has images, `preds:v0` a table that shows them; returns the path of the run that made them."""
    with start_run() as run:
        dataset = wandb.Artifact("ds", "dataset")
        dataset.add(wandb.Image(np.zeros((8, 8), dtype=np.uint8)), "picture")
        run.log_artifact(dataset).wait()
        table = wandb.Table(columns=["picture"], data=[[run.use_artifact("ds:v0").get("picture")]])
        answers = wandb.Artifact("preds", "answers")
        answers.add(table, "table")
        run.log_artifact(answers).wait()
        return str(run.path)


def test_a_version_that_another_shows_is_not_deleted(shown: str, api: Any, project: str, tmp_path: Path) -> None:
    with pytest.raises(
        wandb.errors.CommError, match=f'"local/{project}/preds:v0" has files of "local/{project}/ds:v0"'
    ):
        api.artifact(f"{project}/ds:v0").delete(delete_aliases=True)
    with pytest.raises(wandb.errors.CommError, match="delete that one first"):
        api.artifact_collection("dataset", f"{project}/ds").delete()
    folder = Path(api.artifact(f"{project}/preds:v0").download(root=str(tmp_path / "preds")))
    assert list(folder.rglob("*.png"))
    api.artifact(f"{project}/preds:v0").delete(delete_aliases=True)
    api.artifact(f"{project}/ds:v0").delete(delete_aliases=True)


def test_what_goes_together_may_go(shown: str, api: Any, project: str) -> None:
    api.run(shown).delete(delete_artifacts=True)
    for name in ("ds", "preds"):
        assert not api.artifact_exists(f"{project}/{name}:v0")


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MNIST Classifier", "Zoo (2026)", "größe", "a+b=c&d", "100%", "#1?", "'; DROP TABLE"])
def test_a_collection_may_be_called_whatever_wandb_allows(
    start_run: StartRun, api: Any, tmp_path: Path, name: str
) -> None:
    registry = "wandb-registry-model"
    with start_run() as run:
        artifact = wandb.Artifact("plain", "model")
        with artifact.new_file("model.txt") as file:
            file.write(name)
        run.log_artifact(artifact).wait()
        run.link_artifact(artifact, f"{registry}/{name}", aliases=["best"])
    found = api.artifact(f"local-org/{registry}/{name}:best")
    assert (Path(found.download(root=str(tmp_path / "got"))) / "model.txt").read_text() == name
    collection = api.artifact_collection("model", f"local-org/{registry}/{name}")
    collection.name = f"{name} renamed"
    collection.save()
    assert api.artifact(f"local-org/{registry}/{name} renamed:best").digest == found.digest
    api.artifact_collection("model", f"local-org/{registry}/{name} renamed").delete()


def test_a_model_is_linked_under_a_name_with_a_space(start_run: StartRun, api: Any, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"zoo")
    with start_run() as run:
        run.link_model(str(tmp_path / "model.bin"), registered_model_name="Zoo Classifier", name="zoo")
        entity, project = run.entity, "model-registry"
    assert api.artifact(f"{entity}/{project}/Zoo Classifier:latest").files()[0].name == "model.bin"


@pytest.mark.parametrize("name", ["a\tb.txt", "a\nb.txt", "\x1b[2J.txt", "é 🤖.txt"])
def test_a_file_may_be_called_whatever_a_file_system_takes(
    start_run: StartRun, api: Any, project: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text(name)
    with start_run() as run:
        artifact = wandb.Artifact("odd", "dataset")
        artifact.add_file(str(tmp_path / "file"), name=name)
        run.log_artifact(artifact).wait()
    folder = Path(api.artifact(f"{project}/odd:v0").download(root=str(tmp_path / "got")))
    assert (folder / name).read_text() == name


def test_a_name_that_cannot_be_is_refused_before_the_upload(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": b"a"})
    for name in ("../a", "/a", "a\0b", "a" * 5000):
        spec = {"artifactID": upload.create(), "name": name, "md5": md5_base64(b"a")}
        answer = wire.graphql(CREATE_FILES, input={"artifactFiles": [spec]})
        assert answer.status_code == 400 and "path" in answer.json()["errors"][0]["message"]


# --- what is not there ----------------------------------------------------------------------------------------------


def test_a_file_that_a_run_does_not_have(start_run: StartRun, api: Any, tmp_path: Path) -> None:
    with start_run() as run:
        run.log({"a": 1})
        path = run.path
    found = api.run(path).file("nope")
    assert (found.name, found.md5, found.size) == ("nope", "0", 0)
    with pytest.raises(ValueError, match="File nope not found"):
        wandb.restore("nope", run_path=path, root=str(tmp_path))
    assert [(one.name, one.size > 0) for one in api.run(path).files(["config.yaml", "nope"])] == [
        ("config.yaml", True),
        ("nope", False),
    ]


# --- time to live ---------------------------------------------------------------------------------------------------


def test_a_version_is_gone_when_its_time_is_over_unless_somebody_still_means_it(
    start_run: StartRun, api: Any, project: str, server: Server
) -> None:
    with start_run() as run:
        logged = {}
        for name in ("short", "named", "linked", "long", "forever"):
            artifact = wandb.Artifact(name, "model")
            with artifact.new_file("a.txt") as file:
                file.write(f"{project} {name}")
            if name != "forever":
                artifact.ttl = timedelta(days=1) if name == "long" else timedelta(seconds=2)
            logged[name] = run.log_artifact(artifact, aliases=["best"] if name == "named" else []).wait()
        run.link_artifact(logged["linked"], "wandb-registry-model/ttl")
    until(lambda: not api.artifact_exists(f"{project}/short:v0"), "the version to expire", 60)
    for name in ("named", "linked", "long", "forever"):
        assert api.artifact_exists(f"{project}/{name}:v0"), name
    assert [one.version for one in api.artifacts("model", f"{project}/short")] == []
    md5 = hashlib.md5(f"{project} short".encode()).hexdigest()  # noqa: S324
    blob = server.data / "blobs" / md5[:2] / md5
    os.utime(blob, (0, 0))
    line = [sys.executable, "-m", "modelgate_server", "gc", "--data", str(server.data)]
    assert subprocess.run(line, cwd=ROOT, capture_output=True, timeout=240).returncode == 0
    assert not blob.exists()


def test_a_history_that_was_never_exported_is_said_to_be_incomplete(
    wire: Wire, api: Any, project: str, tmp_path: Path
) -> None:
    """There are no Parquet files here. An answer without any would look like a run without history."""
    wire.start_run(project)
    rows = {"offset": 0, "content": ['{"_step": 0, "loss": 1}']}
    assert wire.file_stream(project, "run-1", {"files": {"wandb-history.jsonl": rows}}).status_code == 200
    run = api.run(f"local/{project}/run-1")
    with pytest.raises(wandb.apis.public.IncompleteRunHistoryError):
        run.download_history_exports(tmp_path)
    assert [row["loss"] for row in run.scan_history()] == [1]
