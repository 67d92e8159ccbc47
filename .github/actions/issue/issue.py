"""
Keep the one issue of a model's audit: open if `audit --verify` found something, closed if it found nothing.

action.yml passes its inputs as variables. Needs only Python. Running it again changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from api import AUTHOR, ask, read_pages

LABEL = "model-audit"
MAX_FINDINGS = 50
MAX_MESSAGE = 500


def main() -> int:
    use_case = os.environ["USE_CASE"]
    result = json.loads((Path(os.environ["FOLDER"]) / "result.json").read_text(encoding="utf-8"))
    findings = result["findings"]
    issue = find(use_case)
    wanted = {
        "title": write_title(use_case),
        "body": write_body(use_case, findings),
        "state": "open" if findings else "closed",
    }
    if issue is None and not findings:
        print(f"the ledger of {use_case} and the registry agree, and there is no issue")
    elif issue is None:
        number = ask("POST", "issues", {"title": wanted["title"], "body": wanted["body"], "labels": [LABEL]})["number"]
        print(f"opened issue #{number}")
    elif findings or issue["state"] == "open":
        ask("PATCH", f"issues/{issue['number']}", wanted)
        print(f"issue #{issue['number']} is {wanted['state']}")
    return 0


def write_title(use_case: str) -> str:
    return f"Model audit ({use_case})"


def get_marker(use_case: str) -> str:
    """Return the line that tells the issue from any other of ours."""
    return f"<!-- modelgate audit {use_case} -->"


def write_body(use_case: str, findings: list[dict[str, Any]]) -> str:
    """Return what was found, as code: nothing in it is Markdown."""
    run = f"[workflow run]({os.environ['RUN_URL']})"
    if not findings:
        return f"{get_marker(use_case)}\n\nThe last audit found nothing ({run}).\n"
    lines = [" ".join(f"{each['name']}: {each['message']}"[:MAX_MESSAGE].split()) for each in findings[:MAX_FINDINGS]]
    more = f"\n\nand {len(findings) - MAX_FINDINGS} more" if len(findings) > MAX_FINDINGS else ""
    return "\n".join(
        [
            get_marker(use_case),
            "",
            f"`audit --verify` found entries that were changed or lost, or moves outside the gate ({run}).",
            "docs/reference/refusals.md explains each name.",
            "",
            *(f"    {line}" for line in lines),
            more,
        ]
    )


def find(use_case: str) -> dict[str, Any] | None:
    """Our issue of this model, open or closed; the newest if there are several."""
    for row in read_pages("issues", state="all", labels=LABEL):
        ours = (row["user"] or {}).get("login") == AUTHOR and "pull_request" not in row
        if ours and str(row["body"]).startswith(f"{get_marker(use_case)}\n"):
            return row
    return None


if __name__ == "__main__":
    sys.exit(main())
