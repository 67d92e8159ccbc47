"""
Turn errors of the machine into messages that say what to do about them.

The server has already waited for temporary problems (`BUSY_S`). The remaining ones are permanent, and get a status on
which the SDK gives up: on a 5xx, its process would hang, for minutes in `log_artifact` and for days in `finish`. The
run is complete in the client's own folder, and `wandb sync` sends it from there.
"""

import errno
import sqlite3

from modelgate_server.errors import Broken, ServerError, TooLong

FULL = "the server's disk is full: free some space (python -m modelgate_server gc removes what nothing refers to)"
READ_ONLY = "the server's data folder cannot be written: check its owner, its permissions and its mount"
HELD = "another process has held the server's database for a long time: end that process"
DAMAGED = "the server's database is damaged: stop the server, run python -m modelgate_server check, restore a backup"
GONE = "a file or folder of the server's data is missing: run python -m modelgate_server check"
FAILED = "the server's disk fails: see the machine's log"

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


def translate_error(error: BaseException | None) -> ServerError | None:
    """Return the refusal for an error of the machine or an interrupted statement; None for any other error."""
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
    return Broken(
        f"{cause}. This request was not carried out; after you fix this, `wandb sync --include-online` sends the run"
    )
