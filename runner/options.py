"""What a person asked the runner for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from runner.folder import Folder
from runner.pipeline import Given
from runner.processes import Stop

OWN_DEFAULT_HOST = "https://api.wandb.ai"


class Options(NamedTuple):
    """`environ` is the environment as it was inherited."""

    root: Path
    folder: Folder
    stop: Stop
    environ: Mapping[str, str]
    use_case: str | None = None  # None: not given
    given: Given = {}  # noqa: RUF012
    approver: str | None = None
    in_browser: bool = False  # the approver pressed the button on the pages, under the report
    evidence: str | None = None  # what the approval is of; None: whatever waits
    own: bool = False  # the person's own W&B instead of the embedded server
    yes: bool = False  # answers the question before the first write to it
    docker: bool = False  # each step in its container

    @property
    def host(self) -> str | None:
        """The W&B that is written to, if it is the person's own."""
        return (self.environ.get("WANDB_BASE_URL") or OWN_DEFAULT_HOST) if self.own else None

    @property
    def base_image(self) -> str | None:
        """What the images are built on, if not what their Dockerfiles say."""
        return self.environ.get("BASE_IMAGE") or None
