"""
Log many steps in one run, or read them all back.

    python -m benchmarks.load_runs log RUN STEPS
    python -m benchmarks.load_runs count RUN

Prints JSON: the Unix times of the first `log` and of the finished run; or how many rows came back, each of which must
be the one that was logged.
"""

from __future__ import annotations

import json
import sys
import time

import wandb


def create_row(step: int) -> dict[str, float]:
    """Return the row that is logged at a step and must be read back."""
    return {"loss": 1 / (step + 1), "accuracy": step % 1000 / 1000, "epoch": step // 100}


def log(name: str, steps: int) -> dict[str, float]:
    with wandb.init(project="load", id=name) as run:
        began = time.time()
        for step in range(steps):
            run.log(create_row(step))
    return {"began": began, "ended": time.time()}


def count(name: str) -> dict[str, int]:
    total = 0
    for number, logged in enumerate(wandb.Api().run(f"local/load/{name}").scan_history()):
        expected = create_row(number) | {"_step": number}
        if {key: logged.get(key) for key in expected} != expected:
            sys.exit(f"row {number} of {name} came back as {logged}")
        total += 1
    return {"rows": total}


def main() -> None:
    task, name, *rest = sys.argv[1:]
    print(json.dumps(log(name, int(rest[0])) if task == "log" else count(name)))


if __name__ == "__main__":
    main()
