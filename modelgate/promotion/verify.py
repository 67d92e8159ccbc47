"""
Check that the ledger still says what was done. Pure functions over its entries and over the registry's content; no W&B.

Three things must agree: each entry's file and the copy in its version's metadata, each entry and the hash in the next
one, and the whole ledger and the seals in the registry. docs/explanation/promotion.md says what they cannot show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, zip_longest

from modelgate.promotion.ledger import Entry, get_registry, has_outlived, is_readable, mark_effects

MAX_GAP = 1000  # entries
_SEAL = re.compile(r"promotion-v([0-9]{1,9})-([0-9a-f]{12})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Seal:
    """What the registry records about one entry: its number, the start of its hash, and the version that it
    promoted.
    """

    number: int
    hash12: str
    version: str


@dataclass(frozen=True)
class Registered:
    """
    What the registry holds now: the names of its versions, their seals, and the version that is `production`.

    sha256: for the versions that the entries name, the SHA-256 of the file that counts, or the name of its refusal.
    digests: the digest that each of these names has now; None if the name is gone. writers: for each known entry, the
    account that logged it; None if W&B knows none, or its run logged an earlier entry. promoters: the accounts that may
    promote; None if W&B does not say. registry: the use case's; None: that of the first entry.
    """

    versions: frozenset[str] = frozenset()
    seals: tuple[Seal, ...] = ()
    production: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str | None] = field(default_factory=dict)
    writers: Mapping[int, str | None] = field(default_factory=dict)
    promoters: frozenset[str] | None = None
    registry: str | None = None


@dataclass(frozen=True)
class Finding:
    """Something that does not agree. entry: the number of the entry, if it is about one."""

    name: str
    message: str
    entry: int | None = None


def parse_seals(aliases: Iterable[str], version: str) -> list[Seal]:
    """Return the seals among a version's aliases."""
    matches = (_SEAL.fullmatch(alias) for alias in aliases)
    return [Seal(int(match[1]), match[2], version) for match in matches if match]


def verify(entries: Iterable[Entry], registered: Registered) -> tuple[list[Entry], list[Finding]]:
    """
    Return the entries in their true order, marked void or applied, and everything that is wrong with them.

    Void and skipped entries are not findings: they come from lost races, and from promotions that were interrupted or
    refused.
    """
    known = {entry.number: entry for entry in entries}
    findings = [
        Finding("entry_unreadable", f"v{number} is not the entry of a promotion", number)
        for number, entry in sorted(known.items())
        if not is_readable(entry.content)
    ]
    known = {number: entry for number, entry in known.items() if is_readable(entry.content)}
    findings += _find_reordered(known, registered)
    known = _restore_order(known, registered, {finding.entry for finding in findings})
    wrong = {finding.entry for finding in findings}
    findings += [finding for finding in _find_changed(known, registered) if finding.entry not in wrong]
    findings += _find_missing(known, registered, {finding.entry for finding in findings})
    order, of_chain = _walk(known, registered, findings)
    findings += of_chain
    order = _mark_effects(order, registered)
    wrong = {finding.entry for finding in findings}
    findings += _find_unsealed(order, registered, wrong)
    findings += _find_outside_moves(order, registered, wrong)
    findings += _find_wrong_production(order, registered)
    findings += _find_gone(order, registered)
    findings += _find_changed_bytes(order, registered)
    findings += _find_wrong_writers(order, registered)
    findings += _find_other_registries(order, registered)
    return order, findings


# --- one entry by itself ---------------------------------------------------------------------------------------------


def _list_sealed(number: int, registered: Registered) -> set[str]:
    return {seal.hash12 for seal in registered.seals if seal.number == number}


def _find_broken_seals(known: Mapping[int, Entry], registered: Registered) -> list[int]:
    """Return the entries whose hash differs from their seal."""
    return [
        number
        for number, entry in sorted(known.items())
        if (hashes := _list_sealed(number, registered)) and entry.sha256[:12] not in hashes
    ]


def _find_sealed_number(entry: Entry, registered: Registered) -> int | None:
    """Return the number under which an entry's hash was sealed."""
    return next((seal.number for seal in registered.seals if seal.hash12 == entry.sha256[:12]), None)


def _find_reordered(known: Mapping[int, Entry], registered: Registered) -> list[Finding]:
    homes = {number: _find_sealed_number(entry, registered) for number, entry in known.items()}
    moved = {number for number, home in homes.items() if home not in (None, number)}
    positions = moved | {home for number in moved if (home := homes[number]) in known}
    return [
        Finding("entry_reordered", f"v{number} was not written as entry v{number}: its place was changed", number)
        for number in sorted(number for number in positions if number is not None)
    ]


def _restore_order(known: Mapping[int, Entry], registered: Registered, reordered: set[int | None]) -> dict[int, Entry]:
    """Return the entries with moved ones back in the place that their seal says, so that the chain can be followed."""
    result = {number: entry for number, entry in known.items() if number not in reordered}
    loose = [entry for number, entry in sorted(known.items()) if number in reordered]
    free = sorted(number for number in known if number in reordered)
    for entry in sorted(loose, key=lambda entry: _find_sealed_number(entry, registered) is None):
        home = _find_sealed_number(entry, registered)
        number = home if home in free else free[0]
        free.remove(number)
        result[number] = replace(entry, number=number)
    return dict(sorted(result.items()))


def _find_changed(known: Mapping[int, Entry], registered: Registered) -> list[Finding]:
    broken = _find_broken_seals(known, registered)
    findings = []
    for number, entry in known.items():
        if number in broken:
            findings.append(Finding("entry_changed", f"v{number} differs from its seal in the registry", number))
        elif entry.metadata.get("entry") != entry.content:
            findings.append(Finding("entry_changed", f"v{number} and its version's metadata differ", number))
    return findings


def _find_missing(known: Mapping[int, Entry], registered: Registered, accounted: set[int | None]) -> list[Finding]:
    last = max((number for number in (*known, *accounted) if number is not None), default=-1)
    sealed = {seal.number for seal in registered.seals if seal.number > last}
    # Anyone who can set an alias can name any number, so an impossibly large gap is not listed entry by entry.
    beyond = range(last + 1, max(sealed, default=last) + 1)
    numbers = beyond if len(beyond) <= MAX_GAP else sorted(sealed)
    findings = []
    for number in [*range(last), *numbers]:
        if number in known or number in accounted:
            continue
        if number < last:
            findings.append(Finding("entry_missing", f"v{number} is missing, but v{last} exists", number))
        else:
            findings.append(Finding("ledger_cut_off", f"v{number} is missing, but the registry has its seal", number))
    return findings


# --- the chain -------------------------------------------------------------------------------------------------------


def _walk(
    known: Mapping[int, Entry], registered: Registered, wrong_by_seal: list[Finding]
) -> tuple[list[Entry], list[Finding]]:
    """
    Follow the hashes from entry to entry, past known errors, and mark void entries.

    An entry follows the last valid one; or an earlier one, and then it is void; or one that does not exist (any more).
    A missing or changed entry before it explains the last case. If nothing explains it, the previous entry was changed,
    unless that one is sealed: then this one was forged.
    """

    wrong = {finding.entry for finding in wrong_by_seal if finding.entry is not None}
    last_sealed = max((seal.number for seal in registered.seals), default=-1)
    followed = {entry.content["previous"] for entry in known.values()}
    order: list[Entry] = []
    findings: list[Finding] = []
    seen: set[str | None] = {None}
    last: str | None = None
    before: Entry | None = None
    for entry in known.values():
        previous = entry.content["previous"]
        follows = previous == last
        if not follows and previous not in seen:
            finding = None
            if not any(number < entry.number for number in wrong):
                finding = _explain_gap(entry, before, registered)
                findings.append(finding)
            follows = finding is None or finding.name == "entry_changed"
            seen.add(previous)
        # An entry that was skipped silently had lost a race. A sealed entry took effect, whatever it follows: promote
        # continues after a loss.
        sealed = _list_sealed(entry.number, registered)
        passed_by = not sealed and entry.sha256 not in followed and entry.number < last_sealed
        follows = entry.sha256[:12] in sealed or (follows and not passed_by)
        order.append(replace(entry, void=not follows))
        seen.add(entry.sha256)
        if follows:
            last, before = entry.sha256, entry
    return order, findings


def _explain_gap(entry: Entry, before: Entry | None, registered: Registered) -> Finding:
    """Return what is wrong if an entry follows one that does not exist. before: the valid entry before it."""
    if before is None or _list_sealed(before.number, registered):
        return Finding("entry_orphaned", f"v{entry.number} follows no entry of this ledger", entry.number)
    message = f"v{before.number} is not the entry that v{entry.number} followed"
    return Finding("entry_changed", message, before.number)


def _mark_effects(order: list[Entry], registered: Registered) -> list[Entry]:
    """
    Return the entries with `applied` set by the seals, or else by the next entry, or else by what is in production.

    The last one also took effect if its version was deleted, and its seal with it.
    """
    order = mark_effects(order, registered.production)
    valid = [entry for entry in order if not entry.void]
    applied = {entry.number for entry in valid if _list_sealed(entry.number, registered)}
    for entry, after in zip_longest(valid, valid[1:]):
        follows = after.content["previous"] == entry.sha256 if after else True
        if follows and (entry.applied or (after is None and _has_outlived(entry, registered))):
            applied.add(entry.number)
    return [replace(entry, applied=entry.number in applied) for entry in order]


def _has_outlived(last: Entry, registered: Registered) -> bool:
    if last.content["to"]["name"] in registered.versions:
        return False
    promoters = registered.promoters
    by_promoter = promoters is None or registered.writers.get(last.number) in promoters
    return has_outlived(last, registered.production, by_promoter=by_promoter)


# --- against the registry --------------------------------------------------------------------------------------------


def _find_unsealed(order: list[Entry], registered: Registered, wrong: set[int | None]) -> list[Finding]:
    """Yield entries that say they were applied, but whose promoted version does not have their seal."""
    seals = {(seal.number, seal.version) for seal in registered.seals}
    return [
        Finding(
            "entry_not_sealed",
            f"v{entry.number} says that {entry.content['to']['name']} was promoted, but that version has no seal of it",
            entry.number,
        )
        for entry in order
        if entry.applied
        and entry.number not in wrong
        and entry.content["to"]["name"] in registered.versions
        and (entry.number, entry.content["to"]["name"]) not in seals
    ]


def _find_outside_moves(order: list[Entry], registered: Registered, wrong: set[int | None]) -> list[Finding]:
    """Yield moves of the alias between two entries that neither of them records."""
    valid = [entry for entry in order if not entry.void]
    findings = []
    for before, after in pairwise(valid):
        adjoining = after.content["previous"] == before.sha256
        left = before.content["to" if before.applied else "from"]
        if adjoining and not {before.number, after.number} & wrong and after.content["from"] != left:
            findings.append(
                Finding(
                    "moved_outside",
                    f"v{before.number} left {_name(left)} in production, but before v{after.number} "
                    f"{_name(after.content['from'])} was: its alias was moved outside the gate, or it was deleted",
                    after.number,
                )
            )
    return findings


def _find_gone(order: list[Entry], registered: Registered) -> list[Finding]:
    """
    Yield versions that were promoted, used to judge, or approved, and are gone or replaced under the same name.

    W&B reuses the numbers of a deleted collection, so a name alone proves nothing.
    """
    findings = []
    for entry in order:
        for kind, key in (("version", "to"), ("dataset", "dataset"), ("evidence", "evidence")):
            name, digest = entry.content[key]["name"], entry.content[key]["digest"]
            if not entry.applied or (now := registered.digests.get(name, digest)) == digest:
                continue
            if now is None:
                message = f"v{entry.number}: {name} was deleted, unlinked or renamed"
                findings.append(Finding(f"{kind}_gone", message, entry.number))
            else:
                message = f"v{entry.number}: {name} has the digest {now}, but had {digest}: its name was reused"
                findings.append(Finding(f"{kind}_replaced", message, entry.number))
    return findings


def _find_changed_bytes(order: list[Entry], registered: Registered) -> list[Finding]:
    """Yield files that are not, byte for byte, those that were promoted. Another version under the same name has other
    files.
    """
    findings = []
    for entry in order:
        if not entry.applied:
            continue
        content = entry.content
        hashes = content.get("sha256") or {}
        recorded = f"recorded {content.get('sha256_recorded', 'at promotion')}" if hashes else "recorded later"
        for kind, version, judged in (
            ("model", content["to"], hashes.get("model")),
            ("rows", content["dataset"], hashes.get("eval_rows")),
            ("evidence", content["evidence"], content["evidence"].get("sha256")),
        ):
            name, now = version["name"], registered.sha256.get(version["name"])
            if now is None or now == judged or (judged is None and _SHA256.fullmatch(now)):
                continue
            if registered.digests.get(name, version["digest"]) != version["digest"]:
                continue
            message = f"v{entry.number}: the file of {name} is {now}, but {judged or 'its SHA-256'} was {recorded}"
            findings.append(Finding(f"{kind}_bytes_changed", message, entry.number))
    return findings


def _find_wrong_writers(order: list[Entry], registered: Registered) -> list[Finding]:
    """Yield entries written by another account than they say, or by one that may not promote."""
    findings = []
    for entry in order:
        if entry.void or entry.number not in registered.writers:
            continue
        writer, account = registered.writers[entry.number], entry.content.get("account")
        by = f"by {writer}" if writer else "by no account that W&B knows, or in the run of another entry"
        if account is not None and writer != account:
            message = f"v{entry.number} says that {account} wrote it, but it was logged {by}"
            findings.append(Finding("entry_of_other_account", message, entry.number))
        elif registered.promoters is not None and writer not in registered.promoters:
            message = f"v{entry.number} was logged {by}, who is not an admin of the registry"
            findings.append(Finding("entry_of_other_account", message, entry.number))
    return findings


def _find_other_registries(order: list[Entry], registered: Registered) -> list[Finding]:
    """Yield entries that promote in a registry other than the use case's."""
    registries = {entry.number: get_registry(entry) for entry in order if not entry.void}
    own = registered.registry or next(iter(registries.values()), None)
    return [
        Finding("other_registry", f"v{number} promotes in {registry}, but the use case's registry is {own}", number)
        for number, registry in registries.items()
        if registry != own
    ]


def _name(version: Mapping[str, str] | None) -> str:
    return version["name"] if version else "nothing"


def _find_wrong_production(order: list[Entry], registered: Registered) -> list[Finding]:
    """Compare what is in production with the last entry, or with the last seal if its entry is gone or was changed."""
    head = next((entry for entry in reversed(order) if not entry.void), None)
    seal = max(registered.seals, key=lambda seal: seal.number, default=None)
    findings = []
    allowed: set[str | None] = {None}
    if seal is not None and (head is None or seal.number >= head.number):
        allowed = {seal.version}
    elif head is not None:
        allowed = {head.content["to"]["name"]}
        if not head.applied:
            allowed.add(head.content["from"] and head.content["from"]["name"])
    if head is not None and not head.applied and (seal is None or seal.number < head.number):
        message = f"v{head.number} promotes {head.content['to']['name']} and was not finished"
        findings.append(Finding("promotion_unfinished", message, head.number))
    if registered.production in allowed:
        return findings
    if registered.production is None:
        names = ", ".join(sorted(name for name in allowed if name))
        return [*findings, Finding("production_gone", f"{names} should be production, but no version is")]
    numbers = [entry.number for entry in order if entry.content["to"]["name"] == registered.production]
    by = f"which v{numbers[-1]} named, but the ledger no longer does" if numbers else "which the ledger does not name"
    return [*findings, Finding("moved_outside", f"production is {registered.production}, {by}")]
