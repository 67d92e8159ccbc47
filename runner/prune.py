"""Delete the datasets and models that nothing refers to any more: the step prune lists them, and a person agrees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner import approval, executors, pipeline
from runner.errors import WrongUse
from runner.options import Options
from runner.pipeline import PRUNE
from runner.progress import say


def prune(options: Options, use_case: str, flags: pipeline.Flags) -> int:
    """List, ask, delete. Return 1 if the answer was no, or if something could not be deleted."""
    if not options.own and not options.folder.server_data.is_dir():
        say("Nothing has run here yet. To begin: make run")
        return 0
    with options.folder.lock("prune"), executors.open_quiet(options, quiet=False) as execute:

        def ask(**more: str) -> Mapping[str, Any]:
            return pipeline.parse_result(
                PRUNE, execute(PRUNE, pipeline.build_flags(PRUNE, use_case, {**flags, **more}, {}))
            )

        plan = ask()
        if not plan["versions"]:
            return 0
        if not options.yes:
            if not approval.is_on_terminal():
                raise WrongUse("prune deletes from W&B, and there is no terminal to ask on", "make prune ARGS=--yes")
            if not approval.confirm("Delete them?", options.stop):
                say("Nothing was deleted.")
                return 1
        deleted = ask(delete=plan["plan"])["deleted"]
        say(f"Deleted {len(deleted)} of {len(plan['versions'])} versions.")
        if not options.own:
            folder = options.folder.server_data
            say(f"To free their disk space: .venv/bin/python -m modelgate_server gc --data {folder}")
    return 0 if len(deleted) == len(plan["versions"]) else 1
