"""
Measure very many files in one version: create and log them; list them; download and check each one.

    python -m benchmarks.load_files log FOLDER FILES
    python -m benchmarks.load_files fetch FOLDER FILES

Prints JSON with the seconds of each part.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import wandb

NAME = "many"
PAGE = 5000  # the SDK asks for no more at once


def create_content(number: int) -> bytes:
    """Return a few hundred bytes that no other file has."""
    return f"{number}\n".encode() * 32


def get_path(number: int) -> str:
    return f"{number // 1000:04d}/{number:07d}.txt"


def log(folder: Path, files: int) -> dict[str, float]:
    for number in range(files):
        file = folder / get_path(number)
        if number % 1000 == 0:
            file.parent.mkdir(parents=True)
        file.write_bytes(create_content(number))
    with wandb.init(project="load") as run:
        began = time.perf_counter()
        artifact = wandb.Artifact(NAME, type="dataset")
        # Neither copied nor cached on the client, so only the upload is measured.
        artifact.add_dir(str(folder), policy="immutable", skip_cache=True)
        prepared = time.perf_counter()
        run.log_artifact(artifact).wait()
        committed = time.perf_counter()
    return {"prepares": prepared - began, "logs": committed - prepared}


def fetch(folder: Path, files: int) -> dict[str, float]:
    artifact = wandb.Api().artifact(f"local/load/{NAME}:latest")
    began = time.perf_counter()
    listed = {file.name: file.size for file in artifact.files(per_page=PAGE)}
    ended = time.perf_counter()
    if listed != {get_path(number): len(create_content(number)) for number in range(files)}:
        sys.exit(f"{len(listed)} files are listed, but not the {files} that were logged")
    requested = time.perf_counter()
    artifact.download(root=str(folder), skip_cache=True)
    arrived = time.perf_counter()
    for number in range(files):
        if (folder / get_path(number)).read_bytes() != create_content(number):
            sys.exit(f"{get_path(number)} came back with other bytes")
    return {"lists": ended - began, "downloads": arrived - requested}


def main() -> None:
    task, folder, files = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(log(folder, files) if task == "log" else fetch(folder, files)))


if __name__ == "__main__":
    main()
