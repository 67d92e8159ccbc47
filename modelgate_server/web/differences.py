"""Show what differs between two versions: files by their digests, rows of tables, metadata."""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import Invalid, NotFound
from modelgate_server.store import entries, memberships, projects
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.entries import Entry
from modelgate_server.web import filters, tables, versions
from modelgate_server.web.access import Visit
from modelgate_server.web.tables import Table
from modelgate_server.web.urls import build_picture_url
from modelgate_server.web.versions import Version

# Files that are listed; all are counted.
MAX_FILES = 200
# How many tables are compared row by row, how many rows of each are read, and how many are shown.
MAX_TABLES = 4
MAX_ROWS = 100_000
SHOWN_ROWS = 20


@dataclass
class Files:
    """Pairs of (before, after); one of them is missing for a file that was added or removed."""

    added: list[Entry] = field(default_factory=list)
    removed: list[Entry] = field(default_factory=list)
    changed: list[tuple[Entry, Entry]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, kept: list[Any], item: Any) -> None:
        self.counts[kind] += 1
        if len(kept) < MAX_FILES:
            kept.append(item)


@dataclass(frozen=True)
class Rows:
    """A table that changed: how many rows are only in one of the two, and the first of them; or why that is unknown."""

    path: str
    added: Table | None = None
    removed: Table | None = None
    reason: str = ""


def show(visit: Visit) -> Response:
    """GET .../diff?with=VERSION: the changes from that version to the one in the address."""
    after = versions.find(visit)
    before = _find_other(visit, after)
    may_read = projects.find_role(visit.db, visit.user, after.project) in projects.READERS
    files = compare_files(visit.db, before.artifact, after.artifact) if may_read else Files()
    return visit.show(
        "diff.html",
        before=before,
        after=after,
        others=[
            membership.version_index for membership in memberships.list_by_collection(visit.db, after.collection.id)
        ],
        files=files,
        tables=[_compare_rows(visit, before, after, *pair) for pair in files.changed if _is_table(pair[1])][
            :MAX_TABLES
        ],
        metadata=_compare_metadata(before.artifact, after.artifact),
        may_read=may_read,
    )


def _find_other(visit: Visit, after: Version) -> Version:
    wanted = visit.read_query("with")
    if not wanted:
        number = after.membership.version_index
        older = (
            membership
            for membership in memberships.list_by_collection(visit.db, after.collection.id)
            if membership.version_index < number
        )
        previous = next(older, None)
        if previous is None:
            raise NotFound(f'"{after.name}" is the oldest version: choose the version to compare it with (?with=v1)')
        wanted = f"v{previous.version_index}"
    return versions.find_version(visit, after.project, after.place, after.collection.name, wanted)


def compare_files(db: sqlite3.Connection, before: Artifact, after: Artifact) -> Files:
    """Compare the files of both versions. They are sorted by path, so one loop over the two lists is enough."""
    files = Files()
    old = entries.walk_changed(db, before.id, after.id)
    new = entries.walk_changed(db, after.id, before.id)
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.path < right.path):
            files.add("removed", files.removed, left)
            left = next(old, None)
        elif left is None or right.path < left.path:
            files.add("added", files.added, right)
            right = next(new, None)
        else:
            files.add("changed", files.changed, (left, right))
            left, right = next(old, None), next(new, None)
    files.counts["same"] = after.file_count - files.counts["added"] - files.counts["changed"]
    return files


def _is_table(entry: Entry) -> bool:
    return entry.path.endswith(tables.SUFFIX)


def _compare_rows(visit: Visit, before: Version, after: Version, left: Entry, right: Entry) -> Rows:
    sizes = [visit.blobs.get_size(entry.md5) if entry.md5 else None for entry in (left, right)]
    if None in sizes:
        return Rows(right.path, reason="The server does not have the bytes of one of the two.")
    if max(size or 0 for size in sizes) > tables.MAX_TABLE_BYTES:
        return Rows(right.path, reason="The tables are too large to be compared.")
    try:
        old, new = (
            tables.load_index(visit.blobs.locate(str(entry.md5)), visit.deadline.check) for entry in (left, right)
        )
    except Invalid as error:
        return Rows(right.path, reason=filters.make_sentence(str(error)))
    if max(len(old.starts), len(new.starts)) > MAX_ROWS:
        return Rows(right.path, reason=f"More than {MAX_ROWS:,} rows are not compared.")
    if old.columns != new.columns:
        return Rows(right.path, reason=f"The columns were {', '.join(old.columns)}; they are {', '.join(new.columns)}.")
    missing, fresh = tables.find_differing(old, new)
    return Rows(
        right.path,
        added=tables.select_rows(new, fresh, SHOWN_ROWS, partial(build_picture_url, after.below)),
        removed=tables.select_rows(old, missing, SHOWN_ROWS, partial(build_picture_url, before.below)),
    )


def _compare_metadata(before: Artifact, after: Artifact) -> list[tuple[str, Any, Any]]:
    old, new = (filters.flatten(filters.parse_object(artifact.metadata)) for artifact in (before, after))
    keys = sorted(old.keys() | new.keys())
    pairs = [(key, old.get(key), new.get(key)) for key in keys]
    return [(key, was, is_) for key, was, is_ in pairs if filters.format_value(was) != filters.format_value(is_)][
        : filters.MAX_FACTS
    ]
