"""Define what a step raises when it cannot continue, and the exit codes."""

from __future__ import annotations

from typing import Any

DONE, NO, WRONG_USE, UNREACHABLE = 0, 1, 2, 3


class StepError(Exception):
    """
    A step cannot continue, and the person who called it can do something about it.

    name: the rule or cause, for machines and tests. message: what happened and why. hint: what to do next.
    """

    def __init__(self, name: str, message: str, hint: str = "", exit_code: int = NO) -> None:
        super().__init__(message)
        self.name = name
        self.hint = hint
        self.exit_code = exit_code

    def as_json(self) -> dict[str, Any]:
        return {"error": {"name": self.name, "message": str(self), "hint": self.hint}}
