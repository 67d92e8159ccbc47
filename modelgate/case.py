"""
What evaluate judges: a version, the one in production, the rows, and the rules; and how both models answer.

Earlier evidence of the same case counts if a new evaluation would say the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelgate import answering, config, datasets, frameworks, judging, predictions
from modelgate.cli import log
from modelgate.errors import StepError
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.judging import Answers
from modelgate.predictions import Subject
from modelgate.promotion import evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, Named
from modelgate.promotion.ledger import Entry
from modelgate.tracking import client, files, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

Use = Callable[[Reference], "Artifact"]
Choose = Callable[[int], Any]  # from the number of eval rows to the indices of some of them


@dataclass(frozen=True)
class Case:
    """
    A version to judge, and against what.

    home: `entity/project` of the evaluations. before: when this exact model was in production earlier. parts: the
    modules of the use case that take part.
    """

    api: wandb.Api
    settings: config.Config
    policy: Policy
    home: str
    promotions: Sequence[Entry]
    version: Artifact
    production: Artifact | None
    dataset: Artifact
    before: form.Return | None
    trained_by: lineage.Origin
    subject: Subject
    parts: tuple[ModuleType, ...]
    data: ModuleType

    @property
    def reference(self) -> Reference:
        """The version's own name; an organization also has a short name."""
        return Reference.pin(self.version)

    @property
    def rows(self) -> Named:
        return pin(self.dataset)

    @property
    def evaluations(self) -> str:
        return f"{self.home}/{evaluation.get_name(self.settings.name)}"

    @property
    def commit(self) -> str:
        """The commit that the version was evaluated at when it was in production; empty if it never was."""
        entry = ledger.find_last_in_production(self.promotions, self.version.digest)
        return str(entry.content.get("commit") or "") if entry else ""

    @property
    def drops(self) -> float:
        return ledger.sum_drops(self.promotions, self.policy.metric)


def compare(case: Case, use: Use, choose: Choose) -> tuple[Answers, Scores]:
    """Let both models answer the chosen rows, and return what the gate compares."""
    answers = ask_both(case, use, choose)
    ledger.require_rows(case.promotions, case.dataset.digest, answers.sha256.eval_rows)
    scores = predictions.compare(
        case.subject, answers.rows, answers.candidate, answers.production, answers.seen, answers.chosen
    )
    return answers, replace(
        scores,
        was_in_production=case.before is not None,
        near=count_near(answers.trained_on, case.settings.data),
        training_known=answers.trained_on is not None,
    )


def ask_both(case: Case, use: Use, choose: Choose) -> Answers:
    """
    Fetch rows and models, and let the models answer the chosen rows.

    use: returns a version; a run's `use_artifact` also records the lineage in W&B.
    """
    production, trained, subject, settings = case.production, case.trained_by.datasets, case.subject, case.settings
    use = cache(use)  # most models were trained on the dataset that judges them, and its manifest lists every picture
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, rows_sha256 = datasets.fetch_eval(use(Reference.pin(case.dataset)), folder)
        learned = [datasets.fetch_training(use(Reference.pin(other)), folder / "trained")[0].x for other in trained]
        seen, may_repeat = datasets.find_seen(rows.x, learned), settings.data.rows_may_repeat
        near = len(seen) if may_repeat else datasets.count_near_duplicates(rows.x, learned, seen)
        trained_on = None
        if trained:
            trained_on = form.TrainedOn(pin(trained[0]), sum(len(other) for other in learned), near_duplicates=near)
        model_format = frameworks.load_format(settings.framework)
        file = model_format.MODEL_FILE
        candidate = files.fetch(use(case.reference), file, folder / "candidate")
        theirs = files.fetch(use(Reference.pin(production)), file, folder / "production") if production else None
        chosen = choose(len(rows.x))
        log(f"importing {model_format.NAME}")
        model_format.start(seed=0, threads=1)
        variations = {name: predictions.take(x, chosen) for name, x in subject.vary(rows.x).items()}
        x = predictions.take(rows.x, chosen)
        model = answering.load(settings, candidate.path, case.data, str(case.reference))
        model.require_schema(case.data, case.commit)
        ours = predictions.ask(model, candidate.path.stat().st_size, x, variations)
        other = None
        if production and theirs:
            model = answering.load(settings, theirs.path, case.data, str(Reference.pin(production)))
            other = predictions.ask(model, theirs.path.stat().st_size, x, variations)
        hashes = form.Hashes(candidate.sha256, rows_sha256)
        return Answers(rows, hashes, trained_on, () if may_repeat else seen, chosen, ours, other)


def count_near(trained_on: form.TrainedOn | None, data: config.Data) -> int:
    """Count the eval rows that are nearly a training row, for data whose rows do not repeat naturally."""
    return 0 if trained_on is None or data.rows_may_repeat else trained_on.near_duplicates or 0


def confirm_evidence(case: Case, earlier: Artifact, expected: Mapping[str, Any]) -> tuple[Evidence, str]:
    """
    Return earlier evidence and its report if a new evaluation would say the same; otherwise raise StepError
    `not_confirmed`.

    Its alias proves nothing: anyone who can write to the project can set it on anything. So everything that follows
    from the stored answers is computed again. If the result is `pass`, which leads to a promotion, the models also
    answer again.
    """
    evidence, report, scores = evaluation.read(earlier)
    if wrong := next((name for name, value in expected.items() if getattr(evidence, name) != value), None):
        raise fail_unlike(wrong)
    if Named(evidence.dataset.name, evidence.dataset.digest) != case.rows:
        raise fail_unlike("dataset")
    scores = replace(
        scores,
        was_in_production=evidence.return_ is not None,
        near=count_near(evidence.trained_on, case.settings.data),
        training_known=evidence.trained_on is not None,
    )
    if wrong := judging.find_contradiction(evidence, report, scores, case.policy, case.drops):
        raise fail_unlike(wrong)
    number = Reference.pin(earlier).number
    if evidence.looks != evaluation.count_looks(case.api, case.evaluations, evidence.sha256, before=number):
        raise fail_unlike("looks")
    if evidence.verdict == "pass":
        require_same_answers(case, evidence, scores)
    return evidence, report


def require_same_answers(case: Case, evidence: Evidence, stored: Scores) -> None:
    """Let the models answer some of the rows again; raise `not_confirmed` if they answer something else."""
    answers, now = compare(case, lambda name: client.get(case.api, name, "--version"), judging.pick_rows)
    if not set(judging.list_warnings(answers, case.settings.data.rows_may_repeat)) <= set(evidence.warnings):
        raise fail_unlike("warnings")
    if wrong := judging.find_other_answer(evidence, stored, now, answers):
        raise fail_unlike(wrong)


def fail_unlike(part: str) -> StepError:
    """Return the error about earlier evidence that a new evaluation would not repeat."""
    return StepError("not_confirmed", f"its {part} differs from a new evaluation", "evaluate again with --no-cache")


def pin(version: Artifact) -> Named:
    """Return a version's pinned name and its digest."""
    return Named(str(Reference.pin(version)), version.digest)
