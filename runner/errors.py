"""
Define what ends the runner early: one class per cause.

    RunnerError            message, hint and exit code; printed without a traceback
    +-- WrongUse           2  flags or configuration
    +-- Busy               2  another runner, or `serve`, uses this folder
    +-- NothingWaits       1  there is nothing to approve
    +-- StepFailed         the step's own exit code; StepExplained: nothing is printed in addition
    +-- ServerFailed       3  the embedded server does not start or answer
    +-- EngineUnusable     3  there is no usable container engine
    +-- BuildFailed        1  an image could not be built
    Interrupted            130  a person or the system asked the runner to end
"""

from __future__ import annotations

from collections.abc import Mapping


def format_hint(hint: str) -> str:
    """Return the line that follows a message; empty if there is no hint."""
    return f"\nhint: {hint}" if hint else ""


class RunnerError(Exception):
    """What happened and why (`message`), what to do next (`hint`)."""

    code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def describe(self) -> str:
        """Return the lines for people."""
        return f"error: {self.message}{format_hint(self.hint)}"


class WrongUse(RunnerError):
    """Flags or configuration that make no sense."""


class Busy(RunnerError):
    """Another process is using the same `.modelgate/`."""


class ServerFailed(RunnerError):
    """The embedded server did not start, or did not restart."""

    code = 3


class EngineUnusable(RunnerError):
    """The container engine is missing, not permitted, or of a kind that cannot work."""

    code = 3


class BuildFailed(RunnerError):
    """An image could not be built."""

    code = 1


class PackagesMissing(RunnerError):
    """The packages that a use case needs could not be installed."""

    code = 1


class NothingWaits(RunnerError):
    """There is nothing to approve."""

    code = 1


class StepFailed(RunnerError):
    """A step ended without doing its work. `error` is what the step reported: {name, message, hint}, or nothing."""

    def __init__(self, message: str, hint: str, *, code: int, error: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint)
        self.code = code
        self.error = error or {}


class StepExplained(StepFailed):
    """A step ended without doing its work, and its own message says all that there is to say."""


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived. The text, if any, says how to continue."""
