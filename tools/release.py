"""
Print the text of a release: the changelog's section for a version, if the tag, the changelog and both packages agree.

    python3 -m tools.release v0.2.0

Run it at the root of a checkout. It needs only Python 3.11. Exits 0 done, 2 the tag does not match what is tagged.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PACKAGES = ("pyproject.toml", "modelgate_server/pyproject.toml")


class Disagreement(Exception):
    """What does not match, and what to do."""


def read_notes(tag: str, root: Path) -> str:
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise Disagreement(f"the tag {tag!r} is not a version", "use a tag like v0.2.0")
    version = tag.removeprefix("v")
    for package in PACKAGES:
        package_version = tomllib.loads((root / package).read_text(encoding="utf-8"))["project"]["version"]
        if package_version != version:
            raise Disagreement(
                f"{package} has version {package_version}, but the tag is {tag}", f'write version = "{version}"'
            )
    return find_section(version, (root / "CHANGELOG.md").read_text(encoding="utf-8"))


def find_section(version: str, changelog: str) -> str:
    """Return the lines below `## 0.2.0`, with or without a date after it, up to the next heading of that level."""
    match = re.search(rf"^## {re.escape(version)}(?: [^\n]*)?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not match or not match[1].strip():
        raise Disagreement(f"CHANGELOG.md has no section for {version}", f'rename "Unreleased" to "{version}"')
    return match[1].strip()


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print(read_notes(sys.argv[1], Path()))
    except Disagreement as problem:
        message, hint = problem.args
        print(f"error: {message}\nhint: {hint}", file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"error: {problem.filename} does not exist\nhint: run this at the root of a checkout", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
