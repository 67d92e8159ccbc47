"""Hold what a person asked the runner for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from runner import typed
from runner.folder import Folder
from runner.pipeline import Flags
from runner.processes import Stop


class Options(NamedTuple):
    """`environ` is the environment as it was inherited; with the user's own W&B, WANDB_BASE_URL is always set in it."""

    root: Path
    folder: Folder
    stop: Stop
    environ: Mapping[str, str]
    argv: tuple[str, ...] = ()  # the command and its flags, as they were typed
    use_case: str | None = None  # None: not given
    flags: Flags = {}  # noqa: RUF012
    approver: str | None = None
    in_browser: bool = False  # the approver pressed the button on the pages, under the report
    evidence: str | None = None  # the evidence that is approved; None: the one that waits
    own: bool = False  # the user's own W&B instead of the embedded server
    yes: bool = False  # answers the question before the first write to it
    docker: bool = False  # each step in its container

    @property
    def host(self) -> str | None:
        """Return the W&B to write to, if it is the user's own."""
        return self.environ["WANDB_BASE_URL"] if self.own else None

    def format_again(self, use_case: str | None) -> str:
        """The line that runs the same command again, for this use case."""
        return typed.format_again(self.argv, self.environ, use_case)

    @property
    def base_image(self) -> str | None:
        """Return the base of the images, if it is not the one in their Dockerfiles."""
        return self.environ.get("BASE_IMAGE") or None
