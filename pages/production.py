"""Find for each use case what is in production, according to the registry, and its promotion, according to the
ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from modelgate import config
from modelgate.errors import StepError
from modelgate.gate import metrics, wording
from modelgate.promotion import ledger, verify
from modelgate.promotion.evidence import Evidence
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Finding, Registered
from modelgate.tracking.client import PRODUCTION
from modelgate_server.store import accounts, projects
from modelgate_server.web.access import Visit
from pages import records
from pages.records import Version


@dataclass(frozen=True)
class UseCase:
    """
    entries: of its ledger, in order, marked void or applied by all that the registry says. findings: what does not
    agree. version: the holder of the alias `production`. entry: the promotion by which it is, None if the alias was
    moved by hand. evidence: what that promotion was approved on. problem: why its config cannot be read.
    """

    name: str
    entries: Sequence[Entry] = ()
    findings: Sequence[Finding] = ()
    version: Version | None = None
    entry: Entry | None = None
    evidence: Evidence | None = None
    problem: str = ""

    @property
    def url(self) -> str:
        return f"/-/ledger/{self.name}"

    @property
    def since(self) -> str:
        """When the alias moved, as the pages' times are written."""
        return format_iso(ledger.parse_time(self.entry.content["time"])) if self.entry else ""

    @property
    def is_rollback(self) -> bool:
        """Whether the version came back by a rollback."""
        return self.entry is not None and is_rollback(self.entry.content)

    @property
    def unfinished(self) -> Entry | None:
        """The promotion that was interrupted between its entry and the alias."""
        last = ledger.find_head(self.entries)
        return last if last and not last.applied else None

    @property
    def metric(self) -> tuple[str, str] | None:
        """The metric that the gate compares by, and its value as the evidence has it."""
        return find_metric(self.evidence) if self.evidence else None


def is_rollback(content: Mapping[str, Any]) -> bool:
    """Return whether an entry of a ledger, which is untrusted, is of a rollback."""
    policy = content.get("policy")
    return isinstance(policy, dict) and policy.get("name") == "rollback"


def format_iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def find_metric(evidence: Evidence) -> tuple[str, str]:
    value = metrics.get_value(vars(evidence.metrics.candidate), evidence.metric)
    return metrics.get_title(evidence.metric), wording.format_number(value)


def list_use_cases(visit: Visit) -> list[UseCase]:
    """Return all use cases of this repository."""
    return [read_use_case(visit, name) for name in config.list_names()]


def read_use_case(visit: Visit, name: str) -> UseCase:
    """Return a use case by the name of its folder."""
    try:
        settings = config.load(name)
    except StepError as error:
        return UseCase(name, problem=f"{error}; {error.hint}")
    own = records.has_project(visit, accounts.LOCAL_USER, f"{settings.project}{ledger.OWN_PROJECT}")
    written = records.read_entries(visit, ledger.list_names(accounts.LOCAL_USER, settings.project, name, has_own=own))
    readable = [entry for entry in written if ledger.is_readable(entry.content)]
    registry = _find_registry(settings.registry)
    collection = ledger.get_collection(written, registry, settings.collection)
    holder = records.find_version(visit, f"{collection}:{PRODUCTION}")
    known = _read_registered(visit, collection, holder) if readable else Registered()
    entries, findings = verify.verify(written, replace(known, registry=registry))
    last = next((entry for entry in reversed(entries) if entry.applied), None)
    entry = last if last and holder and last.content["to"]["name"] == holder.name else None
    evaluation = records.find_named(visit, entry.content["evidence"]) if entry else None
    return UseCase(
        name=name,
        entries=sorted(
            [*entries, *(entry for entry in written if entry not in readable)], key=lambda entry: entry.number
        ),
        findings=findings,
        version=holder,
        entry=entry,
        evidence=records.read_evidence(visit, evaluation) if evaluation else None,
    )


def _find_registry(name: str) -> str:
    """As `client.find_registry` names it: the organization's, or an older one, which is a project of the account."""
    owner = accounts.LOCAL_ORGANIZATION if name.startswith(projects.REGISTRY_PREFIX) else accounts.LOCAL_USER
    return f"{owner}/{name}"


def _read_registered(visit: Visit, collection: str, holder: Version | None) -> Registered:
    """What the registry holds now. Bytes and writers are not looked at: `audit --verify` does that."""
    versions = records.list_versions(visit, collection)
    seals = [seal for known in versions for seal in verify.parse_seals(records.list_aliases(visit, known), known.name)]
    return Registered(frozenset(known.name for known in versions), tuple(seals), holder.name if holder else None)
