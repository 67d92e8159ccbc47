"""
Check a rollback in a pull request: `usecases/<name>/rollback.toml` names the version to return to, and why.

    version = "v3"
    reason = "The labels of the last dataset were wrong."

The pipeline evaluates that version if a change touches the file (.github/actions/find-use-cases). The approval is for
what the file says in the merged commit, so this asks GitHub for it.
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from modelgate.errors import StepError
from modelgate.promotion.approval import api


def check(
    this_job: Mapping[str, Any], evidence: Mapping[str, Any], use_case: str, number: int, changed: Sequence[str]
) -> None:
    """Refuse unless the pull request asks for a return to the exact version that was evaluated."""
    file = f"usecases/{use_case}/rollback.toml"
    version = evidence.get("version")
    name = str(version.get("name")) if isinstance(version, dict) else ""
    if file not in changed or name.rpartition(":")[2] != _read_version(this_job, file):
        raise StepError(
            "rollback_by_merge",
            f"the evidence is for a rollback, but pull request #{number} does not ask for it",
            f"name the version in {file}, in a pull request; or roll back from your own machine",
        )


def _read_version(this_job: Mapping[str, Any], file: str) -> str | None:
    """Return the version that the file names in the commit of this workflow run."""
    path = f"repos/{this_job['repository']}/contents/{file}"
    content = api.require_field(path, api.get(f"{path}?ref={this_job['sha']}"), "content", str)
    try:
        version = tomllib.loads(base64.b64decode(content).decode()).get("version")
    except ValueError:  # not base64, not UTF-8, not TOML
        raise api.refuse_answer(path, "is not TOML") from None
    return version if isinstance(version, str) else None
