"""
Copy a complete data folder, as of one moment, while its server runs.

    python -m modelgate_server backup --data DIR TARGET

The copy is itself a data folder: you can start a server on it, or `check` it. If you run it again on the same TARGET,
it updates the copy and copies only what is new; if it was killed, the next run completes it. The database comes last,
so TARGET is always the last complete copy. Exits 0 done, 1 a blob of DIR is missing or corrupt (each is named), 2 wrong
use.
"""

import argparse
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from modelgate_server.errors import StartError
from modelgate_server.maintenance import (
    Progress,
    build_parser,
    format_amount,
    hold_folder,
    locate_database,
    print_result,
    say,
)
from modelgate_server.store import references
from modelgate_server.store.blobs import Blobs, fsync
from modelgate_server.store.db import open_snapshot

SECRETS = ("secret", "api_key")
# Files that SQLite keeps next to a database while it writes.
BESIDE = (".new-journal", ".new-wal", ".new-shm")


def parse_args(argv: list[str]) -> argparse.Namespace:
    made = build_parser(
        "backup",
        "Copy a complete data folder, as of one moment, while its server runs.",
        "--data .modelgate/server /backups/modelgate",
    )
    made.add_argument(
        "target", type=Path, metavar="TARGET", help="an earlier backup to update, or a folder that does not exist yet"
    )
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    source, target = args.data, args.target
    locate_database(source)
    _check_target(source, target)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    with hold_folder(source, alone=False), hold_folder(target, alone=True):
        needed = _copy_database(source, target)
        copied, size, broken = _copy_blobs(Blobs(source / "blobs", make=False), Blobs(target / "blobs"), target, needed)
        for name in SECRETS:
            if (source / name).exists():
                _copy_secret(source / name, target / name)
        _publish(target)
        _remove_others(Blobs(target / "blobs"), needed)
    for md5 in broken:
        say(f"error: blob {md5} is missing or corrupt in {source}; see python -m modelgate_server check")
    say(f"{len(needed)} blobs, of which {copied} were copied ({format_amount(size)}), and the database: {target}")
    print_result({"blobs": len(needed), "copied": copied, "bytes": size, "broken": broken})
    return 1 if broken else 0


def _check_target(source: Path, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise StartError(f'"{target}" is not a folder', "choose another TARGET")
    within, of = target.resolve(), source.resolve()
    if within == of or of in within.parents or within in of.parents:
        raise StartError("TARGET is inside DIR, or DIR inside TARGET", "choose a TARGET outside, best on another disk")
    mine = {f"{name}{end}" for name in ("server.db", *SECRETS) for end in ("", ".new", *BESIDE)} | {"blobs"}
    strange = sorted(path.name for path in target.iterdir() if path.name not in mine) if target.is_dir() else []
    if strange:
        raise StartError(
            f'"{target}" is neither empty nor a backup: it holds "{strange[0]}"',
            "choose another TARGET; a folder that a server was started on is no longer a backup",
        )


def _copy_database(source: Path, target: Path) -> set[str]:
    """Write a snapshot next to the last one; return the blobs that it refers to."""
    beside = target / "server.db.new"
    for end in (".new", *BESIDE):  # left by a backup that was killed
        (target / f"server.db{end}").unlink(missing_ok=True)
    say(f"copying the database ({format_amount(locate_database(source).stat().st_size)})")
    with closing(sqlite3.connect(beside, isolation_level=None)) as copy:
        beside.chmod(0o600)
        with open_snapshot(locate_database(source)) as db:
            db.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing next to it
        needed = references.list_blobs(copy)
        known = {md5 for (md5,) in copy.execute("SELECT md5 FROM blobs WHERE durable")}
        copy.execute("BEGIN")
        references.forget(copy, known - needed)
        copy.execute("COMMIT")
    return needed


def _copy_blobs(source: Blobs, target: Blobs, folder: Path, needed: set[str]) -> tuple[int, int, list[str]]:
    """
    Return how many were copied, their bytes, and those that are missing or corrupt. What an earlier backup has is not
    copied again.
    """
    earlier = _read_earlier(folder)
    copied, size, broken = 0, 0, []
    progress = Progress("looked at", "blobs", len(needed))
    for md5 in sorted(needed):
        # A file that is not part of a complete backup was left by a backup that was killed, so its bytes are checked.
        if target.get_size(md5) is not None and (md5 in earlier or target.is_right(md5)):
            progress.add(0)
            continue
        got = _copy_blob(source, target, md5)
        if got is None:
            broken.append(md5)
        else:
            copied, size = copied + 1, size + got
        progress.add(got or 0)
    target.make_durable([md5 for md5 in needed if target.is_unsynced(md5)])
    return copied, size, broken


def _read_earlier(target: Path) -> set[str]:
    """
    Return what the last complete backup in the folder refers to; nothing if another version of the server made it.
    """
    if not (target / "server.db").exists():
        return set()
    try:
        with open_snapshot(target / "server.db") as db:
            return references.list_blobs(db)
    except StartError:
        return set()


def _copy_blob(source: Blobs, target: Blobs, md5: str) -> int | None:
    if source.get_size(md5) is None:
        return None
    with target.begin_upload() as copy:
        for piece in source.read_pieces(md5):
            copy.write(piece)
        if copy.compute_md5() != md5:
            return None
        copy.keep()
        return copy.size


def _copy_secret(source: Path, target: Path) -> None:
    beside = target.with_name(f"{target.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())
    beside.rename(target)


def _publish(target: Path) -> None:
    """Make the folder the new backup."""
    fsync(target / "server.db.new")
    (target / "server.db.new").rename(target / "server.db")
    fsync(target)


def _remove_others(blobs: Blobs, needed: set[str]) -> None:
    for file in [*blobs.walk(), *blobs.walk_arriving()]:
        if file.md5 not in needed:
            file.path.unlink()
