"""Provide what the commands on a data folder share: the folder and its lock, progress lines, the result as JSON."""

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelgate_server.errors import StartError
from modelgate_server.settings import GIB, KIB, MIB, UPLOAD_TTL_S, get_default_data

PROGRESS_S = 2.0


def build_parser(command: str, description: str, example: str, *, data: str = "the server's data folder") -> Any:
    made = argparse.ArgumentParser(
        prog=f"modelgate-server {command}",
        description=description,
        epilog=f"example: modelgate-server {command} {example}",
        allow_abbrev=False,
    )
    add_data(made, data)
    return made


def add_data(made: argparse.ArgumentParser, text: str = "the server's data folder") -> None:
    made.add_argument(
        "--data", type=Path, default=get_default_data(), metavar="DIR", help=f"{text} (default: %(default)s)"
    )


def locate_database(folder: Path) -> Path:
    path = folder / "server.db"
    if not path.is_file():
        raise StartError(f'"{folder}" is not the data folder of a server', "start the server on it once")
    return path


@contextmanager
def hold_folder(folder: Path, *, alone: bool) -> Iterator[None]:
    """
    Prevent garbage collection in the folder; `alone` is for the collector itself. The server does not need the lock,
    because it only adds. The lock is on the folder itself, so that a read-only folder can still be read.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            what = f'another check, gc, backup, export or import is using "{folder}"'
            raise StartError(what, "wait until it ends, then try again") from None
        yield
    finally:
        os.close(handle)


class Progress:
    """Prints a line on standard error every few seconds: `checked 1200 of 5000 blobs | 3.1 GB | 12 s`."""

    def __init__(self, done: str, what: str, total: int) -> None:
        self._done, self._what, self._total = done, what, total
        self._count = self._bytes = 0
        self._began = self._said = time.monotonic()

    def add(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        if time.monotonic() - self._said > PROGRESS_S:
            self._said = time.monotonic()
            say(
                f"{self._done} {self._count} of {self._total} {self._what} | {format_amount(self._bytes)}"
                f" | {self._said - self._began:.0f} s"
            )


def format_amount(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def print_result(fields: dict[str, Any]) -> None:
    """Print the one JSON object on standard output."""
    sys.stdout.write(json.dumps(fields) + "\n")


def compute_upload_window(now_s: float) -> float:
    """Return the time before which a file cannot belong to an upload in progress: its address has expired."""
    return now_s - UPLOAD_TTL_S
