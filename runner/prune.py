"""Delete the datasets and models that nothing names any more: the step prune shows them, and a person says yes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner import approval, pipeline, places
from runner.errors import WrongUse
from runner.order import Order
from runner.pipeline import PRUNE
from runner.progress import say


def prune(order: Order, use_case: str, given: pipeline.Given) -> int:
    """Show, ask, delete; returns 1 if it was not wanted, or if not all of it could go."""
    if not order.own and not order.folder.server_data.is_dir():
        say("Nothing was run here yet. To begin: make run")
        return 0
    with order.folder.locked("prune"), places.asked(order, quiet=False) as execute:

        def ask(**more: str) -> Mapping[str, Any]:
            return pipeline.result_of(PRUNE, execute(PRUNE, pipeline.flags_of(PRUNE, use_case, {**given, **more}, {})))

        plan = ask()
        if not plan["versions"]:
            return 0
        if not order.yes:
            if not approval.on_terminal():
                raise WrongUse("prune deletes from W&B, and no terminal is there to ask", "make prune ARGS=--yes")
            if not approval.confirm("Delete them?", order.stop):
                say("Nothing was deleted.")
                return 1
        deleted = ask(delete=plan["plan"])["deleted"]
        say(f"Deleted {len(deleted)} of {len(plan['versions'])} versions.")
        if not order.own:
            folder = order.folder.server_data
            say(f"Their bytes are on the disk until: .venv/bin/python -m modelgate_server gc --data {folder}")
    return 0 if len(deleted) == len(plan["versions"]) else 1
