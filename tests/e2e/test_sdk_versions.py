"""
Other versions of the SDK against this server: the calls of W&B's walkthrough, and the whole loop.

    pytest tests/e2e/test_sdk_versions.py -m prove

The version that the project is locked to is what all other tests run. Each other one gets an environment of its own in
`build/sdk/`, which needs PyPI once.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.server.conformance import environment
from tests.serving import Server

# With what they need and the locked one does not, or needs in another version.
GIT = ["gitpython==3.2.1", "gitdb==4.0.12", "smmap==5.0.3"]
VERSIONS = {
    "0.28.2": ["wandb==0.28.2", "sentry-sdk==2.75.0", *GIT],
    "0.24.2": ["wandb==0.24.2", "sentry-sdk==2.75.0", *GIT, "protobuf==6.33.6"],
}

WALKTHROUGH = """
import json, pathlib, sys
import numpy as np, wandb

pathlib.Path("model.keras").write_text("weights")
images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
with wandb.init(project="walkthrough", job_type="build_dataset", config={"rows": 3}) as run:
    table = wandb.Table(columns=["x", "y", "img"])
    for label, image in enumerate(images):
        table.add_data(image / 255, label, wandb.Image(image))
    run.log({"examples": table, "first": wandb.Image(images[0]), "loss": 0.5})
    dataset = wandb.Artifact("mnist-data", "dataset", metadata={"rows": 3})
    dataset.add(table, "train_table")
    run.log_artifact(dataset).wait()
with wandb.init(project="walkthrough", job_type="train_model") as run:
    used = run.use_artifact("mnist-data:latest")
    seen = used.get("train_table")
    for step in range(3):
        run.log({"epoch/loss": 1 / (step + 1)})
    run.log_model("model.keras", "mnist-model")
    linked = run.link_model("model.keras", "MNIST-dev", "mnist-model")
with wandb.init(project="walkthrough", job_type="evaluate_model") as run:
    weights = pathlib.Path(run.use_model("mnist-model:latest")).read_text()
api = wandb.Api()
version = api.artifact("local/model-registry/MNIST-dev:latest")
version.aliases.append("production")
version.save()
promoted = wandb.Api().artifact("local/model-registry/MNIST-dev:production")
trained = promoted.logged_by()
print("SAW", json.dumps({
    "sdk": wandb.__version__,
    "labels": seen.get_column("y"),
    "weights": weights,
    "aliases": sorted(promoted.aliases),
    "source": promoted.source_name,
    "used": [one.name for one in trained.used_artifacts()],
    "losses": [row["epoch/loss"] for row in trained.scan_history(keys=["epoch/loss"])],
    "state": trained.state,
}))
"""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def python_with(version: str) -> str:
    """The locked environment with another SDK over it."""
    return str(environment.python(f"wandb-{version}", VERSIONS[version], over_this_one=True))


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_calls_of_the_walkthrough(version: str, server: Server, wandb_env: dict[str, str], tmp_path: Path) -> None:
    command = [python_with(version), "-c", WALKTHROUGH]
    done = subprocess.run(command, env=wandb_env, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "refused" not in server.log.read_text()
    assert json.loads(done.stdout.rpartition("SAW ")[2]) == {
        "sdk": version,
        "labels": [0, 1, 2],
        "weights": "weights",
        "aliases": ["latest", "production"],
        "source": "mnist-model:v0",
        "used": ["mnist-data:v0"],
        "losses": [1, 1 / 2, 1 / 3],
        "state": "finished",
    }


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_loop_ends_in_production(version: str, clone) -> None:
    clone.python = python_with(version)
    code, said = clone.run("run", "--use-case", "glyphs", "--epochs", "10", APPROVE="ada")
    assert code == 0, said
    promoted = "api.artifact('local-org/wandb-registry-model/glyphs-dev:production').version"
    assert clone.ask(f"dict(sdk=wandb.__version__, production={promoted})") == {"sdk": version, "production": "v0"}
