"""
Move the alias `production` to the version that was evaluated and approved.

    python -m steps.promote --evidence team/model-registry-dev/NAME_evaluation:v4 --approver ada

Reads   the evidence, the ledger, and what the registry holds now.
Writes an entry in the ledger (artifact <use_case>_promotions), then the alias. If you run it again, it changes nothing,
or finishes what was interrupted. Then sends the messages (docs/how-to/production.md). Exits 0 done, 1 refused and
nothing moved, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from modelgate import config, datasets, frameworks
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import StepError
from modelgate.gate import rules, scores
from modelgate.promotion import evaluation, ledger, notifications
from modelgate.promotion import evidence as form
from modelgate.promotion.approval import ways
from modelgate.promotion.approval.approver import Approval, Model
from modelgate.promotion.evidence import Dataset, Evidence, Named
from modelgate.promotion.ledger import Entry, Promoters
from modelgate.text import to_line
from modelgate.tracking import client, files, lineage
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from wandb import Artifact, Run


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument("--evidence", required=True, metavar="REF", help="the evaluation: entity/project/name:vN")
    parser.add_argument(
        "--evidence-sha256",
        metavar="HEX",
        help="the SHA-256 of evidence.json, as evaluate printed it; any other evidence is refused",
    )
    parser.add_argument(
        "--approver", metavar="NAME", help="the person who read the report and approves; not allowed on GitHub"
    )
    parser.add_argument(
        "--in-browser", action="store_true", help="record in the ledger that the approval was given on the pages"
    )
    parser.add_argument(
        "--approval",
        choices=ways.WAYS,
        help="ask GitHub who approved: the reviewer of this workflow run, or of the pull request that was merged",
    )
    parser.add_argument(
        "--collection",
        default=parser.config.collection,
        help="the registered model; a version of another one is refused (default: %(default)s)",
    )
    parser.add_argument(
        "--registry",
        default=parser.config.registry,
        help="the registry; a version in another one is refused (default: %(default)s)",
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="the reason, for the ledger")
    parser.add_argument("--dry-run", action="store_true", help="run every check, but change nothing")
    return parser.parse()


# --- the checks: each refusal has its own name ------------------------------------------------------------------------


def check_verdict(evidence: Evidence, scores: scores.Scores) -> None:
    """Check that the evidence says pass, and that its own predictions confirm it."""
    if evidence.verdict != "pass":
        raise StepError(
            "verdict_not_pass",
            f"the verdict of the evidence is {evidence.verdict!r}: only a version that passed is promoted",
            "read the report to see which rules refused it, then train a better model",
        )
    outcomes = rules.judge(scores, form.restore_policy(evidence))
    if not rules.passes_gate(outcomes):
        names = ", ".join(outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed)
        raise StepError(
            "verdict_not_reproduced",
            f"the verdict of the evidence is pass, but these rules refuse its predictions: {names}",
            "evaluate the version again",
        )


def check_policy(evidence: Evidence, policy: config.Gate) -> None:
    """Check that the version was judged by the metric and the limits that the use case has now."""
    judged = form.restore_policy(evidence)
    for key, now in policy.limits.items():
        if getattr(judged, key) != now:
            raise StepError(
                "policy_changed",
                f"it was judged with {key} {getattr(judged, key)}, but the use case now has {now}",
                "evaluate the version again",
            )


def check_rows(dataset: Dataset, labels: Any, scores: scores.Scores) -> None:
    """Check that exactly the dataset's eval rows were scored, with its labels."""
    if not np.array_equal(labels, scores.targets):  # the gate has already counted them
        raise StepError(
            "other_eval_rows",
            f"the labels of the {len(scores.targets)} scored rows differ from those of {dataset.name}",
            "evaluate the version again",
        )


def check_lineage(evidence: Evidence, trained: Sequence[Artifact]) -> None:
    """Check that the model was trained on what the evidence says. Schema 1 does not record it."""
    names = [Named(str(Reference.pin(dataset)), dataset.digest) for dataset in trained]
    if evidence.trained_on and evidence.trained_on.dataset not in names:
        raise StepError(
            "lineage_changed",
            f"the evidence says that the model was trained on {evidence.trained_on.dataset.name}, but W&B says "
            f"{', '.join(name.name for name in names)}",
            "evaluate the version again",
        )


def check_bytes(judged: form.Hashes, now: form.Hashes) -> None:
    """Check that the files of the model and of the eval rows are, byte for byte, those that were judged."""
    if judged.model not in (None, now.model):  # None: schema 1 did not record it
        raise StepError(
            "model_bytes_changed",
            f"the model's file has SHA-256 {now.model}, but {judged.model} was evaluated",
            "find out who replaced it, then evaluate again",
        )
    if judged.eval_rows not in (None, now.eval_rows):
        raise StepError(
            "rows_bytes_changed",
            f"the file of the eval rows has SHA-256 {now.eval_rows}, but {judged.eval_rows} was evaluated",
            "find out who replaced it, then evaluate again",
        )


def check_digest(api: wandb.Api, kind: str, judged: Named | Dataset) -> Artifact:
    """Check that `version`, `model` or `dataset` of the evidence still exists with the digest that was judged."""
    now = client.find(api, judged.name)
    if now is None or now.digest != judged.digest:
        raise StepError(
            f"{kind}_changed",
            f"{judged.name} is {'gone' if now is None else now.digest}, but {judged.digest} was evaluated",
            "evaluate again",
        )
    return now


def check_production(evidence: Evidence, production: Artifact | None) -> None:
    """Check that production is still the version that the candidate was compared with."""
    compared = evidence.production
    now = Named(str(Reference.pin(production)), production.digest) if production else None
    if now != compared:
        raise StepError(
            "production_moved",
            f"it was compared with {compared.name if compared else 'nothing'}, "
            f"but production is now {now.name if now else 'nothing'}",
            "evaluate again, against what is in production now",
        )


def check_use_case(evidence: Evidence, use_case: str) -> None:
    """Check that the evidence is for the use case whose policy applies."""
    if evidence.use_case != use_case:
        raise StepError(
            "other_use_case",
            f"the evidence is for the use case {evidence.use_case!r}, but --use-case is {use_case!r}",
            f"use --use-case {evidence.use_case}",
        )


def check_collection(evidence: Evidence, collection: str) -> None:
    """Check that the version is in the collection that the use case owns, whatever the registry."""
    Reference.parse(evidence.version.name, "--evidence").require_in(collection, evidence.use_case)


def check_registry(version: Reference, registry: str | None, name: str) -> None:
    """Check that the version is in the use case's registry: elsewhere, anyone may set the alias."""
    if f"{version.entity}/{version.project}" != registry:
        raise StepError(
            "other_registry",
            f"{version} is not in the registry {registry or name}",
            "link the model into that registry, and evaluate it there; for a trial, use --registry",
        )


def check_evidence(sha256: str, approved: str | None) -> None:
    """Check that the evidence is the exact file that evaluate wrote: a name in W&B can be reused."""
    if approved not in (None, sha256):
        raise StepError(
            "evidence_changed",
            f"evidence.json has SHA-256 {sha256}, but {approved} waited for an approval",
            "find out who replaced it, then evaluate again",
        )


def check_model(evidence: Evidence) -> None:
    """Check that the version links to the model that the evidence names."""
    if evidence.model.digest != evidence.version.digest:
        raise StepError(
            "model_changed",
            f"{evidence.version.name} is {evidence.version.digest}, but {evidence.model.name} is another model",
            "evaluate the version again",
        )


def check_age(evidence: Evidence, source: Artifact, max_hours: float) -> None:
    """Check that the evidence is recent enough, by its own time and by when W&B received it."""
    try:
        created = min(ledger.parse_time(evidence.evaluated_at), ledger.parse_time(source.created_at))
    except ValueError as error:
        raise StepError("evidence_unreadable", f"the evidence has no time: {error}", "evaluate again") from error
    hours = (ledger.parse_time(ledger.format_now()) - created).total_seconds() / 3600
    if hours > max_hours:
        raise StepError(
            "evidence_too_old",
            f"the evidence is {hours:.0f} hours old, but at most {max_hours:g} are allowed",
            "evaluate again: python -m steps.evaluate --no-cache ...",
        )


# --- the step --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """
    Evidence that passed every check, with what W&B has of it now.

    source: the evaluation. version: the registry's. as_json: the evidence as plain JSON types; sha256: of its file.
    stored: SHA-256 of the files as they are now. promoters: who may promote this.
    """

    evidence: Evidence
    source: Artifact
    version: Artifact
    as_json: Mapping[str, Any]
    sha256: str
    stored: form.Hashes
    promoters: Promoters

    @property
    def target(self) -> Reference:
        """Return the version that becomes production, as W&B names it: an organization also has a short name."""
        return Reference.pin(self.version)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    reference = Reference.parse(args.evidence, "--evidence")
    ways.check_flags(args.approver, args.approval)
    settings = config.load(args.use_case)
    api = client.connect()
    source = client.get(api, reference, "--evidence")
    ledgers = ledger.find_names(api, client.get_entity(api), client.get_project(settings.project), args.use_case)
    entries = ledger.read(api, *ledgers, registry=args.registry)

    # 1) the evidence is valid, and someone approved it
    judged = verify_evidence(api, source, settings, args, entries)
    model = Model(settings.name, settings.approval.environment, settings.gate.self_approval)
    approved = ways.check(args.approver, args.approval, judged.as_json, model, in_browser=args.in_browser)

    # 2) what the ledger and the registry say now
    content = build_entry(judged, approved, args.reason, client.get_account(api))
    done = find_position(api, judged, ledger.find_head(entries), content, settings.gate.max_evidence_age_hours)
    if args.dry_run:
        log(f"every check passed; {judged.target} would become {client.PRODUCTION}")
        emit(build_result(judged.evidence, content, judged.version), args.out)
        return 0

    # 3) the entry, then the alias with the seal of the entry
    if done is None:
        run_config = {"evidence": str(reference), "approver": approved.approver}
        # With the nonce, no one else can create this run first.
        content |= {"time": ledger.format_now(), "nonce": secrets.token_hex(16)} | notifications.list_channels()
        content = follow_last(content, entries, ledgers[0])
        home, run_id = ledgers[0].split("/")[1], ledger.compute_run_id(content)
        with client.start_run(api, "promote_model", home, args.use_case, run_config, run_id) as run:
            done = write_entry(run, api, ledgers, args, content | {"run_url": run.url})
    finish(api, judged.target, done)

    # 4) the messages that were not sent yet, about this promotion and earlier ones
    sent = send_messages(api, settings, ledgers, entries, done)
    emit(build_result(judged.evidence, done.content, judged.version) | sent, args.out)
    return 0


def verify_evidence(
    api: wandb.Api, source: Artifact, settings: config.Config, args: argparse.Namespace, entries: Sequence[Entry]
) -> Judged:
    """Return the evidence after every check of it and of its inputs has passed."""
    evidence, _, scores = evaluation.read(source)
    check_use_case(evidence, args.use_case)
    check_collection(evidence, args.collection)
    check_policy(evidence, settings.gate)
    version = check_digest(api, "version", evidence.version)
    check_registry(Reference.pin(version), client.find_registry(api, args.registry), args.registry)
    check_model(evidence)
    check_digest(api, "model", evidence.model)
    dataset = check_digest(api, "dataset", evidence.dataset)
    # The ledger and W&B's lineage count, whatever the evidence says.
    promoters = ledger.find_promoters(api, Reference.pin(version).collection, [client.get_account(api)])
    before = ledger.find_last_in_production(entries, version.digest, promoters.has_written)
    goes_back = evidence.policy.name == "rollback" and before is not None
    trained = lineage.find_training(api, version, was_in_production=goes_back).datasets
    check_lineage(evidence, trained)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = files.fetch(version, frameworks.MODEL_FILES[settings.framework], folder)
        rows, rows_sha256 = datasets.fetch_eval(dataset, folder)
        learned = [datasets.fetch_training(other, folder / "trained")[0].x for other in trained]
        own_sha256 = files.fetch(source, form.FILE, folder, evaluation.MAX_BYTES[form.FILE]).sha256
    check_evidence(own_sha256, args.evidence_sha256)
    stored = form.Hashes(model.sha256, rows_sha256)
    check_bytes(evidence.sha256, stored)
    check_rows(evidence.dataset, rows.y, scores)
    may_repeat = settings.data.rows_may_repeat
    seen = () if may_repeat else datasets.find_seen(rows.x, learned)
    near = 0 if may_repeat else datasets.count_near_duplicates(rows.x, learned, seen)
    scores = replace(scores, was_in_production=before is not None, seen=seen, near=near, training_known=bool(trained))
    check_verdict(evidence, scores)
    return Judged(evidence, source, version, form.as_json(evidence), own_sha256, stored, promoters)


def find_position(
    api: wandb.Api,
    judged: Judged,
    last: Entry | None,
    content: Mapping[str, Any],
    max_hours: float,
) -> Entry | None:
    """
    Return the entry that already made or began this promotion, if there is one.

    last: the entry that the next one follows. content: what an entry of this call would say. An unfinished entry with
    other content, or by another account, is not finished here.
    """
    check_age(judged.evidence, judged.source, max_hours)
    production = client.find_production(api, judged.target.collection)
    holds = production is not None and Reference.pin(production) == judged.target
    done = last if last and last.content["to"] == content["to"] and judged.promoters.has_written(last) else None
    if done and not holds and not is_begun(api, done, content):
        done = None
    if done is None or not holds:
        check_production(judged.evidence, production)
    return done


def is_begun(api: wandb.Api, entry: Entry, content: Mapping[str, Any]) -> bool:
    """Return whether an entry is by this account and has the content of this call, except for its time and run."""
    same = all(entry.content.get(key) == value for key, value in content.items())
    return same and ledger.find_writer(api, entry) == content["account"]


def finish(api: wandb.Api, target: Reference, entry: Entry) -> None:
    """Move the alias for an entry, unless it has already moved."""
    if find_holder(api, target) == target:
        log(f"{target} is already {client.PRODUCTION}, by entry v{entry.number}")
        return
    move_alias(api, target, entry)
    approver = to_line(entry.content["approver"])
    log(f"{target} is {client.PRODUCTION}; approved by {approver}, entry v{entry.number}")


def build_entry(judged: Judged, approved: Approval, reason: str, account: str) -> dict[str, Any]:
    """Return what the ledger will say about this promotion. Time, run and previous entry are added later."""
    evidence = judged.as_json
    return {
        "schema": 4,
        "from": evidence["production"],
        "to": {"name": str(judged.target), "digest": evidence["version"]["digest"]},
        "model": evidence["model"],
        "dataset": {key: evidence["dataset"][key] for key in ("name", "digest")},
        "evidence": {
            "name": str(Reference.pin(judged.source)),
            "digest": judged.source.digest,
            "sha256": judged.sha256,
        },
        "sha256": vars(judged.stored),
        "sha256_recorded": "at promotion" if None in evidence["sha256"].values() else "at evaluation",
        "metric": evidence["metric"],
        "policy": evidence["policy"],
        "drop": evidence["comparison"] and evidence["comparison"]["drop"],
        "approver": approved.approver,
        "approval": approved.how,
        "comment": approved.comment,
        "approval_url": approved.url,
        "account": account,
        "commit": evidence["commit"],
        "reason": to_line(reason),
    }


def follow_last(content: Mapping[str, Any], entries: Sequence[Entry], own: str) -> dict[str, Any]:
    """Return the entry that follows the last one. own: the artifact that it becomes a version of."""
    last = ledger.find_head(entries)
    voids = last.number if last and is_passed_over(last, content) else None
    follows: dict[str, Any] = {"previous": last and last.sha256, "voids": voids}
    if entries and not any(entry.version.startswith(f"{own}:") for entry in entries):
        follows["continues"] = entries[-1].number + 1  # the first entry in the ledger's own project
    return {**content, **follows}


def is_passed_over(last: Entry, content: Mapping[str, Any]) -> bool:
    """Return whether the last entry never took effect."""
    if last.applied or content["from"] == last.content["to"]:
        return False
    return "voids" in last.content or content["from"] == last.content["from"]  # before schema 3, there may be no seal


def write_entry(
    run: Run, api: wandb.Api, ledgers: Sequence[str], args: argparse.Namespace, content: dict[str, Any]
) -> Entry:
    """Write the entry and check whether it won. It is void if another promotion came first."""
    run.use_artifact(content["evidence"]["name"])
    run.use_artifact(content["to"]["name"])
    version = ledger.append(run, args.use_case, content)
    entries = ledger.read(api, *ledgers, registry=args.registry)
    written = next((entry for entry in entries if entry.version == version), None)
    if written is None:
        raise StepError(
            "entry_not_written",
            f"W&B took the entry as {version}, but does not show it in the ledger; production does not change",
            "run the same command again",
        )
    if written.void:
        raise StepError(
            "promotion_lost",
            f"another promotion was written first, so entry v{written.number} is void",
            "evaluate again, against what is in production now",
        )
    return written


def move_alias(api: wandb.Api, target: Reference, entry: Entry) -> None:
    """
    Set the alias on the version, with the seal of its entry, and read it back from W&B.

    If this key may not do that, production does not change, and the next promotion skips the entry.
    """
    client.add_aliases(api.artifact(str(target)), [client.PRODUCTION, ledger.get_seal(entry)])
    if (now := find_holder(api, target)) != target:
        raise StepError(
            "alias_not_moved",
            f"W&B was asked to make {target} {client.PRODUCTION}, but still names {now}",
            "run the same command again",
        )


def send_messages(
    api: wandb.Api, settings: config.Config, ledgers: Sequence[str], entries: Sequence[Entry], done: Entry
) -> dict[str, Any]:
    """Send the messages about the promotion. If one fails, it is reported; the promotion is done anyway."""
    target = Reference.parse(done.content["to"]["name"], "the ledger")
    all_entries = {entry.version: entry for entry in (*entries, done)}.values()
    try:
        outcomes = notifications.send_owed(
            api,
            ledgers,
            ledger.chain(all_entries, str(target)),
            target.collection,
            settings.name,
            settings.approval.environment,
        )
    except StepError as error:
        log(f"messages not sent: {error}; {error.hint}")
        return {"notifications": [], "not_told": str(error)}
    for outcome in outcomes:
        label = f"entry v{outcome.owed.entry.number} by {outcome.owed.channel}"
        log(f"message not sent: {label}: {outcome.problem}" if outcome.problem else f"message sent: {label}")
    return {"notifications": [outcome.as_json() for outcome in outcomes]} if outcomes else {}


def find_holder(api: wandb.Api, target: Reference) -> Reference | None:
    """Return the version of the target's collection that is in production now."""
    now = client.find_production(api, target.collection)
    return Reference.pin(now) if now else None


def build_result(evidence: Evidence, approved: Mapping[str, Any], version: Artifact) -> dict[str, Any]:
    return {
        "version": approved["to"]["name"],
        "previous": evidence.production and evidence.production.name,
        "approver": approved["approver"],
        "url": client.get_page(version),
    }


if __name__ == "__main__":
    sys.exit(run_guarded(main))
