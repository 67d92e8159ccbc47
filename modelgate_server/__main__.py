"""
Run the W&B-compatible server.

    modelgate-server                          start it, on 127.0.0.1 and in your own folder
    modelgate-server serve --data DIR         the same, with flags
    modelgate-server admin --data DIR ...     users, roles, protected aliases
    modelgate-server check | gc | backup | export | import --data DIR ...
                                              maintain the folder; docs/how-to/server.md

`python -m modelgate_server` is the same program. Exits 0 when you stop it, 2 if it cannot start.
"""

import argparse
import importlib
import sqlite3
import sys
from typing import NamedTuple

from modelgate_server.errors import StartError
from modelgate_server.store.faults import translate_error


class Command(NamedTuple):
    module: str
    summary: str


COMMANDS = {
    "serve": Command("modelgate_server.serve", "start the server; the default command"),
    "admin": Command("modelgate_server.admin", "users, organizations, teams, roles, protected aliases"),
    "check": Command("modelgate_server.check", "check that the data folder is complete"),
    "gc": Command("modelgate_server.gc", "remove the bytes that nothing refers to"),
    "backup": Command("modelgate_server.backup", "copy the data folder while the server runs"),
    "export": Command("modelgate_server.exporting", "write a project as plain files"),
    "import": Command("modelgate_server.importing", "read a project that was exported"),
}


def parse_args(argv: list[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments. Without a command, the flags are those of `serve`."""
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        return "serve", argv
    parser = argparse.ArgumentParser(
        prog="modelgate-server",
        description="A server that speaks W&B's protocol to the wandb SDK, and keeps everything in one folder.",
        epilog="example: modelgate-server serve --data ./wandb-server --port 8080; "
        "for the flags of a command: modelgate-server gc --help",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary, add_help=False)
    parser.parse_args(argv[:1])
    return argv[0], argv[1:]


def main(argv: list[str] | None = None) -> int:
    name, rest = parse_args(sys.argv[1:] if argv is None else argv)
    # Not at the top: each command loads only what it needs, and a wrong flag is reported at once.
    try:
        return int(importlib.import_module(COMMANDS[name].module).main(rest))
    except StartError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return 2
    except (OSError, sqlite3.Error) as error:
        if translate_error(error) is None:
            raise  # a bug keeps its traceback
        print(f"error: {error}\nhint: fix the disk or the folder, then run the same command again", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
