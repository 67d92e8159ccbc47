"""Promotions without training: tiny models, evidence that passes, and the real steps promote and audit over them."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import wandb

from modelgate.gate import metrics, rules
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.promotion import evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Dataset, Evidence, Hashes, Measured, Metrics, Named, Outcome

ROWS = 200
POLICY = Policy("no_worse", 0.9, 0.005)
METRICS = Metrics(accuracy=1.0, loss=0.1, calibration_error=0.09, latency_ms=0.1, size_bytes=7, other={})


_logged: dict[tuple[str, ...], Named] = {}  # the rows that tests share, by server, project and content


class Workspace:
    """
    A project and a registry collection of one test's own; `step` is the fixture that calls a step's main().

    rows: the project of the rows that every evidence is about. If it is not the test's own, they are logged there once.
    """

    def __init__(
        self, step: Callable[..., Any], collection: str, entity: str = "local", rows: str | None = None
    ) -> None:
        self.step = step
        self.collection = collection
        self.entity = entity
        self.rows = rows or collection
        self.registry = f"local-org/wandb-registry-model/{collection}"
        self.ledger = f"{entity}/{collection}/glyphs_promotions"

    def evidence(self, number: int, production: int | None = None, **changes: Any) -> str:
        """Log evidence for version `number`, compared with `production`, as evaluate would; return its name."""
        dataset = self.find_rows()
        model_bytes = self.model_bytes(number)
        config = {"dataset": dataset.name}
        with wandb.init(entity=self.entity, project=self.collection, job_type="train_model", config=config) as run:
            run.use_artifact(dataset.name)
            model = wandb.Artifact("glyphs_model", type="model", metadata={"dataset_digest": dataset.digest})
            with model.new_file("model.keras", mode="wb") as file:
                file.write(model_bytes)
            model = run.log_artifact(model).wait()
            linked = run.link_artifact(model, f"wandb-registry-model/{self.collection}")
            answers = scores(compared=production is not None)
            before = None if production is None else self.version(production)
            evidence = Evidence(
                schema=2,
                use_case="glyphs",
                task="image-classification",
                framework="keras",
                metric="accuracy",
                verdict="pass",
                headline="pass: nothing is in production yet; accuracy 1.0000 on 200 rows",
                warnings=(),
                rules=tuple(Outcome(**vars(outcome)) for outcome in rules.judge(answers, POLICY)),
                policy=form.record_policy(POLICY),
                metrics=Measured(METRICS, None),
                comparison=None,
                slices=(),
                confusion=(),
                per_row=evaluation.locate_losses(answers),
                return_=None,
                version=Named(f"{self.registry}:{linked.version}", linked.digest),
                collection=self.registry,
                model=Named(f"{self.entity}/{self.collection}/{model.name}", model.digest),
                sha256=Hashes(hashlib.sha256(model_bytes).hexdigest(), hashlib.sha256(file_of_rows()).hexdigest()),
                trained_on=None,
                dataset=Dataset(dataset.name, dataset.digest, ROWS, ()),
                looks=None,
                production=before and Named(f"{self.registry}:v{production}", before.digest),
                commit="c0ffee",
                git=form.parse_git("c0ffee"),
                images=None,
                account="local",
                evaluation_run=form.Run(f"{self.entity}/{self.collection}/{run.id}", run.url),
                github=None,
                evaluated_at=ledger.format_now(),
            )
            content = form.as_json(evidence) | changes
            artifact = wandb.Artifact("glyphs_evaluation", type="evaluation", metadata={"metrics": content["metrics"]})
            self.pack(artifact, json.dumps(content), answers)
            return f"{self.entity}/{self.collection}/{run.log_artifact(artifact).wait().name}"

    def pack(self, artifact: Any, content: str, answers: Scores) -> None:
        """Put an evaluation's files into its artifact."""
        evaluation.add_to(artifact, content, "a report", answers, POLICY)

    def find_rows(self) -> Named:
        """Return the dataset that every evidence uses; log it if it is not there, or is the test's own."""
        key = (os.environ["WANDB_BASE_URL"], self.entity, self.rows, hashlib.sha256(file_of_rows()).hexdigest())
        if self.rows == self.collection or key not in _logged:
            dataset = self.dataset()
            _logged[key] = Named(f"{self.entity}/{self.rows}/{dataset.name}", dataset.digest)
        return _logged[key]

    def dataset(self, labels: Any = None) -> Any:
        """Log the dataset that every evidence uses, as build would."""
        with wandb.init(entity=self.entity, project=self.rows, job_type="build_dataset") as run:
            dataset = wandb.Artifact("glyphs_dataset", type="dataset")
            with dataset.new_file("arrays.npz", mode="wb") as file:
                file.write(file_of_rows(labels))
            return run.log_artifact(dataset).wait()

    def model_bytes(self, number: int) -> bytes:
        """The file of the model `number`: nothing here loads it."""
        return f"model {number}".encode()

    def promoted(self, number: int, production: int | None = None, *flags: object) -> Any:
        return self.step("promote", "--evidence", self.evidence(number, production), "--approver", "ada", *flags)

    def version(self, number: int) -> Any:
        return wandb.Api().artifact(f"{self.registry}:v{number}")

    def entry(self, number: int) -> Any:
        return wandb.Api().artifact(f"{self.ledger}:v{number}")

    def move_by_hand(self, number: int) -> None:
        """Move the alias as a person with the key does in the browser."""
        version = self.version(number)
        version.aliases.append("production")
        version.save()

    @property
    def entries(self) -> list[ledger.Entry]:
        return ledger.read(wandb.Api(), self.ledger)

    def findings(self) -> set[tuple[str, int | None]]:
        """Return the findings of audit --verify, whose exit code must agree."""
        answer = self.step("audit", "--verify")
        assert answer.exit == (1 if answer["findings"] else 0)
        return {(finding["name"], finding["entry"]) for finding in answer["findings"]}


def file_of_rows(labels: Any = None) -> bytes:
    """Return the file of a dataset with these eval rows; by default those of `scores`."""
    packed = io.BytesIO()
    labels = scores().targets if labels is None else labels
    count = len(labels)
    x = np.arange(2 * count, dtype=np.float32).reshape(-1, 1, 1, 1) / (2 * count)
    np.savez(packed, x_train=x[count:], y_train=labels, x_eval=x[:count], y_eval=labels)
    return packed.getvalue()


def scores(*, compared: bool = False) -> Scores:
    """Return scores that pass every rule. compared: with a production that answers the same."""
    labels = np.arange(ROWS) % 10
    right = np.full((ROWS, 10), 0.01, dtype=np.float32)
    right[np.arange(ROWS), labels] = 0.91
    assert metrics.compute_accuracy(labels, right) == 1
    return Scores(targets=labels, candidate=right, production=right if compared else None, rows=ROWS, seen=())
