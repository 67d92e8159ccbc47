"""
What the pages' tests look at, written by the real SDK: a small pipeline, and a project in which every name is hostile.

    WANDB_BASE_URL=... WANDB_API_KEY=... python -m tests.web.seeding
"""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import wandb

PROJECT = "pages"
REGISTRY = "wandb-registry-model"
COLLECTION = "seen-dev"
HOSTILE = "<script>alert(1)</script>\"'&"
# Names of projects and types stand in addresses: `/` and a few more may not be in them.
HOSTILE_NAME = "<img src=x onerror=alert(1)>\"'&"
EVIL_FILES = {
    "evil.html": b"<script>alert(1)</script>",
    "evil.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "fake.png": b"<script>alert(1)</script>",
    "report.md": b"# <script>alert(1)</script>\n\n[a](javascript:alert(1)) <img src=x onerror=alert(1)>\n",
    "model.keras": b"<script>alert(1)</script>",
    f"dir/{HOSTILE_NAME}.txt": b"a text",
}
ROWS = 60


def picture(row: int, side: int) -> np.ndarray:
    """A bright square on black, elsewhere in each row: uint8 (side, side)."""
    pixels = np.zeros((side, side), dtype=np.uint8)
    pixels[row % (side - 2) : row % (side - 2) + 2, 1:4] = 255
    return pixels


def dataset() -> wandb.Artifact:
    artifact = wandb.Artifact("seen_dataset", type="dataset", metadata={"rows": ROWS})
    table = wandb.Table(columns=["label", "small", "large", "note"])
    for row in range(ROWS):
        table.add_data(row % 10, wandb.Image(picture(row, 8)), wandb.Image(picture(row, 28)), HOSTILE)
    artifact.add(table, "digits")
    return artifact


def model(seed: int) -> wandb.Artifact:
    artifact = wandb.Artifact("seen_model", type="model", metadata={"accuracy": 0.9 + seed / 100, "seed": seed})
    with artifact.new_file("model.bin", mode="wb") as file:
        file.write(bytes([0, seed]))
    with artifact.new_file("report.md") as file:
        file.write(f"# The report of seed {seed}\n")
    with artifact.new_file("evidence.json") as file:
        file.write(json.dumps({"verdict": "pass", "score": math.nan}))
    return artifact


def pipeline() -> None:
    with wandb.init(project=PROJECT, job_type="build_dataset", id="builder") as run:
        run.log_artifact(dataset()).wait()
    with wandb.init(project=PROJECT, job_type="train_model", id="trainer", config={"epochs": 5}) as run:
        run.use_artifact("seen_dataset:latest")
        for epoch in range(5):
            run.log({"loss": 1 / (epoch + 1), "broken": math.nan if epoch == 2 else epoch})
        print("a line on the console")
        for seed in (0, 1):
            logged = run.log_artifact(model(seed)).wait()
            run.link_artifact(logged, f"{REGISTRY}/{COLLECTION}", aliases=["candidate"])
    with wandb.init(project=PROJECT, job_type="evaluate_model", id="evaluator") as run:
        run.use_artifact("seen_model:v1")
        run.use_artifact("seen_model:v0")  # what it is compared with
        run.log({"eval/accuracy": 0.91})
        metadata = {"verdict": "pass", "version": f"local-org/{REGISTRY}/{COLLECTION}:v1"}
        run.log_artifact(wandb.Artifact("seen_evaluation", type="evaluation", metadata=metadata)).wait()


# As `wandb.plot.pr_curve` and `roc_curve` send them; those two need pandas, and compute nothing that a page shows.
CURVES = {
    "pr": ("recall", "precision", [[0.0, 1.0], [0.5, 0.9], [0.5, 0.8], [1.0, 0.3]]),
    "roc": ("fpr", "tpr", [[0.0, 0.0], [0.0, 0.6], [0.2, 0.9], [1.0, 1.0]]),
}
CLASSES = ["cat", "dog", "a class with a long name"]


def everything() -> None:
    """A run with all that the SDK can log: its own charts, tables, pictures, HTML, nested values."""
    config = {"optimizer": {"name": "adam", "schedule": {"warmup": 10}}, "seed": 7}
    with wandb.init(project=PROJECT, job_type="everything", id="everything", config=config) as run:
        run.config.workflow = "https://github.com/acme/models/actions/runs/4711/attempts/1"
        run.define_metric("epoch/epoch")
        run.define_metric("epoch/*", step_metric="epoch/epoch")
        for step in range(200):
            epoch = {"epoch/epoch": step // 20, "epoch/val_accuracy": 1 - 1 / (step + 2)} if step % 20 == 0 else {}
            run.log({"train/loss": 2 * math.exp(-step / 50) + step % 7 / 50} | epoch)
        rows = wandb.Table(columns=["x", "y", "name"], data=[[x, x * x, f"n{x}"] for x in range(12)])
        scores = wandb.Table(columns=["score"], data=[[math.sin(number)] for number in range(100)])
        truth = [number % 3 for number in range(90)]
        answers = [number % 3 if number % 5 else (number + 1) % 3 for number in range(90)]
        run.log(
            {
                "line": wandb.plot.line(rows, "x", "y", title="A line"),
                "bar": wandb.plot.bar(rows, "name", "y", title="Bars"),
                "scatter": wandb.plot.scatter(rows, "x", "y", title="Dots"),
                "histogram": wandb.plot.histogram(scores, "score", title="Scores"),
                "series": wandb.plot.line_series([0, 1, 2], [[1, 2, 3], [3, 2, 1]], ["up", "down"], title="Series"),
                "matrix": wandb.plot.confusion_matrix(y_true=truth, preds=answers, class_names=CLASSES, title="Matrix"),
                "own": wandb.plot_table("me/mine", rows, {"x": "x"}, {"title": "Mine"}),
                **{name: curve(name) for name in CURVES},
            }
        )
        run.alert("Loss is high", "It stays above 0.5.\nLook at the learning rate.", level="WARN")
        run.alert("Half of it is done", "", level="INFO")
        pictures = [wandb.Image(picture(number, 8), caption=f"digit {number}") for number in range(3)]
        run.log(
            {
                "rows": rows,
                "pictures": pictures,
                "weights": wandb.Histogram([math.cos(number) for number in range(100)]),
                "page": wandb.Html("<h1>A page</h1><script>document.title = 'a script ran'</script>", inject=False),
                "cloud": wandb.Object3D(np.arange(30.0).reshape(10, 3)),
            }
        )


def growing() -> None:
    """Two versions of a table: a row is gone, one is there twice, one is new."""
    with wandb.init(project=PROJECT, job_type="build_dataset", id="grower") as run:
        for rows in ([["a", 1], ["b", 2], ["c", 3]], [["a", 1], ["c", 3], ["c", 3], ["d", 4]]):
            artifact = wandb.Artifact("growing", type="dataset", metadata={"rows": len(rows), "by": {"whom": "ada"}})
            artifact.add(wandb.Table(columns=["name", "n"], data=rows), "rows")
            run.log_artifact(artifact).wait()


def curve(name: str) -> wandb.plot.CustomChart:  # type: ignore[name-defined]
    x, y, points = CURVES[name]
    data = [[kind, *point] for kind in ("cat", "dog") for point in points]
    return wandb.plot_table(
        "wandb/area-under-curve/v0",
        wandb.Table(columns=["class", x, y], data=data),
        {"x": x, "y": y, "class": "class"},
        {"title": f"The {name} curve", "x-axis-title": x.title(), "y-axis-title": y.title()},
    )


def hostile() -> None:
    config = {HOSTILE: HOSTILE}
    with wandb.init(
        project=HOSTILE_NAME, job_type=HOSTILE, id="evil", name=HOSTILE, notes=HOSTILE, config=config
    ) as run:
        run.log({HOSTILE: 1.0})
        run.log({HOSTILE: 2.0})
        print(HOSTILE)
        run.alert(HOSTILE, HOSTILE, level="ERROR")
        rows = wandb.Table(columns=[HOSTILE, "y"], data=[[1, 2], [2, 3]])
        names = [HOSTILE, HOSTILE_NAME]
        run.log(
            {
                f"{HOSTILE} chart": wandb.plot.line(rows, HOSTILE, "y", title=HOSTILE),
                f"{HOSTILE} series": wandb.plot.line_series(
                    [0, 1], [[1, 2], [2, 1]], names, title=HOSTILE, xname=HOSTILE
                ),
                f"{HOSTILE} bars": wandb.plot.bar(wandb.Table(columns=["l", "v"], data=[[HOSTILE, 1]]), "l", "v"),
                f"{HOSTILE} matrix": wandb.plot.confusion_matrix(y_true=[0, 1], preds=[1, 1], class_names=names),
                f"{HOSTILE} own": wandb.plot_table(HOSTILE, rows, {}, {"title": HOSTILE}),
                f"{HOSTILE} picture": wandb.Image(picture(1, 8), caption=HOSTILE),
                f"{HOSTILE} page": wandb.Html(HOSTILE, inject=False),
            }
        )
        artifact = wandb.Artifact("evil", type=HOSTILE_NAME, description=HOSTILE, metadata={HOSTILE: HOSTILE})
        with tempfile.TemporaryDirectory() as folder:
            for number, (name, content) in enumerate(EVIL_FILES.items()):
                path = Path(folder) / str(number)
                path.write_bytes(content)
                artifact.add_file(str(path), name=name)
            table = wandb.Table(columns=[HOSTILE], data=[[HOSTILE]])
            artifact.add(table, "evil")
            run.log_artifact(artifact, aliases=[HOSTILE_NAME]).wait()


if __name__ == "__main__":
    pipeline()
    everything()
    growing()
    hostile()
