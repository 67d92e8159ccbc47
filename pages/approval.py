"""
Show the approval in the browser: the verdict, the button, and the report of what waits.

Who presses it has to be an admin of the registry, signed in on this machine. The form is one that this session was
shown, and names the evidence that was on the page: if another candidate waits by then, nothing happens. What follows
is what `make approve` does; see promotion_process.py.
"""

from __future__ import annotations

import getpass
import os
import re
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from starlette.responses import Response

from modelgate.gate import metrics, wording
from modelgate.promotion.approval import approver as names
from modelgate.promotion.evidence import Evidence
from modelgate.text import explain_move, update_port
from modelgate.tracking.client import PRODUCTION
from modelgate_server.errors import Forbidden, Invalid, ServerError
from modelgate_server.store import accounts, projects
from modelgate_server.web import markdown
from modelgate_server.web.access import Form, Visit, redirect
from modelgate_server.web.login import THIS_MACHINE
from modelgate_server.web.urls import build_picture_url
from pages import mistakes, records, shown, waiting
from pages.promotion_process import PromotionProcess
from pages.records import Version
from pages.waiting import Answer, Waiting

URL = "/-/approval"
_ADDRESS = r"https?://[A-Za-z0-9.:_~%/-]{1,500}"
WARNING_WITH_ADDRESS = re.compile(rf"(.*:) ({_ADDRESS})", re.DOTALL)
CELL_WITH_ADDRESS = re.compile(rf"(?<=\| )({_ADDRESS})(?= \|)")


@dataclass(frozen=True)
class Compared:
    """A metric of the candidate and of production."""

    label: str
    ours: str
    theirs: str
    change: str
    counts: bool  # whether the gate compares by it


@dataclass(frozen=True)
class Case:
    """What waits, with all that a person needs to decide. refusal: why this session may not approve it."""

    waits: Waiting
    evaluation: Version | None
    evidence: Evidence | None
    version: Version | None
    production: Version | None
    refusal: str


def may_see(visit: Visit, record: Waiting | Answer) -> bool:
    """Return whether this user may read about an evaluation: by its record on this server, or with the machine's own
    key.
    """
    if visit.user.username == accounts.LOCAL_USER:
        return True
    elsewhere = isinstance(record, Waiting) and record.host is not None
    return not elsewhere and records.find_collection(visit, record.evidence.partition(":")[0]) is not None


def get_url(use_case: str) -> str:
    """Where what waits of a use case is approved."""
    return f"{URL}?{urlencode({'use_case': use_case})}"


def show(promotion: PromotionProcess, visit: Visit) -> Response:
    """GET /-/approval, with `use_case` if several wait"""
    return _render(promotion, visit, visit.read_query("use_case"))


def receive(promotion: PromotionProcess, visit: Visit, fields: Form) -> Response:
    """POST /-/approval: `evidence`, and `approver` if the session's account is no one's name. Twice is once."""
    evidence = fields.get("evidence", "")
    state, progress = waiting.read(promotion.folder), promotion.read_progress()
    done = [name for name, known in state.answers.items() if known.evidence == evidence and not known.refused]
    if done:
        return redirect(get_url(done[0]))
    waits = next((item for item in state.waiting.values() if item.evidence == evidence), None)
    under_way = progress.evidence if progress and progress.code is None else ""
    if waits is None or under_way:
        if under_way == evidence:
            return redirect(get_url(waits.use_case) if waits else URL)
        message = "The version that you read about no longer waits. Read the report of the one that waits now"
        if under_way:
            message = "Another version is being promoted. When that has ended, press the button again"
        elif not state.waiting:
            message = "Nothing waits for an approval any more"
        return _render(promotion, visit, waits.use_case if waits else "", 409, message)
    try:
        case = _build_case(visit, waits)
        if case.refusal:
            raise Forbidden(case.refusal)
        approver = _find_approver(visit, fields)
    except ServerError as error:
        return _render(promotion, visit, waits.use_case, error.status, str(error))
    promotion.start(waits.use_case, evidence, approver)
    return redirect(get_url(waits.use_case))


def _render(promotion: PromotionProcess, visit: Visit, use_case: str, status: int = 200, message: str = "") -> Response:
    """The page of this use case; without one, of the first that waits, else of the one that ran last."""
    # In this order: a promotion that ends in between has changed the state by then.
    progress = promotion.read_progress()
    state = waiting.read(promotion.folder)
    use_case = use_case or next(iter(state.waiting), state.last)
    waits, answer = state.waiting.get(use_case), state.answers.get(use_case)
    record = waits or answer
    visible = record is None or may_see(visit, record)
    if not visible or (progress and progress.code is not None and record and record.evidence != progress.evidence):
        progress = None  # of another candidate than the page is about, or not for this reader
    case = _build_case(visit, waits) if waits and visible else None
    new, count = mistakes.list_new(visit, case.evaluation) if case and case.evaluation else ([], 0)
    answer = answer if visible else None
    others = [item for item in state.waiting.values() if item != waits and may_see(visit, item)]
    return shown.render(
        visit,
        "approval.html",
        status,
        message=message,
        use_case=use_case,
        others=[(item, get_url(item.use_case)) for item in others],
        hidden=waits is not None and not visible,
        case=case,
        report=_read_report(visit, case.evaluation) if case and case.evaluation else None,
        warnings=_list_warnings(visit, case.evidence) if case and case.evidence else [],
        compared=_list_compared(case.evidence) if case and case.evidence else [],
        mistakes=new,
        mistake_count=count,
        progress=progress,
        answer=answer,
        promoted=records.find_version(visit, answer.version) if answer else None,
        names_itself=visit.user.username == accounts.LOCAL_USER,
        person=_name_person(visit),
    )


def _build_case(visit: Visit, waits: Waiting) -> Case:
    evaluation = records.find_version(visit, waits.evidence) if waits.host is None else None
    evidence = records.read_evidence(visit, evaluation) if evaluation else None
    version = records.find_version(visit, evidence.version.name) if evidence else None
    before = records.find_version(visit, evidence.production.name) if evidence and evidence.production else None
    return Case(waits, evaluation, evidence, version, before, _find_refusal(visit, waits, evidence, version))


def _find_refusal(visit: Visit, waits: Waiting, evidence: Evidence | None, version: Version | None) -> str:
    """Return why this session may not approve it; empty if it may."""
    if waits.host is not None:
        command = f"make approve USE_CASE={waits.use_case}"
        return f"it was evaluated in the W&B at {waits.host}, so approve it from a terminal: {command}"
    if evidence is None:
        command = f"make run USE_CASE={waits.use_case}"
        return f"its evaluation cannot be read by {visit.user.username}; if it is gone, evaluate again: {command}"
    if version is None:
        return f"{evidence.version.name} is gone, or you may not see it"
    now, compared = _find_production(visit, version), evidence.production.name if evidence.production else None
    if now not in (compared, version.name):  # the version itself: its promotion was interrupted, and can be completed
        command = waits.again or f"make run USE_CASE={waits.use_case}"
        return f"{explain_move(compared, now)}; evaluate it again: {command}"
    project = projects.get_project(visit.db, version.collection.project_id)
    if projects.find_role(visit.db, visit.user, project) != "admin":
        return f'only an admin of "{project.name}" may approve, and {visit.user.username} is not one'
    client = visit.request.client
    if visit.request.url.hostname not in THIS_MACHINE or client is None or client.host not in THIS_MACHINE:
        return "the button works only on the server's own machine, at the address 127.0.0.1"
    return ""


def _find_production(visit: Visit, version: Version) -> str | None:
    """Return the name of the version that is in production where this one is registered."""
    holder = records.find_version(visit, f"{version.name.rpartition(':')[0]}:{PRODUCTION}")
    return holder.name if holder else None


def _find_approver(visit: Visit, fields: Form) -> str:
    """
    Return whom the ledger will name: the account of the session. The account `local` belongs to this machine, not to a
    person, so the page asks for a name, as on a terminal.
    """
    name = visit.user.username
    if name == accounts.LOCAL_USER:
        name = fields.get("approver", "").replace("\u200c", " ").strip()
    if not names.is_name(name):
        raise Invalid(
            f"{name[:100]!r} is not a person's name, login or e-mail address: use a name that your colleagues know"
        )
    return name


def _name_person(visit: Visit) -> str:
    """Return the suggested name for the ledger: the account, or the user of this machine."""
    if visit.user.username != accounts.LOCAL_USER:
        return visit.user.username
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a uid without a name, as in a container
        return f"uid {os.getuid()}"


def _read_report(visit: Visit, evaluation: Version) -> str | None:
    """The report as HTML, escaped by the parser; its pictures are files of the evaluation."""
    text = records.report(visit, evaluation)
    if text is None:
        return None
    text = CELL_WITH_ADDRESS.sub(r"<\1>", _update_links(visit, text))  # the parser makes a link of it
    return markdown.render(text[: markdown.MAX_CHARS], partial(build_picture_url, evaluation.below))


def _list_warnings(visit: Visit, evidence: Evidence) -> list[tuple[str, str]]:
    """Return each warning as its text and the address at its end, which is empty if there is none."""
    return [_split_address(_update_links(visit, line)) for line in evidence.warnings]


def _split_address(line: str) -> tuple[str, str]:
    known = WARNING_WITH_ADDRESS.fullmatch(line)
    return (known[1], known[2]) if known else (line, "")


def _update_links(visit: Visit, text: str) -> str:
    return update_port(text, visit.request.scope["server"][1])


def _list_compared(evidence: Evidence) -> list[Compared]:
    """Return what was measured of both; what the gate compares by comes first."""
    ours, theirs = evidence.metrics.candidate, evidence.metrics.production
    rows = [(name, getattr(ours, name), getattr(theirs, name, None)) for name in wording.LABELS]
    rows += [(name, value, theirs.other.get(name) if theirs else None) for name, value in ours.other.items()]
    rows = [row for row in rows if row[1] is not None or row[2] is not None]
    rows.sort(key=lambda row: row[0] != evidence.metric)
    return [_build_row(name, mine, other, name == evidence.metric) for name, mine, other in rows]


def _build_row(name: str, ours: float | None, theirs: float | None, counts: bool) -> Compared:
    label = wording.LABELS.get(name) or metrics.get_title(name)
    if name != "size_bytes":
        return Compared(
            label, wording.format_number(ours), wording.format_number(theirs), wording.change(ours, theirs), counts
        )
    change = "-" if ours is None or theirs is None else f"{ours - theirs:+,}"
    return Compared(label, _format_size(ours), _format_size(theirs), change, counts)


def _format_size(size: float | None) -> str:
    return "-" if size is None else f"{size:,}"
