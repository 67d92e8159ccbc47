"""The embedded server as a fork of an interpreter that has imported it: the command line, without a new interpreter."""

import os
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelgate_server import __main__ as program
from modelgate_server import process, serve  # noqa: F401  # what the command imports, and what takes the time


def run(argv: list[str], environ: Mapping[str, str], log: Path) -> None:
    """Be `python -m modelgate_server <argv>` with this environment; the output goes to the end of `log`."""
    os.environ.clear()
    os.environ.update(environ)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def connect_and_note(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    sqlite3.connect = connect_and_note  # type: ignore[assignment]
    code = program.main(argv)
    for connection in opened:  # the end of an interpreter closes the database; that of a fork does not
        connection.close()
    sys.exit(code)
