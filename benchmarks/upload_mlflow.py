"""
Log a folder as artifacts of a run with MLflow's client: `python -m benchmarks.upload_mlflow DIR`. Prints JSON.

Runs in `.venv-bench`, which has none of the project's packages.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from mlflow import MlflowClient  # type: ignore[import-not-found,unused-ignore]


def main() -> None:
    folder = sys.argv[1]
    client = MlflowClient()
    run = client.create_run(client.create_experiment("bench"))
    began = time.perf_counter()
    client.log_artifacts(run.info.run_id, folder)
    seconds = time.perf_counter() - began
    client.set_terminated(run.info.run_id)
    print(json.dumps({"files": sum(path.is_file() for path in Path(folder).rglob("*")), "seconds": seconds}))


if __name__ == "__main__":
    main()
