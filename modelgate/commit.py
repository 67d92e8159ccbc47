"""The git commit of the code that evaluated a version, marked if the files differed from it: what `--commit` takes."""

from __future__ import annotations

_DIRTY = "-dirty"


def mark_dirty(commit: str) -> str:
    """Return the commit with the mark of files that differ from it, once."""
    return commit if is_dirty(commit) else f"{commit}{_DIRTY}"


def is_dirty(commit: str) -> bool:
    """Return whether the files differed from the commit."""
    return commit.endswith(_DIRTY)


def get_sha(commit: str) -> str:
    """Return the commit without the mark."""
    return commit.removesuffix(_DIRTY)
