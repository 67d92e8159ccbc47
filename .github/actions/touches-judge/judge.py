"""
Create the check run `judge untouched` of a pull request from GitHub's list of its files. main's judge.yml runs this.

Nothing of the pull request is checked out: this asks GitHub for the names of its files, and for a config.toml before
and after. So a pull request that edits its own workflows cannot change the answer. Needs only Python.
"""

from __future__ import annotations

import base64
import os
import sys
import urllib.error
import urllib.parse
from collections.abc import Iterator

from api import ask, list_pulls, read_pages
from touches_judge import find_reasons

NAME = "judge untouched"
MAX_FILES = 3000  # GitHub does not list more of a pull request
MAX_SHOWN = 50


def main() -> int:
    sha = os.environ["SHA"]
    pull = next(list_pulls(os.environ["HEAD"], sha), None)
    if pull is None:
        print("there is no open pull request with this commit")
        return 0
    names = list(list_files(pull["number"]))
    before = ask("GET", f"compare/{pull['base']['sha']}...{sha}?per_page=1")["merge_base_commit"]["sha"]
    reasons = find_reasons(
        names, pull["base"]["ref"], lambda side, name: read_text(name, before if side == "before" else sha)
    )
    if len(names) >= MAX_FILES:
        reasons.append(f"changes {MAX_FILES} files or more, and GitHub does not list the rest")
    title = "promote from main, after the merge" if reasons else "it may be promoted from its own workflow run"
    lines = "\n".join(f"    {line}" for line in reasons[:MAX_SHOWN])  # as code: nothing in it is Markdown
    output = {"title": title, "summary": f"This pull request:\n\n{lines}" if reasons else "It changes only models."}
    check = {"name": NAME, "head_sha": sha, "status": "completed", "output": output}
    ask("POST", "check-runs", check | {"conclusion": "failure" if reasons else "success"})
    print(f"{NAME}: {title}")
    return 0


def list_files(number: int) -> Iterator[str]:
    """Every file that it changes or deletes; of one that it moves, both names."""
    for row in read_pages(f"pulls/{number}/files"):
        yield from filter(None, (row["filename"], row.get("previous_filename")))


def read_text(name: str, commit: str) -> str | None:
    """Return what is in a file of a commit; None if there is no such file."""
    try:
        answer = ask("GET", f"contents/{urllib.parse.quote(name)}?ref={commit}")
        return base64.b64decode(answer["content"]).decode()
    except (urllib.error.HTTPError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
