"""What this folder knows, in words; starts nothing and asks no server."""

from __future__ import annotations

import os

from runner.folder import Folder
from runner.progress import say


def tell(folder: Folder) -> None:
    """Print what is in production, what waits, the last run and the server. It is what the runner saw last."""
    if not folder.path.is_dir():
        say("Nothing was run here yet. To begin: make run")
        return
    state = folder.state()
    for use_case, seen in state.get("production", {}).items():
        by = f"approved by {seen['approver']}" if seen["approver"] else "seen"
        say(f"production of {use_case}: {seen['version']}, {by} at {seen['time']}")
    if not state.get("production"):
        say("production: nothing yet")
    if pending := state.get("pending"):
        say(f"waits for an approval: {pending['version']}   (make approve APPROVE=NAME)")
    else:
        say("waits for an approval: nothing")
    _tell_last_run(folder, state.get("run"))
    _tell_server(folder)


def _tell_last_run(folder: Folder, run: dict[str, str] | None) -> None:
    if run is None:
        say("last run: none")
    elif run.get("verdict"):
        say(f"last run: {run['use_case']}, started at {run['started']}, verdict {run['verdict']}")
    else:
        going = "is going on" if _held(folder, "lock") else "did not come to a verdict (make run goes on from there)"
        say(f"last run: {run['use_case']}, started at {run['started']}, reached {run['reached'] or 'nothing'}; {going}")


def _tell_server(folder: Folder) -> None:
    port = folder.last_port()
    if _held(folder, "server.lock"):
        say(f"server: http://127.0.0.1:{port} (the API key lies in {folder.key_file})")
    elif port:
        say(f"server: not running; last on port {port}   (make serve opens its pages)")
    else:
        say("server: never started")


def _held(folder: Folder, name: str) -> bool:
    lock = folder.try_lock(name)
    if lock is not None:
        os.close(lock)
    return lock is None
