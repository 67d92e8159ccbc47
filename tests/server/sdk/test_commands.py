"""The `wandb` command, as a person types it.

pytest tests/server/sdk/test_commands.py
"""

import asyncio
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, free_port, serving

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
    # Warnings that do not fail it: there is no https on this machine's own address.
    assert crossed == ["Checking requests to base url", "Checking requests made over signed URLs"], said


@pytest.mark.prove
def test_behind_a_proxy_with_tls_wandb_verify_has_nothing_to_say(wandb_env: Environment, tmp_path: Path) -> None:
    port = free_port()
    url = f"https://localhost:{port}"
    with serving(tmp_path / "data", "--external-url", url) as server, tls_before(server, port, tmp_path) as trusted:
        said = command({**wandb_env, **trusted, "WANDB_BASE_URL": url}, "verify", "--host", url, timeout_s=280)
    assert said.count("✅") == 10 and "❌" not in said, said


@contextmanager
def tls_before(server: Server, port: int, folder: Path) -> Iterator[Environment]:
    """A proxy that ends TLS and passes the bytes on, until the block ends; what makes clients trust it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    made = subprocess.run([*make.split(), "-out", str(cert), "-keyout", str(key)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while piece := await source.read(65536):
                sink.write(piece)
                await sink.drain()
        sink.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    loop = asyncio.new_event_loop()
    loop.run_until_complete(asyncio.start_server(connected, "localhost", port, ssl=tls))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield {"REQUESTS_CA_BUNDLE": str(cert), "SSL_CERT_FILE": str(cert)}
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
