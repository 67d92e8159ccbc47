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

from modelgate_server.maintenance import Progress, amount, database_of, holding, parser, result, say, upload_window
from modelgate_server.store import artifacts, manifests, references
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import every, snapshot

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
    made = parser(
        "check",
        "Check that a data folder has everything that its rows refer to, undamaged, and nothing else. "
        "The server may be running.",
        "--data .modelgate/server",
    )
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    folder = parse_args(argv).data
    database_of(folder)
    with holding(folder, alone=False):
        report = check(folder)
    for finding in report.findings:
        say(f"{finding.kind}: {finding.what}\n  to do: {finding.todo}")
    say(
        f"{report.versions} versions, {report.blobs} blobs, {amount(report.size)}: "
        + (f"{len(report.findings)} findings" if report.findings else "clean")
    )
    result({"clean": not report.findings, **asdict(report)})
    return 1 if report.findings else 0


def check(folder: Path) -> Report:
    report = Report([])
    blobs = Blobs(folder / "blobs", make=False)
    # The rows first: newer uploads are recent, and not looked for.
    with snapshot(database_of(folder)) as db:
        if not _database(db, report):
            return report
        if not _texts(db, report):
            return report  # what follows reads these texts
        _versions(db, report)
        _references(db, report)
        needed = references.sizes(db)
        known = {md5 for (md5,) in db.execute("SELECT md5 FROM blobs WHERE durable")}
    broken = _files(blobs, needed, known, report)
    with snapshot(database_of(folder)) as db:
        for md5, kind in sorted(broken.items()):
            path = blobs.path(md5)
            todo = f'copy "blobs/{md5[:2]}/{md5}" of a backup to "{path}"'
            if kind == "corrupt":
                todo += ", or remove it and log the correct file again"
            report.add(kind, f"blob {md5}, {references.owner(db, md5)}", todo)
    return report


def _database(db: sqlite3.Connection, report: Report) -> bool:
    """Report what SQLite itself finds; return False if nothing more can be read."""
    for (problem,) in db.execute("PRAGMA integrity_check(20)"):
        if problem != "ok":
            report.add("database", str(problem), RESTORE)
    if report.findings:
        return False
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check"):
        report.add("database", f"row {row} of {table} refers to a missing row of {parent}", RESTORE)
    return True


def _versions(db: sqlite3.Connection, report: Report) -> None:
    for found in every(db, Artifact, "WHERE state = 'COMMITTED' ORDER BY id"):
        report.versions += 1
        entries = artifacts.entries(db, found.id)
        digest = manifests.content_digest({entry.path: {"digest": entry.digest} for entry in entries})
        whole = (digest, len(entries), sum(entry.size for entry in entries))
        name = references.version_name(db, found.id)
        if whole != (found.digest, found.file_count, found.size):
            report.add("row", f"version {name} does not match its digest, number of files and size", RESTORE)
        if artifacts.membership(db, found.sequence_id, found.id) is None:
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


def _texts(db: sqlite3.Connection, report: Report) -> bool:
    """SQLite checks its own pages, not the content of a text: for SQLite, a text with flipped bits is still a text."""
    before = len(report.findings)
    db.text_factory = bytes
    try:
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in (str(name, "utf-8") for (name,) in names):
            for row, columns, values in _rows(db, table):
                for name, value in zip(columns, values, strict=True):
                    if not _is_right_text(table, name, value):
                        report.add("row", f"the text {name} of row {row} of {table} is damaged", RESTORE)
    finally:
        db.text_factory = str
    return len(report.findings) == before


def _rows(db: sqlite3.Connection, table: str) -> Iterator[tuple[str, list[str], tuple[Any, ...]]]:
    """Yield (name, columns, values) of each row of one of our tables."""
    columns = [str(row[1], "utf-8") for row in db.execute(f"PRAGMA table_info({table})")]
    keys = [str(row[1], "utf-8") for row in db.execute(f"PRAGMA table_info({table})") if row[5]]
    for values in db.execute(f"SELECT * FROM {table}"):  # noqa: S608  the table is in the schema
        named = dict(zip(columns, values, strict=True))
        yield "/".join(_printable(named[key]) for key in keys), columns, values


def _printable(value: Any) -> str:
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


def _references(db: sqlite3.Connection, report: Report) -> None:
    for artifact_id, path in references.dangling(db):
        what = f'file "{path}" of version {references.version_name(db, artifact_id)} is in a version that was deleted'
        report.add("missing", what, "log that version again and then this one, or delete this one")


def _files(blobs: Blobs, needed: dict[str, int | None], known: set[str], report: Report) -> dict[str, str]:
    """Check every file; return which needed blobs are missing or corrupt."""
    old = upload_window(time.time())
    broken = dict.fromkeys(needed, "missing")
    here: set[str] = set()
    progress = Progress("checked", "blobs", len(needed))
    for found in blobs.everything():
        if found.md5 is None:
            report.add("unknown", f'"{found.path}" is not a file of the server', "move it out of the folder")
            continue
        here.add(found.md5)
        if found.md5 not in needed:
            if found.modified < old:
                what = f"nothing refers to blob {found.md5} ({amount(found.size)})"
                report.add("extra", what, "python -m modelgate_server gc")
            else:
                report.waiting += 1
        elif not _is_right(blobs, found.md5) or needed[found.md5] not in (None, found.size):
            broken[found.md5] = "corrupt"
        else:
            del broken[found.md5]
            report.blobs += 1
            report.size += found.size
            progress.add(found.size)
    for half in blobs.arriving():
        if half.modified < old:
            todo = "python -m modelgate_server gc removes it, and so does the next start of the server"
            report.add("half-written", f'"{half.path}" ({amount(half.size)})', todo)
    for md5 in sorted(known - here - needed.keys()):
        report.add("row", f"blob {md5} is recorded but missing; nothing refers to it", "python -m modelgate_server gc")
    return broken


def _is_right(blobs: Blobs, md5: str) -> bool:
    try:
        return blobs.md5_of(md5) == md5
    except OSError:  # a bad sector, or a file that this user may not read
        return False
