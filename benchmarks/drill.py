"""
A rollback, rehearsed: promote A, promote B, go back to A, load `production` by its alias and score it.

    make drill

In a copy of the project with a server of its own, on the tests' own use case, which needs no file. Prints the
seconds of each part.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.project import Project
from benchmarks.timing import Failed, timed

REFERENCE = "local-org/wandb-registry-model/glyphs-dev:production"
# What a service does that uses the model, in a process of its own with nothing but the SDK and Keras.
SCORE = f"""
import sys, numpy as np, wandb
from modelgate.gate import metrics
from modelgate.frameworks import keras_format
api = wandb.Api()
version = api.artifact("{REFERENCE}")
dataset = api.artifact(sys.argv[1])
with np.load(dataset.get_entry("eval.npz").download(root=sys.argv[2])) as rows:
    x, y = rows["x"], rows["y"]
model = keras_format.load(__import__("pathlib").Path(version.get_entry("model.keras").download(root=sys.argv[2])))
print(version.version, f"{{metrics.accuracy(y, model.predict(x, verbose=0)):.4f}}")
"""
START_DEADLINE_S = 60


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="modelgate-drill-") as name:
        project = Project(Path(name))
        try:
            a = part(project, "promote A", "run", "--use-case", "glyphs", "--seed", "0")
            b = part(project, "promote B", "run", "--use-case", "glyphs", "--seed", "1")
            back = part(project, "go back to A", "rollback", "--use-case", "glyphs", "--reason", "drill")
            with served(project):
                seconds, said = score(project, Path(name) / "scored")
        except Failed as failure:
            print(f"error: {failure}", file=sys.stderr)
            return 1
    version, accuracy = said.split()[-2:]
    print(f"load production by its alias and score it: {seconds:.1f} s; {version}, accuracy {accuracy}")
    print(f"in all: {a + b + back + seconds:.1f} s")
    if version != "v0":
        print(f"error: production is {version} after the rollback, and should be v0", file=sys.stderr)
        return 1
    return 0


def part(project: Project, name: str, *arguments: str) -> float:
    """One command of the runner, approved; returns its seconds."""
    command = [sys.executable, "-m", "runner", *arguments, "--approver", "drill"]
    done = timed(command, project.env, project.root)
    print(f"{name}: {done.seconds:.1f} s", flush=True)
    return done.seconds


@contextmanager
def served(project: Project) -> Iterator[None]:
    """The copy's server, open for clients."""
    command = [sys.executable, "-m", "runner", "serve"]
    serving = subprocess.Popen(
        command, cwd=project.root, env=project.env, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_DEADLINE_S
        while serving.stdout and "The pages are open" not in serving.stdout.readline():
            if serving.poll() is not None or time.monotonic() > deadline:
                raise Failed("the server did not start")
        yield
    finally:
        serving.terminate()
        serving.wait(30)


def score(project: Project, folder: Path) -> tuple[float, str]:
    """Seconds, and what the client printed: the version and its accuracy."""
    kept = project.root / ".modelgate"
    client = {
        "WANDB_BASE_URL": f"http://127.0.0.1:{(kept / 'port').read_text().strip()}",
        "WANDB_API_KEY": (kept / "api-key").read_text().strip(),
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    dataset = "local/model-registry-dev/glyphs_dataset:v0"
    done = timed([sys.executable, "-c", SCORE, dataset, str(folder)], project.env | client, project.root)
    return done.seconds, done.output


if __name__ == "__main__":
    sys.exit(main())
