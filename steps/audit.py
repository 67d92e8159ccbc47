"""
List what was promoted, when, on what evidence and by whom, and check whether you can still trust the ledger.

    python -m steps.audit --verify --html promotions.html

Reads   the ledger (artifact <use_case>_promotions) and what the registry holds now.
Writes  nothing to W&B; with --html a page to publish.
Exits   0 done, 1 --verify or --deployed found something, 2 wrong use, 3 W&B is not reachable.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from modelgate import config, datasets, frameworks
from modelgate.cli import StepParser, emit, log, run_guarded
from modelgate.errors import NO, WRONG_USE, StepError
from modelgate.promotion import audit_page, deployed, evaluation, ledger, notifications, verify
from modelgate.promotion import evidence as form
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Registered
from modelgate.text import to_line
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    from wandb import Artifact


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = StepParser(__doc__ or "", argv)
    parser.add_argument(
        "--on",
        metavar="DATE",
        help="show what was in production at this date: 2026-11-23 (its end, UTC) or 2026-11-23T14:00:00Z",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="look for entries that were changed or lost, and for moves outside the gate",
    )
    parser.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME",
        help="trust the entries of this account, although it is no longer an admin of the registry; can be repeated",
    )
    parser.add_argument(
        "--collection",
        default=parser.config.collection,
        help="the registered model to check if the ledger does not name one (default: %(default)s)",
    )
    add_service_flags(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the audit as one self-contained page")
    return parser.parse()


def add_service_flags(parser: StepParser) -> None:
    parser.add_argument(
        "--deployed",
        action="extend",
        nargs="+",
        default=[],
        metavar="URL",
        help="ask the service at each URL which version it runs, and compare it with the ledger",
    )
    parser.add_argument(
        "--stale-after",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a service may still run the previous version after a promotion (default: %(default)s)",
    )


# --- what the ledger says --------------------------------------------------------------------------------------------


def state(entry: Entry) -> str:
    """Return what became of an entry."""
    explanations = {
        "void": "another promotion came first" if ledger.is_readable(entry.content) else "says nothing",
        "unfinished": "the alias has not moved",
    }
    return f"{entry.state}: {explanations[entry.state]}" if entry.state in explanations else entry.state


def describe_entry(entry: Entry) -> str:
    """Format an entry as a line for people."""
    content = entry.content
    if not ledger.is_readable(content):
        return f"v{entry.number}  {state(entry)}"
    before = content["from"]["name"] if content["from"] else "nothing"
    reason = f" ({content['reason']})" if content["reason"] else ""
    parts = (
        f"v{entry.number}",
        content["time"],
        f"{before} -> {content['to']['name']}",
        f"approved by {content['approver']}{reason}",
        f"on {content['evidence']['name']}",
        state(entry),
    )
    return "  ".join(to_line(part) for part in parts)


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry for machines. Its own fields cannot hide those that audit adds."""
    known = {"version": entry.number, "sha256": entry.sha256, "state": entry.state}
    return {**entry.content, **known}


def parse_time(text: str, now: datetime) -> datetime:
    """Return the time that --on names. A day means its end; a time in the future is refused."""
    try:
        try:
            day = date.fromisoformat(text)
            then = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, seconds=-1)
        except ValueError:
            then = ledger.parse_time(text)
        return min(then, now)
    except (ValueError, OverflowError) as error:
        raise StepError(
            "date_unreadable",
            f"--on {text!r} is not a date: {error}",
            "give 2026-11-23 or 2026-11-23T14:00:00Z",
            WRONG_USE,
        ) from error


def find_in_production(entries: Sequence[Entry], then: datetime) -> Entry | None:
    """
    Return the entry that was in force at a time. The time of the entry counts, because the alias moves right after it.

    If the promotion was interrupted, the alias moved only when someone finished it.
    """
    moved = [entry for entry in entries if entry.applied and ledger.parse_time(entry.content["time"]) <= then]
    return moved[-1] if moved else None


# --- what the registry says ------------------------------------------------------------------------------------------


def read_registry(api: wandb.Api, entries: Sequence[Entry], collection: str, holder: Artifact | None) -> Registered:
    """
    Return the versions that the registry holds, their seals, and the one in production.

    W&B keeps no history of an alias, so this shows only where it is now.
    """
    if holder:
        collection = Reference.pin(holder).collection
    elif not any(ledger.is_readable(entry.content) for entry in entries):
        return Registered()
    aliases_by_version = {
        str(Reference.pin(version)): version.aliases for version in client.list_versions(api, "model", collection)
    }
    seals = tuple(seal for name, aliases in aliases_by_version.items() for seal in verify.parse_seals(aliases, name))
    return Registered(frozenset(aliases_by_version), seals, str(Reference.pin(holder)) if holder else None)


def read_stored(api: wandb.Api, entries: Sequence[Entry], framework: str) -> dict[str, Any]:
    """
    Return what the versions that the entries name are now, as fields of Registered: their digests, and the SHA-256 of
    model, eval rows and evidence, or the name under which the file is refused.
    """
    contents = [entry.content for entry in entries if not entry.void and ledger.is_readable(entry.content)]
    counts: dict[str, Callable[[Artifact], str]] = {
        "to": lambda version: frameworks.find_model_file(version.manifest.entries, framework),
        "dataset": datasets.get_eval_file,
        "evidence": lambda _: form.FILE,
    }
    digests: dict[str, str | None] = {}
    sha256: dict[str, str] = {}
    for name, key in sorted({(content[key]["name"], key) for content in contents for key in counts}):
        version = client.find(api, name)
        digests[name] = version.digest if version else None
        if version:
            limit = evaluation.MAX_BYTES[form.FILE] if key == "evidence" else files.MAX_BYTES
            with tempfile.TemporaryDirectory() as folder:
                try:
                    sha256[name] = files.fetch(version, counts[key](version), Path(folder), limit).sha256
                except files.FileRefused as error:
                    sha256[name] = error.name
    return {"digests": digests, "sha256": sha256}


def read_writers(api: wandb.Api, entries: Sequence[Entry], collection: str, accounts: Sequence[str]) -> dict[str, Any]:
    """Return who wrote each entry and who may promote, as fields of Registered."""
    writers = {entry.number: ledger.find_writer(api, entry) for entry in entries if not entry.void}
    admins = client.list_admins(api, collection) if writers else frozenset()
    return {"writers": writers, "promoters": admins | set(accounts) if admins else None}


def check_ledger(
    api: wandb.Api,
    entries: Sequence[Entry],
    known: Registered,
    collection: str,
    accounts: Sequence[str],
    framework: str,
) -> tuple[list[Entry], list[verify.Finding]]:
    """Return the entries as the registry and their writers confirm them, and what is wrong with them."""
    writers = read_writers(api, entries, collection, accounts)
    stored = read_stored(api, entries, framework)
    return verify.verify(entries, replace(known, **stored, **writers))


def check_services(
    urls: Sequence[str], use_case: str, entries: Sequence[Entry], collection: str, now: datetime, stale_s: float
) -> list[verify.Finding]:
    """Return a finding for each service that does not run what the ledger says."""
    return [
        verify.Finding(name, f"{url}: {message}")
        for url in urls
        for name, message in deployed.list_differences(deployed.ask(url), use_case, entries, collection, now, stale_s)
    ]


def list_unsent(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], collection: str, accounts: Sequence[str]
) -> list[dict[str, str]]:
    """Return the messages about promotions that were not sent yet, with their channels."""
    messages = notifications.list_owed(api, ledgers, entries, collection, accounts)
    return [{"entry": f"v{item.entry.number}", "channel": item.channel} for item in messages]


def find_links(api: wandb.Api, entries: Sequence[Entry]) -> dict[str, audit_page.Linked]:
    """Return where W&B shows each version that the entries name, and its metrics. A deleted version is left out."""
    contents = [entry.content for entry in entries if ledger.is_readable(entry.content)]
    names = {content[key]["name"] for content in contents for key in ("to", "model", "dataset", "evidence")}
    versions = {name: client.find(api, name) for name in sorted(names)}
    return {
        name: audit_page.Linked(client.get_page(version), version.digest, version.metadata)
        for name, version in versions.items()
        if version
    }


# --- the step --------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    now = ledger.parse_time(ledger.format_now())
    then = parse_time(args.on, now) if args.on else None
    api = client.connect()
    settings = config.load(args.use_case)
    project = client.get_project(settings.project)
    ledgers = ledger.find_names(api, client.get_entity(api), project, args.use_case)
    entries = ledger.read(api, *ledgers, registry=settings.registry)
    registry = client.find_registry(api, settings.registry) or settings.registry
    collection = ledger.get_collection(entries, registry, args.collection)
    holder = client.find_production(api, collection)
    answer: dict[str, Any] = {"registry": {"production": str(Reference.pin(holder)) if holder else None}}
    findings: list[verify.Finding] = []

    # 1) can the ledger be trusted?
    if args.verify or args.html or args.deployed:
        known = replace(read_registry(api, entries, collection, holder), registry=registry)
        entries, findings = check_ledger(api, entries, known, collection, args.account, settings.framework)
        findings = findings if args.verify or args.html else []
    if args.deployed:
        findings += check_services(args.deployed, args.use_case, entries, collection, now, args.stale_after)
    answer["entries"] = [as_json(entry) for entry in entries]
    answer["not_told"] = list_unsent(api, ledgers, entries, collection, args.account)

    # 2) what the ledger says
    if then:
        answer |= log_production(entries, then)
    else:
        log_entries(entries, args.use_case, answer["registry"]["production"])
    for item in answer["not_told"]:
        log(f"message not sent yet: entry {item['entry']} through {item['channel']}; the next promote sends it")
    if args.verify or args.deployed:
        answer["findings"] = [vars(finding) for finding in findings]
        log_findings(findings, len(entries), verified=args.verify, with_services=bool(args.deployed))
    if args.html:
        write_page(args.html, audit_page.write_page(args.use_case, now, entries, findings, find_links(api, entries)))
        log(f"wrote {args.html}")
    emit(answer, args.out)
    return NO if (args.verify or args.deployed) and findings else 0


def log_production(entries: Sequence[Entry], then: datetime) -> dict[str, Any]:
    """Log what was in production at a time, and return it as fields of the answer."""
    entry = find_in_production(entries, then)
    description = describe_entry(entry) if entry else "nothing"
    log(f"in production on {then.isoformat()}, according to the ledger: {description}")
    return {"on": then.isoformat(), "production": entry and as_json(entry)}


def log_entries(entries: Sequence[Entry], use_case: str, production: str | None) -> None:
    """Log every entry, and what the registry says is in production now."""
    for entry in entries:
        log(describe_entry(entry))
    if not entries:
        log(f"nothing was promoted yet for {use_case}")
    log(f"in production now, according to the registry: {production or 'nothing'}")


def log_findings(findings: Sequence[verify.Finding], count: int, verified: bool, with_services: bool) -> None:
    """Log what was found; if that is nothing, log what agrees. with_services: services were asked what they run."""
    for finding in findings:
        log(f"found {finding.name}: {to_line(finding.message)}")
    if not findings and verified:
        log("1 entry; it agrees with the registry" if count == 1 else f"{count} entries; they agree with the registry")
    if not findings and with_services:
        log("every service runs what the ledger says")


def write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StepError(
            "html_not_writable", f"--html {str(path)!r}: {error}", "choose another file", WRONG_USE
        ) from error


if __name__ == "__main__":
    sys.exit(run_guarded(main))
