"""
The calls of W&B's walkthrough, and others that each release of the SDK makes in its own way.

An environment of that release runs it, so it imports nothing of ours. The last line that it prints is what it saw.
"""

import json
import pathlib

import numpy as np
import wandb

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
    run.link_model("model.keras", "MNIST-dev", "mnist-model")

with wandb.init(project="walkthrough", job_type="evaluate_model") as run:
    weights = pathlib.Path(run.use_model("mnist-model:latest")).read_text()

# --- the public API: promote, look back, look around, take back -----------------------------------------------------

api = wandb.Api()
version = api.artifact("local/model-registry/MNIST-dev:latest")
version.aliases.append("production")
version.save()
promoted = wandb.Api().artifact("local/model-registry/MNIST-dev:production")
trained = promoted.logged_by()

model = api.artifact("walkthrough/mnist-model:v0")
model.description = "the first"
model.save()
collection = api.artifact_collection("model", "walkthrough/mnist-model")
collection.description = "all of them"
collection.tags = ["mnist"]
collection.save()
trained.upload_file("model.keras")
trained.summary["seen"] = True
trained.summary.update()
linked = api.artifact("local/model-registry/MNIST-dev:latest")
linked.unlink()
try:
    wandb.Api().artifact("local/model-registry/MNIST-dev:latest")
    left = True
except Exception:  # each release has its own
    left = False

again = wandb.Api()
run = again.run("/".join(trained.path))
print(
    "SAW",
    json.dumps(
        {
            "sdk": wandb.__version__,
            "labels": seen.get_column("y"),
            "weights": weights,
            "aliases": sorted(promoted.aliases),
            "source": promoted.source_name,
            "used": [one.name for one in trained.used_artifacts()],
            "logged": sorted(one.name for one in trained.logged_artifacts()),
            "users": len(list(model.used_by())),
            "losses": [row["epoch/loss"] for row in trained.scan_history(keys=["epoch/loss"])],
            "rows": [row["epoch/loss"] for row in trained.scan_history()],
            "state": trained.state,
            "summary": run.summary["seen"],
            "files": [one.name for one in again.artifact("walkthrough/mnist-model:v0").files()],
            "description": again.artifact("walkthrough/mnist-model:v0").description,
            "collection": again.artifact_collection("model", "walkthrough/mnist-model").tags,
            "uploaded": [one.name for one in run.files(names=["model.keras"])],
            "runs": len(again.runs("walkthrough")),
            "types": sorted(one.name for one in again.artifact_types("walkthrough")),
            "left": left,
        }
    ),
)
