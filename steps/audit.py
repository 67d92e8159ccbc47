"""
Print the ledger: what was promoted, when, on what evidence, and who approved.

    python -m steps.audit --use-case mnist

Reads   the ledger (artifact <use_case>_promotions) and what the registry holds now.
Writes  nothing.
Exits   0 done, 2 wrong use, 3 W&B not reachable.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import usecases
from steps.common import ledger, record
from steps.common.cli import StepParser, emit, guarded, say
from steps.common.ledger import Entry


def state(entry: Entry) -> str:
    """What became of an entry."""
    if entry.void:
        return "void: another promotion came first"
    return "applied" if entry.applied else "unfinished: the alias has not moved"


def line(entry: Entry) -> str:
    """An entry for people."""
    content = entry.content
    before = content["from"]["name"] if content["from"] else "nothing"
    reason = f" ({content['reason']})" if content["reason"] else ""
    return (
        f"v{entry.number}  {content['time']}  {before} -> {content['to']['name']}  "
        f"approved by {content['approver']}{reason}  on {content['evidence']['name']}  {state(entry)}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = StepParser(__doc__ or "", argv).parse()
    api = record.connect()
    project = record.project_of(usecases.config(args.use_case))
    entries = ledger.read(api, f"{record.entity_of(api)}/{project}/{ledger.name_of(args.use_case)}")
    for entry in entries:
        say(line(entry))
    if not entries:
        say(f"nothing was promoted yet for {args.use_case}")
    answer = [
        {"version": entry.number, "sha256": entry.sha256, "state": state(entry).split(":")[0], **entry.content}
        for entry in entries
    ]
    emit({"entries": answer}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
