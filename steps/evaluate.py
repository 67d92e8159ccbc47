"""
Evaluate a registered version and decide whether it may replace the one in production.

    python -m steps.evaluate --version org/wandb-registry-model/COLLECTION:v3 \\
                             --dataset team/model-registry-dev/NAME_dataset:v1

Reads   the registry version, the dataset, and the version that is production now.
Writes run summary eval/accuracy (fraction, 0 to 1) and eval/loss (nats per row), or for a regression
eval/within_tolerance
        (fraction) and its errors, and the metric of the policy;
        artifact <use_case>_evaluation: evidence.json, report.md, predictions, and for classes the confusion matrix;
        with --out also result.json, report.md and evidence.json (no evidence if the verdict is `unchanged`).
Exits   0 pass, or unchanged: this model is already in production; 1 fail; 2 wrong use;
        3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from modelgate import config, frameworks, judging, usecase
from modelgate.case import Case, compare, confirm_evidence, pin
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import NO, WRONG_USE, StepError
from modelgate.gate import report as page
from modelgate.gate.policy import POLICIES, Policy
from modelgate.gate.rules import Outcome
from modelgate.gate.scores import Scores
from modelgate.predictions import Subject
from modelgate.promotion import changes, evaluation, ledger
from modelgate.promotion import evidence as form
from modelgate.promotion.approval import pulls, reviewer
from modelgate.promotion.evidence import Evidence, Named
from modelgate.promotion.ledger import Entry
from modelgate.text import to_line
from modelgate.tracking import charts, client, fingerprint, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from wandb import Artifact, Run

# The metadata that describes the evidence without a download: for lists and pages, and for `looks`.
NOTED = ("verdict", "headline", "version", "metric", "metrics", "comparison", "sha256")


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument(
        "--version",
        required=True,
        metavar="REF",
        help="the registry version, entity/project/name:vN; `previous`, the version before that in production; or "
        "vN of the same collection",
    )
    parser.add_argument(
        "--dataset", metavar="REF", help="the dataset, entity/project/name:vN (default: that of production)"
    )
    parser.add_argument(
        "--policy",
        choices=POLICIES,
        default=parser.config.gate.policy,
        help="no_worse refuses a proven drop, non_inferior asks for proof of no drop, better for proof of a gain; "
        "rollback only shows the comparison (default: %(default)s)",
    )
    parser.add_argument(
        "--collection",
        default=parser.config.collection,
        help="the registered model; a version of another one is refused (default: %(default)s)",
    )
    parser.add_argument("--commit", default="", metavar="SHA", help="the commit of this code, for the evidence")
    parser.add_argument("--images", type=Path, metavar="FILE", help="JSON, image name to digest, for the evidence")
    parser.add_argument("--no-cache", action="store_true", help="evaluate even if this version was evaluated before")
    return parser.parse()


# --- what is judged --------------------------------------------------------------------------------------------------


def choose_version(text: str, promotions: Sequence[Entry]) -> Reference:
    """Return what --version names: a pinned version, `previous` (what production replaced), or `vN` of production's
    collection.
    """
    if text != "previous" and not re.fullmatch(r"v\d+", text):
        return Reference.parse(text, "--version")
    target = promotions and promotions[-1].content["from" if text == "previous" else "to"]
    if not target:
        raise StepError(
            "no_previous_version" if promotions else "nothing_promoted",
            f"--version {text}: the version in production is the first one, there is none before it"
            if promotions
            else f"--version {text}: nothing was promoted yet",
            'if another one was in production before, name it: --version v3, or make rollback ARGS="--version v3"'
            if promotions
            else "promote a first version: make run",
            WRONG_USE,
        )
    reference = Reference.parse(target["name"], "--version")
    return reference if text == "previous" else replace(reference, number=int(text[1:]))


def find_judged_dataset(api: wandb.Api, promotions: Sequence[Entry]) -> Artifact:
    """
    Return the dataset that the version in production was judged on, according to the ledger.

    The digest identifies it: if it was deleted, its name may belong to another one, or it may have been built again.
    """
    if not promotions:
        raise StepError("no_dataset", "nothing was promoted yet: --dataset has no default", "give --dataset", WRONG_USE)
    name, digest = (promotions[-1].content["dataset"][key] for key in ("name", "digest"))
    if (dataset := client.find(api, name)) and dataset.digest == digest:
        return dataset
    if again := client.find_by_digest(api, Reference.parse(name, "--dataset").collection, "dataset", digest):
        return again
    raise StepError(
        "dataset_gone",
        f"{name}, which production was judged on, is {'another one now' if dataset else 'gone'}",
        "build it again from the same source, or name another one with --dataset",
    )


def find_return(version: Artifact, entries: Sequence[Entry]) -> form.Return | None:
    """Return when this exact model was last in production, according to the ledger; None if it never was."""
    if (entry := ledger.find_last_in_production(entries, version.digest)) is None:
        return None
    after = next((later for later in ledger.list_promotions(entries) if later.number > entry.number), None)
    return form.Return(
        entry.number,
        version=entry.content["to"]["name"],
        since=entry.content["time"],
        until=after.content["time"] if after else None,
    )


def describe_kind(settings: config.Config) -> dict[str, str]:
    """Return what kind of model is judged, and by which metric."""
    return {"task": settings.task, "framework": settings.framework, "metric": settings.gate.metric}


def read_images(path: Path | None) -> dict[str, str] | None:
    """Return the digests of the images that the workflow ran, by name."""
    if path is None:
        return None
    try:
        images = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StepError("images_unreadable", f"--images {str(path)!r}: {error}", "give JSON", WRONG_USE) from error
    if not isinstance(images, dict) or not all(isinstance(value, str) for value in images.values()):
        raise StepError(
            "images_unreadable",
            f"--images {str(path)!r} is not a JSON object of image names and digests",
            "",
            WRONG_USE,
        )
    return images


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = config.load(args.use_case)
    policy = Policy(args.policy, **settings.gate.limits)
    images = read_images(args.images)
    api = client.connect()
    project = client.get_project(settings.project)
    home = f"{client.get_entity(api)}/{project}"
    entries = read_entries(api, settings, project)

    # 1) what to judge, and against what
    version = find_version(api, args, ledger.list_promotions(entries))
    production = client.find_production(api, Reference.pin(version).collection)
    if production and production.digest == version.digest:
        return give_unchanged(Reference.pin(version), production, args.out)
    case = collect_case(api, settings, policy, home, entries, version, production, args.dataset)

    # 2) has this been judged before? On GitHub nothing is reused: every version is judged there, by code that
    # reviewers can see.
    github = reviewer.read_context(settings.approval.environment)
    git = form.parse_git(args.commit, pulls.commit())
    inputs = fingerprint_inputs(case, args.commit, images, github)
    description = describe_case(case, args.commit, git, images, github)
    changed = list_changes(case, description)
    reusable = github is None and not args.no_cache
    earlier = client.find(api, f"{case.evaluations}:{inputs}") if reusable else None
    if earlier and (confirmed := confirm_earlier(case, earlier, description, changed, inputs)):
        log(f"reused {Reference.pin(earlier)}: the same inputs were evaluated before ({inputs})")
        return give(confirmed[0], earlier, True, client.get_page(version), args.out, confirmed[1])

    # 3) judge, and record what was judged
    declared = {"version": str(case.reference), "dataset": case.rows.name}
    with client.start_run(api, "evaluate_model", project, args.use_case, declared) as run:
        evidence, logged, report = judge(case, run, description, changed, inputs)
    return give(evidence, logged, False, client.get_page(version), args.out, report)


# --- 1) what to judge, and against what ------------------------------------------------------------------------------


def read_entries(api: wandb.Api, settings: config.Config, project: str) -> list[Entry]:
    """Return the entries of the ledger that someone wrote who may promote."""
    ledgers = ledger.find_names(api, client.get_entity(api), project, settings.name)
    return ledger.keep_by_promoters(api, ledger.read(api, *ledgers, registry=settings.registry), settings.registry)


def find_version(api: wandb.Api, args: argparse.Namespace, promotions: Sequence[Entry]) -> Artifact:
    """Return the version that --version names; refuse one of another registered model."""
    reference = choose_version(args.version, promotions)
    reference.require_in(args.collection, args.use_case)
    return client.get(api, reference, "--version")


def collect_case(
    api: wandb.Api,
    settings: config.Config,
    policy: Policy,
    home: str,
    entries: Sequence[Entry],
    version: Artifact,
    production: Artifact | None,
    dataset: str | None,
) -> Case:
    """Return everything that the version is judged with. dataset: --dataset."""
    promotions = ledger.list_promotions(entries)
    if dataset:
        judged_on = client.get(api, Reference.parse(dataset, "--dataset"), "--dataset")
    else:
        judged_on = find_judged_dataset(api, promotions)
    before = find_return(version, entries)
    goes_back = policy.name == "rollback" and before is not None
    trained_by = lineage.find_training(api, version, was_in_production=goes_back)
    behaviour, data = usecase.load_optional_part(settings.name, "behaviour"), usecase.load_part(settings.name, "data")
    return Case(
        api,
        settings,
        policy,
        home,
        promotions,
        version,
        production,
        judged_on,
        before,
        trained_by,
        subject=Subject.load(settings.task, settings.gate.metric, data, behaviour),
        parts=(behaviour, data) if behaviour else (data,),
        data=data,
    )


# --- 2) has this been judged before? ---------------------------------------------------------------------------------


def fingerprint_inputs(case: Case, commit: str, images: dict[str, str] | None, github: Mapping[str, Any] | None) -> str:
    """Return the alias under which an evaluation of the same inputs by the same code is stored."""
    reference, production, promotions = case.reference, case.production, case.promotions
    return fingerprint.compute_alias(
        "steps.evaluate",
        [*(part.__name__ for part in case.parts), *usecase.list_modules(case.settings)],
        {
            "policy": vars(case.policy),
            "commit": commit,
            "images": images,
            "github": github,
            **describe_kind(case.settings),
        },
        {
            "version": f"{reference}@{case.version.digest}",
            "dataset": case.dataset.digest,
            "production": f"{Reference.pin(production)}@{production.digest}" if production else None,
            "ledger": promotions[-1].sha256 if promotions else None,
        },
    )


def describe_case(
    case: Case, commit: str, git: form.Git | None, images: dict[str, str] | None, github: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the fields of the evidence that are known before a model answers."""
    return {
        "use_case": case.settings.name,
        **describe_kind(case.settings),
        "return_": case.before,
        "version": pin(case.version),
        "collection": case.reference.collection,
        "model": Named(find_source_name(case.version), case.version.digest),
        "production": pin(case.production) if case.production else None,
        "commit": commit,
        "git": git,
        "images": images,
        "github": form.GitHub(**{**github, "approvers": tuple(github["approvers"])}) if github else None,
    }


def list_changes(case: Case, description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the candidate was made from and production was not, for the warnings of the evidence."""
    provenance = changes.describe_making(case.trained_by, description, case.rows, client.get_account(case.api))
    of_train = {*case.settings.train, "threads", *frameworks.load_format(case.settings.framework).ABOUT}
    return changes.list_changes(
        provenance, changes.find_production(case.api, case.production, case.promotions), of_train
    )


def confirm_earlier(
    case: Case, earlier: Artifact, description: Mapping[str, Any], changed: Sequence[str], inputs: str
) -> tuple[Evidence, str] | None:
    """Return the evidence and the report of an earlier evaluation; None if a new one would say something else."""
    try:
        evidence, report = confirm_evidence(case, earlier, description)
        require_warnings(evidence, changed)
    except StepError as error:
        if error.name not in ("not_confirmed", "evidence_unreadable"):
            raise
        log(f"{Reference.pin(earlier)} has the alias {inputs}, but {to_line(error)}: evaluating again")
        return None
    return evidence, report


def require_warnings(evidence: Evidence, changed: Sequence[str]) -> None:
    """Raise `not_confirmed` if earlier evidence describes other training inputs of the candidate."""
    if not set(changed) <= set(evidence.warnings):
        raise StepError(
            "not_confirmed", "its warnings differ from those of a new evaluation", "evaluate again with --no-cache"
        )


# --- 3) judge, and record what was judged ----------------------------------------------------------------------------


def judge(
    case: Case, run: Run, description: Mapping[str, Any], changed: Sequence[str], inputs: str
) -> tuple[Evidence, Artifact, str]:
    """Let the models answer every row, and log the evidence. Return it, its version in W&B, and the report."""
    answers, scores = compare(case, lambda name: run.use_artifact(str(name)), np.arange)
    measured = judging.measure(scores, case.policy, answers.candidate, answers.production)
    looks = evaluation.count_looks(case.api, case.evaluations, answers.sha256)
    concluded = judging.conclude(scores, case.policy, measured, case.drops, looks)
    concluded["warnings"] += judging.list_warnings(answers, case.settings.data.rows_may_repeat) + tuple(changed)
    evidence = Evidence(
        schema=2,
        **description,
        **concluded,
        sha256=answers.sha256,
        trained_on=answers.trained_on,
        dataset=form.Dataset(case.rows.name, case.rows.digest, scores.rows, scores.seen),
        looks=looks,
        account=client.get_account(case.api),
        evaluation_run=form.Run(f"{case.home}/{run.id}", str(run.url)),
        evaluated_at=ledger.format_now(),
    )
    outcomes = judging.restore_outcomes(evidence)
    report = page.report(form.as_json(evidence), outcomes, scores, case.policy)
    logged = log_evaluation(run, evidence, outcomes, scores, case.policy, answers.rows.x, case.data, report, inputs)
    return evidence, logged, report


def log_evaluation(
    run: Run,
    evidence: Evidence,
    outcomes: list[Outcome],
    scores: Scores,
    policy: Policy,
    x: Any,
    data: ModuleType,
    report: str,
    inputs: str,
) -> Artifact:
    """Log metrics and charts to the run, and the evidence as an artifact version. x: the eval rows."""
    content = form.as_json(evidence)
    artifact = wandb.Artifact(
        evaluation.get_name(evidence.use_case),
        type=evaluation.ARTIFACT_TYPE,
        metadata={key: content[key] for key in NOTED},
    )
    evaluation.add_to(artifact, form.to_text(evidence), report, scores, policy)
    logs = {f"eval/{name}": value for name, value in measure_by_name(evidence.metrics.candidate).items()}
    if evidence.metrics.production:
        theirs = measure_by_name(evidence.metrics.production)
        logs |= {f"eval/production_{name}": value for name, value in theirs.items()}
    if page.complete(outcomes):
        logs |= charts.draw(scores, policy)
        artifact.add(charts.draw_predictions(scores, policy, x, getattr(data, "picture", None)), "predictions")
        if not scores.is_regression:
            artifact.add(charts.draw_confusion(scores), "confusion_matrix")
    run.log(logs)
    return client.log(run, artifact, ["latest", inputs])


def find_source_name(version: Artifact) -> str:
    """Return the pinned model version that a registry version links to."""
    return f"{version.source_entity}/{version.source_project}/{version.source_name}"


def measure_by_name(measured: form.Metrics) -> dict[str, Any]:
    """Return all metrics of a model by name."""
    return {name: value for name, value in vars(measured).items() if name != "other"} | measured.other


def give_unchanged(reference: Reference, production: Artifact, out: Path | None) -> int:
    """Print that this model is in production already, and return the exit code."""
    log(f"{page.UNCHANGED} ({reference})")
    text = page.write_unchanged(str(reference), str(Reference.pin(production)))
    emit(build_unchanged(reference, production), out, {evaluation.REPORT: text, form.FILE: None})
    return 0


def build_unchanged(reference: Reference, production: Artifact) -> dict[str, Any]:
    return {
        "verdict": "unchanged",
        "headline": page.UNCHANGED,
        "version": str(reference),
        "production": str(Reference.pin(production)),
        "evidence": None,
        "evidence_sha256": None,
        "return": None,
        "reasons": [],
        "reused": True,
        "run_url": None,
        "url": client.get_page(production),
    }


def give(evidence: Evidence, artifact: Artifact, reused: bool, url: str, out: Path | None, report: str) -> int:
    """Print the step's answer and return its exit code."""
    content = form.as_json(evidence)
    refused = [rule for rule in evidence.rules if rule.blocking and not rule.passed]
    theirs = content["metrics"]["production"] or {}
    result = {
        "verdict": evidence.verdict,
        "headline": evidence.headline,
        "version": evidence.version.name,
        "production": evidence.production and evidence.production.name,
        "evidence": str(Reference.pin(artifact)),
        "evidence_sha256": hashlib.sha256(form.to_text(evidence).encode()).hexdigest(),
        "return": content["return"],
        "reasons": [f"{rule.rule}: {rule.reason}" for rule in refused],
        "reused": reused,
        "run_url": None if reused else evidence.evaluation_run.url,
        "url": url,
        **measure_by_name(evidence.metrics.candidate),
        **{f"production_{name}": theirs.get(name) for name in ("accuracy", "loss")},
        **{
            f"production_{name}": theirs.get("other", {}).get(name) for name in content["metrics"]["candidate"]["other"]
        },
    }
    log(evidence.headline)
    if evidence.return_:
        log(page.describe_return(content["return"]))
    for reason in result["reasons"]:
        log(f"refused by {reason}")
    emit(result, out, {evaluation.REPORT: report, form.FILE: form.to_text(evidence)})
    return NO if evidence.verdict == "fail" else 0


if __name__ == "__main__":
    sys.exit(run_guarded(main))
