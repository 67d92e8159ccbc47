"""
Check whether a pull request touches its judge, by GitHub's comparison of its commit with main. judge.yml runs this.

Nothing of the pull request is checked out: this asks GitHub for the names of its files, and for a config.toml before
and after. So a pull request that edits its own workflows cannot change the answer. It asks about one commit, never
about the pull request, which can get other commits in the meantime. Needs only Python.

Exits 0 the judge is untouched, 1 it is touched or GitHub did not answer.
"""

from __future__ import annotations

import base64
import os
import sys
import urllib.error
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from api import ask
from touches_judge import find_reasons

MAX_FILES = 300  # GitHub does not list more of a comparison
MAX_SHOWN = 50


def main() -> int:
    sha = os.environ["SHA"]
    difference = ask("GET", f"compare/{os.environ['GITHUB_SHA']}...{sha}?per_page=1")  # GITHUB_SHA is main's commit
    before = difference["merge_base_commit"]["sha"]
    reasons = find_reasons(
        list_names(difference["files"]),
        os.environ["BASE"],
        lambda side, name: read_text(name, before if side == "before" else sha),
    )
    if len(difference["files"]) >= MAX_FILES:
        reasons.append(f"changes {MAX_FILES} files or more, and GitHub does not list the rest")
    title = "promote from main, after the merge" if reasons else "it may be promoted from its own workflow run"
    lines = [f"commit {sha}", title, "", *reasons[:MAX_SHOWN]]
    print("\n".join(lines))
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
        file.writelines(f"    {line}\n" for line in lines)  # as code: nothing in it is Markdown
    return 1 if reasons else 0


def list_names(files: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Every file that it changes or deletes; of one that it moves, both names."""
    for row in files:
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
