"""The client of test_kills.py: the real SDK, which logs run after run until a file appears. It knows of no kill."""

import sys
from pathlib import Path

import wandb

STEPS = 20
FILES = 5
# Not the SDK's 90 s for the start of a run: here the server is down for most of them.
SETTINGS = wandb.Settings(x_file_stream_transmit_interval=0.2, x_disable_meta=True, silent=True, init_timeout=600)


def one_run(project: str, number: int) -> None:
    with wandb.init(project=project, id=f"run-{number}", config={"number": number}, settings=SETTINGS) as run:
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
