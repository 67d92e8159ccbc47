"""The `wandb` command, as a person types it.

pytest tests/server/sdk/test_commands.py
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Environment = dict[str, str]


def command(environment: Environment, *arguments: str, timeout_s: int = 240, fails: bool = False) -> str:
    """What `wandb ...` said; it must end well, or badly when that is what is asked."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", *arguments],
        env=environment,
        cwd=environment["HOME"],
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    said = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, said
    return said


def test_a_good_key_logs_in_and_a_wrong_one_does_not(wandb_env: Environment) -> None:
    environment = {name: value for name, value in wandb_env.items() if name != "WANDB_API_KEY"}
    url, key = wandb_env["WANDB_BASE_URL"], wandb_env["WANDB_API_KEY"]
    command(environment, "login", "--verify", "--host", url, "local-" + "e" * 40, fails=True)
    command(environment, "login", "--verify", "--host", url, key)
    assert key in (Path(wandb_env["HOME"]) / ".netrc").read_text()


@pytest.mark.covers("ProjectArtifactTypes", "ArtifactTypeArtifactCollections", "ProjectArtifacts")
def test_artifacts_are_put_listed_and_got(wandb_env: Environment, project: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("put")
    name = f"local/{project}/things"
    command(wandb_env, "artifact", "put", "--name", name, "--type", "dataset", "--alias", "best", str(tmp_path / "in"))
    assert "things:v0" in command(wandb_env, "artifact", "ls", f"local/{project}")
    elsewhere = wandb_env | {"WANDB_CACHE_DIR": str(tmp_path / "fresh")}
    command(elsewhere, "artifact", "get", f"{name}:best", "--root", str(tmp_path / "out"))
    assert (tmp_path / "out" / "a.txt").read_text() == "put"


@pytest.mark.covers("UpsertBucket", "CreateArtifact", "CreateArtifactFiles", "CommitArtifact", "CreateRunFiles")
def test_an_offline_run_is_synced_later(wandb_env: Environment, api: Any, project: str, tmp_path: Path) -> None:
    code = f"""
import wandb
with wandb.init(project={project!r}, id="offline1", mode="offline") as run:
    run.log({{"loss": 1}})
    artifact = wandb.Artifact("data", "dataset")
    with artifact.new_file("a.txt") as file:
        file.write("offline")
    run.log_artifact(artifact)
"""
    subprocess.run([sys.executable, "-c", code], env=wandb_env, cwd=tmp_path, check=True, timeout=240)
    folder = next(Path(wandb_env["WANDB_DIR"]).glob("wandb/offline-run-*"))
    command(wandb_env, "sync", str(folder))
    assert [row["loss"] for row in api.run(f"local/{project}/offline1").scan_history()] == [1]
    assert api.artifact(f"local/{project}/data:latest").logged_by().id == "offline1"


@pytest.mark.covers("UpsertSweep", "SweepWithRuns")
def test_a_sweep_is_made_and_stopped(wandb_env: Environment, api: Any, project: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("program: train.py\nmethod: grid\nparameters: {x: {values: [1, 2]}}\n")
    said = command(wandb_env, "sweep", "--project", project, "--entity", "local", str(tmp_path / "sweep.yaml"))
    name = said.split("wandb agent ")[1].split()[0]
    command(wandb_env, "sweep", "--stop", name)
    assert api.sweep(name).state in ("STOPPED", "FINISHED")


@pytest.mark.prove
@pytest.mark.covers("ServerInfo", "Project", "RunFiles", "CreateAgent", "Heartbeat", "UseArtifact")
def test_wandb_verify_is_green(wandb_env: Environment) -> None:
    said = command(wandb_env, "verify", "--host", wandb_env["WANDB_BASE_URL"], timeout_s=280)
    crossed = [line.rstrip("❌").rstrip(".") for line in said.splitlines() if "❌" in line]
    # Warnings that do not fail it: no https on this machine's own address, and files for no page of another origin.
    assert crossed == [
        "Checking requests to base url",
        "Checking requests made over signed URLs",
        "Checking CORs configuration of the bucket",
    ], said
