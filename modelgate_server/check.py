"""
Check that a data folder has everything that its rows refer to, and nothing else. The server may be running.

    python -m modelgate_server check --data DIR

Reads every byte of every blob. Exits 0 clean, 1 something is wrong (each finding says what to do), 2 wrong use.
Messages go to standard error, and a JSON object with the findings goes to standard output.
"""

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from modelgate_server.maintenance import (
    Progress,
    build_parser,
    compute_upload_window,
    format_amount,
    hold_folder,
    locate_database,
    print_result,
    say,
)
from modelgate_server.store import entries, manifests, memberships, references
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import open_snapshot, select_all

RESTORE = "stop the server and restore a backup: see docs/how-to/server.md"


@dataclass(frozen=True)
class Finding:
    """`kind` is missing, corrupt, extra, half-written, unknown, row or database; `todo` is for a person."""

    kind: str
    what: str
    todo: str


@dataclass
class Report:
    findings: list[Finding]
    versions: int = 0
    blobs: int = 0
    size: int = 0
    waiting: int = 0  # blobs of uploads in progress

    def add(self, kind: str, what: str, todo: str) -> None:
        self.findings.append(Finding(kind, what, todo))


def parse_args(argv: list[str]) -> argparse.Namespace:
    made = build_parser(
        "check",
        "Check that a data folder has everything that its rows refer to, undamaged, and nothing else. "
        "The server may be running.",
        "--data .modelgate/server",
    )
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    folder = parse_args(argv).data
    locate_database(folder)
    with hold_folder(folder, alone=False):
        report = check(folder)
    for finding in report.findings:
        say(f"{finding.kind}: {finding.what}\n  to do: {finding.todo}")
    say(
        f"{report.versions} versions, {report.blobs} blobs, {format_amount(report.size)}: "
        + (f"{len(report.findings)} findings" if report.findings else "clean")
    )
    print_result({"clean": not report.findings, **asdict(report)})
    return 1 if report.findings else 0


def check(folder: Path) -> Report:
    report = Report([])
    blobs = Blobs(folder / "blobs", make=False)
    # The rows come first: blobs that arrive afterwards are recent, and are not reported.
    with open_snapshot(locate_database(folder)) as db:
        if not _check_database(db, report):
            return report
        if not _check_texts(db, report):
            return report  # what follows reads these texts
        _check_versions(db, report)
        _check_references(db, report)
        needed = references.list_sizes(db)
        known = {md5 for (md5,) in db.execute("SELECT md5 FROM blobs WHERE durable")}
    broken = _check_files(blobs, needed, known, report)
    with open_snapshot(locate_database(folder)) as db:
        for md5, kind in sorted(broken.items()):
            path = blobs.locate(md5)
            todo = f'copy "blobs/{md5[:2]}/{md5}" of a backup to "{path}"'
            if kind == "corrupt":
                todo += ", or remove it and log the correct file again"
            report.add(kind, f"blob {md5}, {references.describe_owner(db, md5)}", todo)
    return report


def _check_database(db: sqlite3.Connection, report: Report) -> bool:
    """Report what SQLite itself finds; return False if nothing more can be read."""
    for (problem,) in db.execute("PRAGMA integrity_check(20)"):
        if problem != "ok":
            report.add("database", str(problem), RESTORE)
    if report.findings:
        return False
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        report.add("database", f"row {row} of {table} refers to a missing row of {parent}", RESTORE)
    return True


def _check_versions(db: sqlite3.Connection, report: Report) -> None:
    for artifact in select_all(db, Artifact, "WHERE state = 'COMMITTED' ORDER BY id"):
        report.versions += 1
        listed = entries.list_by_artifact(db, artifact.id)
        digest = manifests.compute_digest({entry.path: {"digest": entry.digest} for entry in listed})
        whole = (digest, len(listed), sum(entry.size for entry in listed))
        name = references.name_version(db, artifact.id)
        if whole != (artifact.digest, artifact.file_count, artifact.size):
            report.add("row", f"version {name} does not match its digest, number of files and size", RESTORE)
        if memberships.find(db, artifact.sequence_id, artifact.id) is None:
            report.add("row", f"version {name} is not in its own collection", RESTORE)


# The columns that are JSON, and those that are times.
DOCUMENTS = {
    "runs": ("config", "summary", "tags"),
    "artifacts": ("metadata", "pending_aliases"),
    "history": ("data",),
    "events": ("data",),
}
TIMES = {
    "runs": ("created_at", "heartbeat_at"),
    "artifacts": ("created_at", "updated_at"),
    "projects": ("created_at", "updated_at"),
    "collections": ("created_at", "updated_at"),
    "run_files": ("updated_at",),
    "users": ("created_at",),
    "sweeps": ("created_at", "updated_at"),
}


def _check_texts(db: sqlite3.Connection, report: Report) -> bool:
    """
    Check the texts: SQLite checks its own pages, not the content of a text, and a text with flipped bits is still a
    text.
    """
    before = len(report.findings)
    db.text_factory = bytes
    try:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in (str(name, "utf-8") for (name,) in names):
            for row, columns, values in _read_rows(db, table):
                for name, value in zip(columns, values, strict=True):
                    if not _is_right_text(table, name, value):
                        report.add("row", f"the text {name} of row {row} of {table} is damaged", RESTORE)
    finally:
        db.text_factory = str
    return len(report.findings) == before


def _read_rows(db: sqlite3.Connection, table: str) -> Iterator[tuple[str, list[str], tuple[Any, ...]]]:
    """Yield (name, columns, values) of each row of one of our tables."""
    columns = [str(row[1], "utf-8") for row in db.execute(f"PRAGMA table_info({table})")]
    keys = [str(row[1], "utf-8") for row in db.execute(f"PRAGMA table_info({table})") if row[5]]
    for values in db.execute(f"SELECT * FROM {table}"):  # noqa: S608  the table is in the schema
        named = dict(zip(columns, values, strict=True))
        yield "/".join(_format_value(named[key]) for key in keys), columns, values


def _format_value(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_right_text(table: str, name: str, value: Any) -> bool:
    if not isinstance(value, bytes):
        return True
    try:
        text = value.decode()
        if name in DOCUMENTS.get(table, ()):
            json.loads(text)
        if name in TIMES.get(table, ()):
            datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_references(db: sqlite3.Connection, report: Report) -> None:
    for artifact_id, path in references.list_dangling(db):
        what = f'file "{path}" of version {references.name_version(db, artifact_id)} is in a version that was deleted'
        report.add("missing", what, "log that version again and then this one, or delete this one")


def _check_files(blobs: Blobs, needed: dict[str, int | None], known: set[str], report: Report) -> dict[str, str]:
    """Check every file; return which needed blobs are missing or corrupt."""
    old = compute_upload_window(time.time())
    broken = dict.fromkeys(needed, "missing")
    present: set[str] = set()
    progress = Progress("checked", "blobs", len(needed))
    for file in blobs.walk():
        if file.md5 is None:
            report.add("unknown", f'"{file.path}" is not a file of the server', "move it out of the folder")
            continue
        present.add(file.md5)
        if file.md5 not in needed:
            if file.modified < old:
                what = f"nothing refers to blob {file.md5} ({format_amount(file.size)})"
                report.add("extra", what, "python -m modelgate_server gc")
            else:
                report.waiting += 1
        elif not _is_right(blobs, file.md5) or needed[file.md5] not in (None, file.size):
            broken[file.md5] = "corrupt"
        else:
            del broken[file.md5]
            report.blobs += 1
            report.size += file.size
            progress.add(file.size)
    for half in blobs.walk_arriving():
        if half.modified < old:
            todo = "python -m modelgate_server gc removes it, and so does the next start of the server"
            report.add("half-written", f'"{half.path}" ({format_amount(half.size)})', todo)
    for md5 in sorted(known - present - needed.keys()):
        report.add("row", f"blob {md5} is recorded but missing; nothing refers to it", "python -m modelgate_server gc")
    return broken


def _is_right(blobs: Blobs, md5: str) -> bool:
    try:
        return blobs.compute_md5(md5) == md5
    except OSError:  # a bad sector, or a file that this user may not read
        return False
