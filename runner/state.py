"""
What the runner knows of each use case between two invocations, as `.modelgate/state.json` keeps it.

    {"last": "letters", "use_cases": {"letters": {"run": {}, "pending": {}, "answer": {}, "production": {}}}}

run: the last one, and how far it came. pending: what waits for an approval, until it is promoted, refused by promote,
or replaced by another version that passes. answer: how the last approval ended.
production: what was seen there, in which W&B, and when. What did not happen yet is missing, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from modelgate.text import explain_move

Known = Mapping[str, Any]


class State(NamedTuple):
    """last: the use case that ran last."""

    last: str | None = None
    use_cases: Mapping[str, Known] = {}

    def get_known(self, use_case: str | None) -> Known:
        """What is known of this use case; empty if nothing is."""
        return self.use_cases.get(use_case or "", {})

    def list_pending(self) -> list[Known]:
        """Everything that waits for an approval, at most one of each use case."""
        return [known["pending"] for _, known in sorted(self.use_cases.items()) if known.get("pending")]

    def list_made(self) -> list[str]:
        """The use cases of which something was made here; not one whose rows were not available."""
        return sorted(name for name, known in self.use_cases.items() if _was_made(known))

    def apply_changes(self, use_case: str, changes: Known) -> State:
        """The state after these changes; with `run`, the use case is the one that ran last."""
        known = {**self.get_known(use_case), **changes}
        return State(use_case if "run" in changes else self.last, {**self.use_cases, use_case: known})


def describe_end(run: Known) -> tuple[str, str]:
    """Return how a run ended that has no verdict, and what to type; that is empty if the same line cannot succeed."""
    again = run.get("again", f"make run USE_CASE={run['use_case']}")  # an older release kept no line
    if run.get("error"):
        return f"stopped at {run['stopped_at']}: {run['error']}", f"to try again: {again}" if again else ""
    reached = f"after {run['reached']}" if run["reached"] else "before the first step finished"
    return f"was interrupted {reached}", f"to continue: {again}"


def keep_pending(pending: Known | None, version: str, production: str | None) -> Known | None:
    """
    Return what still waits after another evaluation that did not pass. version: what was evaluated. production: what it
    was compared with.
    """
    return pending if pending and pending["version"] not in (version, production) else None


def find_obstacle(pending: Known, production: str | None) -> str:
    """Return why what waits can no longer be promoted if this is in production now; empty if it can."""
    compared = pending.get("production")
    if production == compared:
        return ""
    return explain_move(compared, production)


def _was_made(known: Known) -> bool:
    return bool(known.get("production") or known.get("pending") or (known.get("run") or {}).get("reached"))


def parse(content: Any) -> State:
    """The state from the JSON of its file; also from the form of older versions, which kept only the last run."""
    if not isinstance(content, dict):
        return State()
    if "use_cases" in content:
        return State(content.get("last"), content["use_cases"])
    run, pending = content.get("run"), content.get("pending")
    use_cases: dict[str, dict[str, Any]] = {
        name: {"production": seen} for name, seen in (content.get("production") or {}).items()
    }
    if pending:
        use_cases.setdefault(pending["use_case"], {})["pending"] = pending
    if run:
        use_cases.setdefault(run["use_case"], {}).update(run=run, answer=content.get("answer"))
    return State(run["use_case"] if run else None, use_cases)
