"""
Remove the bytes that nothing refers to any more. The server may be running.

    python -m modelgate_server gc --data DIR [--dry-run]

Deleted versions and runs leave their bytes behind, and so do abandoned uploads. Files newer than the upload window
(settings.py) stay, because an upload in progress may still refer to them. Exits 0 done, 2 wrong use. Messages go to
standard error, and a JSON object with the freed bytes goes to standard output.
"""

import argparse
import time

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
from modelgate_server.settings import UPLOAD_TTL_S
from modelgate_server.store import references
from modelgate_server.store.blobs import Blobs, Found
from modelgate_server.store.db import Database

# This many blobs at a time, so that the server's own writers get their turn in between.
BATCH = 500


def parse_args(argv: list[str]) -> argparse.Namespace:
    made = build_parser(
        "gc",
        f"Remove the bytes that nothing refers to and that are older than {UPLOAD_TTL_S // 3600} hours. The server may"
        " be running.",
        "--data .modelgate/server --dry-run",
    )
    made.add_argument("--dry-run", action="store_true", help="only show what would be removed")
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    path = locate_database(args.data)
    with hold_folder(args.data, alone=True):
        database, blobs = Database(path), Blobs(args.data / "blobs")
        try:
            before = compute_upload_window(time.time())
            files, size = (_count if args.dry_run else _collect)(database, blobs, before)
        finally:
            database.close()
    say(f"{'would free' if args.dry_run else 'freed'} {format_amount(size)} in {files} files")
    print_result({"files": files, "bytes": size, "dry_run": args.dry_run})
    return 0


def _list_unneeded(database: Database, blobs: Blobs, before: float) -> tuple[list[Found], list[Found]]:
    """Return the blobs that nothing refers to, and the partial uploads that no one can finish."""
    with database.read() as db:
        needed = references.list_blobs(db)
    extra = [file for file in blobs.walk() if file.md5 and file.md5 not in needed and file.modified < before]
    return extra, [file for file in blobs.walk_arriving() if file.modified < before]


def _count(database: Database, blobs: Blobs, before: float) -> tuple[int, int]:
    extra, halves = _list_unneeded(database, blobs, before)
    return len(extra) + len(halves), sum(file.size for file in extra + halves)


def _collect(database: Database, blobs: Blobs, before: float) -> tuple[int, int]:
    """
    Remove the blobs of each batch while no writer can begin to refer to them. Remove the rows that call them durable
    only after that, because a full disk has room for this change only then. If gc is killed in between, the row of a
    missing blob is left: the next gc removes it, and until then it is not trusted (manifests.register_blobs).
    """
    extra, halves = _list_unneeded(database, blobs, before)
    for half in halves:
        half.path.unlink(missing_ok=True)
    files, freed = len(halves), sum(half.size for half in halves)
    progress = Progress("removed", "blobs", len(extra))
    for start in range(0, len(extra), BATCH):
        batch = [str(file.md5) for file in extra[start : start + BATCH]]
        with database.write() as db:
            for md5 in sorted(set(batch) - references.select_referenced(db, batch)):
                size = blobs.remove(md5, before=before)
                if size is not None:
                    references.forget(db, [md5])
                    files, freed = files + 1, freed + size
                    progress.add(size)
    _forget_absent(database, blobs)
    return files, freed


def _forget_absent(database: Database, blobs: Blobs) -> None:
    """Remove the rows that call a missing blob durable and that nothing refers to."""
    with database.read() as db:
        absent = [md5 for (md5,) in db.execute("SELECT md5 FROM blobs WHERE durable") if blobs.get_size(md5) is None]
    for start in range(0, len(absent), BATCH):
        batch = absent[start : start + BATCH]
        with database.write() as db:
            gone = {md5 for md5 in batch if blobs.get_size(md5) is None}
            references.forget(db, gone - references.select_referenced(db, batch))
