"""Log a folder as one artifact version with the wandb SDK: `python -m benchmarks.upload_wandb DIR`. Prints JSON."""

from __future__ import annotations

import json
import sys
import time

import wandb


def main() -> None:
    folder = sys.argv[1]
    with wandb.init(project="bench", settings=wandb.Settings(silent=True)) as run:
        began = time.perf_counter()
        artifact = wandb.Artifact("files", type="dataset")
        artifact.add_dir(folder)
        prepared = time.perf_counter()
        logged = run.log_artifact(artifact).wait()
        committed = time.perf_counter()
        files = len(artifact.manifest.entries)
    # Ask the server again: the client's copy proves nothing.
    stored = wandb.Api().artifact(logged.qualified_name)
    if stored.state != "COMMITTED" or stored.file_count != files:
        sys.exit(f"the server holds {stored.file_count} files of {files}, in state {stored.state}")
    print(json.dumps({"files": files, "prepares": prepared - began, "seconds": committed - prepared}))


if __name__ == "__main__":
    main()
