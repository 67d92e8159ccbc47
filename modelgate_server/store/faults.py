"""
What the machine can do to the store, in words that say what to do about it.

What passes by itself was waited for already (`BUSY_S`). What is left lasts, and becomes a status on which the SDK gives
up: on a 5xx its process would hang, for minutes in `log_artifact` and for days in `finish`. The run is whole in the
client's own folder, from where `wandb sync` sends it.
"""

import errno
import sqlite3

from modelgate_server.errors import Broken, ServerError, TooLong

FULL = "the server's disk is full: make room on it (python -m modelgate_server gc finds what nothing refers to)"
READ_ONLY = "the server's data folder cannot be written: look at its owner, its permissions and its mount"
HELD = "another process has held the server's database for long: end it"
DAMAGED = (
    "the server's database is damaged: stop the server, look with python -m modelgate_server check, restore a backup"
)
GONE = "a file or folder of the server's data is gone: look with python -m modelgate_server check"
FAILED = "the server's disk fails: look at the machine's log"

SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: READ_ONLY,
    sqlite3.SQLITE_BUSY: HELD,
    sqlite3.SQLITE_LOCKED: HELD,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_IOERR: FAILED,
}
SYSTEM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.ENOENT: GONE,
    errno.ENOTDIR: GONE,
    errno.EIO: FAILED,
}


def fault(error: BaseException | None) -> ServerError | None:
    """The refusal that an error of the machine becomes, or a statement that was stopped; None for any other error."""
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
        return TooLong("the request took too long: ask for less at a time")
    if isinstance(error, sqlite3.Error):
        cause = SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    elif isinstance(error, OSError):
        cause = SYSTEM.get(error.errno or 0)
    else:
        cause = None
    if cause is None:
        return None
    return Broken(f"{cause}. This request was not carried out; after that, `wandb sync --include-online` sends the run")
