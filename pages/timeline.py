"""Show a ledger as a timeline: each entry in words, and the findings of `audit --verify` about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import Response

from modelgate import config
from modelgate.commit import get_sha, is_dirty
from modelgate.promotion import ledger
from modelgate.promotion.audit_page import HOW
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Finding
from modelgate.text import shorten_name
from modelgate_server.errors import NotFound
from modelgate_server.web.access import Visit
from modelgate_server.web.urls import keep_local_path
from pages import production, records, shown

# The title of each finding; its message has the details.
TITLES = {
    "entry_unreadable": "An entry cannot be read",
    "entry_reordered": "Entries are in the wrong order",
    "entry_changed": "An entry was changed after it was written",
    "entry_missing": "An entry is missing",
    "ledger_cut_off": "The end of the ledger is missing",
    "entry_orphaned": "An entry does not follow any entry",
    "entry_not_sealed": "An entry has no seal in the registry",
    "moved_outside": "Production was moved outside the gate",
    "production_gone": "Nothing is in production any more",
    "promotion_unfinished": "A promotion was interrupted",
    "entry_of_other_account": "An entry was written by another account",
    "other_registry": "An entry is for another registry",
}
ENTRIES_A_PAGE = 20
STATES = {
    "applied": "applied",
    "unfinished": "interrupted before the alias moved",
    "void": "void: another promotion came first",
    "unreadable": "unreadable",
}


@dataclass(frozen=True)
class Link:
    """A version that an entry names; without an address if it is gone, or if this user may not see it."""

    text: str
    url: str = ""


@dataclass(frozen=True)
class Step:
    """An entry for people. before: None for the first promotion. metric: its name and value, as it was judged."""

    number: int
    state: str
    time: str = ""
    before: Link | None = None
    to: Link | None = None
    evidence: Link | None = None
    approver: str = ""
    how: str = ""
    approval_url: str = ""
    comment: str = ""
    reason: str = ""
    is_rollback: bool = False
    headline: str = ""
    metric: tuple[str, str] | None = None
    run: str = ""
    commit: str = ""
    is_committed: bool = True
    findings: tuple[str, ...] = ()


def show(visit: Visit) -> Response:
    """GET /-/ledger/{use_case}"""
    name = visit.read_path("use_case")
    if name not in config.list_names():
        raise NotFound(f'there is no use case "{name}" in this repository')
    use_case = production.read_use_case(visit, name)
    entries = use_case.entries[::-1]
    first = (visit.page - 1) * ENTRIES_A_PAGE
    return shown.render(
        visit,
        "timeline.html",
        use_case=use_case,
        states=STATES,
        steps=[_build_step(visit, entry, use_case.findings) for entry in entries[first : first + ENTRIES_A_PAGE]],
        count=len(entries),
        first=first,
        page=visit.page,
        page_size=ENTRIES_A_PAGE,
        findings=[(get_title(finding), finding) for finding in use_case.findings],
    )


def get_title(finding: Finding) -> str:
    return TITLES.get(finding.name, finding.name.replace("_", " ").capitalize())


def _build_step(visit: Visit, entry: Entry, findings: Sequence[Finding]) -> Step:
    titles = tuple(get_title(finding) for finding in findings if finding.entry == entry.number)
    content, commit = entry.content, _format(entry.content.get("commit"))
    if not ledger.is_readable(content):
        return Step(entry.number, "unreadable", findings=titles)
    evaluation, name = records.find_named(visit, content["evidence"]), shorten_name(content["evidence"]["name"])
    evidence = records.read_evidence(visit, evaluation) if evaluation else None
    return Step(
        number=entry.number,
        state=entry.state,
        time=content["time"],
        before=_link(visit, content["from"]["name"]) if content["from"] else None,
        to=_link(visit, content["to"]["name"]),
        evidence=Link(evaluation.short, evaluation.url) if evaluation else Link(name),
        approver=content["approver"],
        how=HOW.get(_format(content.get("approval")), ""),
        approval_url=_keep_web_url(content.get("approval_url")),
        comment=_format(content.get("comment")),
        reason=content["reason"],
        is_rollback=production.is_rollback(content),
        headline=evidence.headline if evidence else "",
        metric=production.find_metric(evidence) if evidence else None,
        run=keep_local_path(urlsplit(_keep_web_url(content.get("run_url"))).path or "/"),
        commit=get_sha(commit)[:12],
        is_committed=not is_dirty(commit),
        findings=titles,
    )


def _link(visit: Visit, name: str) -> Link:
    known = records.find_version(visit, name)
    return Link(known.short, known.url) if known else Link(shorten_name(name))


def _keep_web_url(url: object) -> str:
    """Return an address of the web, which alone may become a link."""
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


def _format(value: object) -> str:
    return value if isinstance(value, str) else ""
