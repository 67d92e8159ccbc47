"""
The client of test_kills.py: the real SDK, which logs run after run until a file appears. It is told nothing of kills.

Only the SDK's waits between tries are shortened, so that it meets more kills in the same time.
"""

import sys
from pathlib import Path

import wandb

STEPS = 20
FILES = 5


def settings() -> wandb.Settings:
    waits = {
        f"x_{part}_retry_wait_{end}_seconds": seconds
        for part in ("graphql", "file_stream", "file_transfer")
        for end, seconds in (("min", 0.1), ("max", 1))
    }
    tries = {f"x_{part}_retry_max": 10_000 for part in ("graphql", "file_stream", "file_transfer")}
    return wandb.Settings(**waits, **tries, x_file_stream_transmit_interval=0.2, x_disable_meta=True, silent=True)


def one_run(project: str, number: int) -> None:
    with wandb.init(project=project, id=f"run-{number}", config={"number": number}, settings=settings()) as run:
        for step in range(STEPS):
            run.log({"loss": number + step})
        artifact = wandb.Artifact("data", type="model", metadata={"number": number})
        for name in range(FILES):
            with artifact.new_file(f"{name}.txt") as file:
                file.write(f"{number} {name}\n" * 100)
        logged = run.log_artifact(artifact, aliases=[f"run-{number}"]).wait()
        run.link_artifact(logged, "wandb-registry-model/Killed", aliases=["candidate"])


def main(project: str, stop: Path) -> None:
    number = 0
    while number == 0 or not stop.exists():
        one_run(project, number)
        number += 1
    sys.stdout.write(f"{number}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
